"""Changed stops of masters' positions are told once, after their deals, over restarts too."""

from __future__ import annotations

from apportion.api.platform_groups.v1 import accounts_pb2, events_pb2
from apportion.testing.polling import eventually

STOPS = "apportion.api.platform_groups.v1.StopsObserved"


async def told(platform) -> list[tuple[int, int, int, int]]:
    """(account, position, stop loss, take profit) of every change, in the order of the telling."""
    rows = []
    for type_, payload in await platform.events("deals"):
        if type_ == STOPS:
            event = events_pb2.StopsObserved.FromString(payload)
            assert event.trading_server_id == platform.server_id
            rows += zip(
                event.account_ids,
                event.position_tickets,
                event.stop_losses_e8,
                event.take_profits_e8,
                strict=True,
            )
    return rows


async def tickets_of_deals(platform) -> list[int]:
    return [
        ticket
        for type_, payload in await platform.events("deals")
        if type_ != STOPS
        for ticket in events_pb2.DealsObserved.FromString(payload).position_tickets
        if ticket
    ]


async def seen(platform, count: int) -> list[tuple[int, int, int, int]]:
    async def enough() -> list[tuple[int, int, int, int]] | None:
        rows = await told(platform)
        return rows if len(rows) >= count else None

    return await eventually(enough, 60)


async def test_stops_of_masters_are_told_once_each(start, simulator) -> None:
    async with start() as platform:
        await platform.set_up(simulator)
        server_id, group_id = platform.server_id, platform.group_id
        wallet = await platform.account(balance_minor=1_000_000)
        kind = accounts_pb2.ACCOUNT_KIND_MASTER
        master = await platform.account(kind=kind, wallet=wallet.account_id, balance_minor=1_000_000)
        other = await simulator.buy(wallet.login, "EURUSD", "0.10")
        deal = await simulator.buy(master.login, "EURUSD", "0.10", sl="1.09000")
        ticket = int(deal["PositionID"])

        async def opened() -> bool:
            return ticket in await tickets_of_deals(platform)

        await eventually(opened, 60)
        await simulator.modify(wallet.login, other["PositionID"], sl="1.05000")
        await simulator.modify(master.login, ticket, sl="1.09500", tp="1.20000")
        expected = [(master.account_id, ticket, 109_500_000, 120_000_000)]
        assert await seen(platform, 1) == expected, "neither the first stops nor those of other kinds of accounts"
    await simulator.modify(master.login, ticket, sl="0", tp="1.20000")
    expected.append((master.account_id, ticket, 0, 120_000_000))
    async with start() as platform:
        platform.server_id, platform.group_id = server_id, group_id
        assert await seen(platform, 2) == expected, "changed while nobody looked"
        second = await simulator.sell(master.login, "EURUSD", "0.10")
        await simulator.modify(master.login, second["PositionID"], sl="1.30000")
        expected.append((master.account_id, int(second["PositionID"]), 130_000_000, 0))
        assert await seen(platform, 3) == expected
        order = [type_ for type_, _ in await platform.events("deals")]
        assert order[-1] == STOPS, "after the deal that opened it"
        for position in (ticket, second["PositionID"]):
            await simulator.close_position(master.login, position)
        third = await simulator.buy(master.login, "EURUSD", "0.10", sl="1.00000")

        async def closed() -> bool:
            return len(await tickets_of_deals(platform)) == 6 and int(third["PositionID"]) in await tickets_of_deals(
                platform
            )

        await eventually(closed, 60)
    assert await told(platform) == expected
