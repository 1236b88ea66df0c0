"""Netting accounts on a real simulator: closes that cannot turn them, and the stops of a master who turned around."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from apportion.api.platform_groups.v1 import accounts_pb2, events_pb2, platform_groups_pb2, trading_pb2
from apportion.storage import transaction
from apportion.testing.polling import eventually

LOT = 100_000_000
DEALS = "apportion.api.platform_groups.v1.DealsObserved"
STOPS = "apportion.api.platform_groups.v1.StopsObserved"
OPEN, CLOSE = trading_pb2.ORDER_PURPOSE_OPEN, trading_pb2.ORDER_PURPOSE_CLOSE
FILLED, REJECTED = trading_pb2.ORDER_STATE_FILLED, trading_pb2.ORDER_STATE_REJECTED


@pytest.fixture
async def platform(start, simulator):
    """On a group of netting accounts."""
    async with start() as platform:
        await platform.set_up(simulator)
        platform.hedging_group_id = platform.group_id
        await platform.add_group("netting", "demo\\forex-netting-usd")
        yield platform


async def net(platform, account) -> int:
    return sum(position.volume_e8 for position in await platform.positions(account.account_id))


def reasons(orders: trading_pb2.OrderColumns) -> list[str]:
    return [orders.reasons[index] for index in orders.reason_indexes]


async def test_a_close_reduces_what_the_account_holds_whatever_its_ticket_and_never_turns_it(platform, simulator):
    account = await platform.account(balance_minor=10_000_000)
    account_id = account.account_id
    await platform.submit("open", [(account_id, LOT)])
    lasting = (await platform.finished("open")).position_tickets[0]
    await simulator.sell(account.login, "EURUSD", "1.50")  # turned by its owner: short, with another ticket
    assert await net(platform, account) == -LOT // 2
    await platform.submit("late", [(account_id, -LOT)], tickets=[lasting])
    late = await platform.finished("late")
    assert (list(late.states), reasons(late), list(late.filled_volumes_e8)) == ([FILLED], ["ALREADY_CLOSED"], [0])
    await platform.submit("half", [(account_id, LOT // 5)], tickets=[lasting])
    assert list((await platform.finished("half")).filled_volumes_e8) == [LOT // 5]
    await platform.submit("too much", [(account_id, LOT)], tickets=[lasting])
    assert list((await platform.finished("too much")).filled_volumes_e8) == [LOT * 3 // 10]
    assert await net(platform, account) == 0
    await platform.submit("gone", [(account_id, LOT)], tickets=[lasting])
    assert reasons(await platform.finished("gone")) == ["ALREADY_CLOSED"]
    assert await net(platform, account) == 0


@pytest.mark.parametrize("fault", ["lose_answer", "lose_result", "disconnect"])
async def test_a_close_without_a_ticket_is_done_once(platform, simulator, fault):
    account = await platform.account(balance_minor=10_000_000)
    account_id = account.account_id
    await platform.submit("open", [(account_id, LOT)])
    await platform.finished("open")
    await simulator.add_fault(fault, endpoint="dealer/send_request", count=1)
    await platform.submit("close", [(account_id, -LOT * 3)], tickets=[0])
    assert list((await platform.finished("close")).filled_volumes_e8) == [-3 * LOT]
    assert await net(platform, account) == -2 * LOT
    assert (await platform.submit("close", [(account_id, -LOT * 3)], tickets=[0])).known_count == 1


@pytest.mark.parametrize("fault", ["lose_answer", "lose_result"])
async def test_an_open_whose_answer_is_lost_is_found_by_its_deal(platform, simulator, fault):
    """The position does not tell: it is that of an earlier order, and has the volume of both."""
    account = await platform.account(balance_minor=10_000_000)
    await platform.submit("first", [(account.account_id, LOT)])
    await platform.finished("first")
    await simulator.add_fault(fault, endpoint="dealer/send_request", count=1)
    await platform.submit("second", [(account.account_id, -LOT * 3)])
    second = await platform.finished("second")
    assert (list(second.states), list(second.filled_volumes_e8)) == ([FILLED], [-3 * LOT])
    assert await net(platform, account) == -2 * LOT


async def test_a_hedging_account_refuses_a_close_without_a_ticket(platform):
    platform.group_id = platform.hedging_group_id
    account = await platform.account(balance_minor=1_000_000)
    await platform.submit("close", [(account.account_id, -LOT)], tickets=[0])
    refused = await platform.finished("close")
    assert (list(refused.states), reasons(refused)) == ([REJECTED], ["POSITION_REQUIRED"])


async def test_deals_on_a_netting_account_tell_the_order_behind_them(platform, simulator):
    account = await platform.account(balance_minor=10_000_000)
    await platform.submit("open", [(account.account_id, LOT)])
    ticket = (await platform.finished("open")).position_tickets[0]
    await simulator.buy(account.login, "EURUSD", "0.10")
    await platform.submit("close", [(account.account_id, -LOT)], tickets=[ticket])
    await platform.finished("close")

    async def told() -> list[tuple[str, int, int]] | None:
        rows = []
        for type_, payload in await platform.events("deals"):
            event = events_pb2.DealsObserved.FromString(payload)
            if type_ == DEALS and any(event.volumes_e8):
                count = len(event.deal_tickets)
                sources = [event.order_sources[index] for index in event.order_source_indexes] or [""] * count
                items = event.order_item_ids or [0] * count
                purposes = event.order_purposes or [0] * count
                trades = zip(event.volumes_e8, sources, items, purposes, strict=True)
                rows += [row[1:] for row in trades if row[0]]
        return rows if len(rows) == 3 else None

    assert await eventually(told, 60) == [("open", 1, OPEN), ("", 0, 0), ("close", 1, CLOSE)]


async def test_closing_all_leaves_a_netting_account_flat(platform):
    account = await platform.account(balance_minor=10_000_000)
    await platform.submit("open", [(account.account_id, LOT), (account.account_id, LOT)])
    await platform.finished("open")
    request = trading_pb2.CloseAllPositionsRequest(
        request_id=platform.new_id(), account_id=account.account_id, cause="risk/trip/1"
    )
    closing_id = (await platform.trading.CloseAllPositions(request, **platform.options())).closing.closing_id

    async def flat() -> trading_pb2.Closing | None:
        asked = trading_pb2.GetClosingRequest(closing_id=closing_id)
        closing = (await platform.trading.GetClosing(asked, **platform.options())).closing
        return closing if closing.state == trading_pb2.CLOSING_STATE_FLAT else None

    closing = await eventually(flat, 60)
    assert (len(closing.server_times_ms), min(closing.server_times_ms) > 0) == (len(closing.position_tickets), True)
    assert await net(platform, account) == 0


async def test_stops_of_a_turned_position_are_told_by_the_ticket_of_its_deals(platform, simulator):
    wallet = await platform.account(balance_minor=10_000_000)
    kind = accounts_pb2.ACCOUNT_KIND_MASTER
    master = await platform.account(kind=kind, wallet=wallet.account_id, balance_minor=10_000_000)
    deal = await simulator.buy(master.login, "EURUSD", "1.00", sl="1.05000")
    lasting = int(deal["PositionID"])
    await simulator.sell(master.login, "EURUSD", "1.50", sl="1.15000")
    (turned,) = await platform.positions(master.account_id)
    assert turned.position_ticket != lasting
    request = trading_pb2.BatchGetPositionsRequest(account_ids=[master.account_id])

    async def shown() -> bool:
        answer = await platform.trading.BatchGetPositions(request, **platform.options())
        return list(answer.positions.position_tickets) == [lasting]

    await eventually(shown, 60)
    await simulator.modify(master.login, turned.position_ticket, sl="1.16000", tp="1.02000")
    expected = [(master.account_id, lasting, 116_000_000, 102_000_000)]

    async def told() -> list[tuple[int, int, int, int]]:
        rows: list[tuple[int, int, int, int]] = []
        for type_, payload in await platform.events("deals"):
            if type_ == STOPS:
                event = events_pb2.StopsObserved.FromString(payload)
                columns = event.account_ids, event.position_tickets, event.stop_losses_e8, event.take_profits_e8
                rows += zip(*columns, strict=True)
        return rows

    async def newest() -> bool:
        return (await told())[-1:] == expected

    await eventually(newest, 60)
    await simulator.modify(master.login, turned.position_ticket, sl="1.17000", tp="1.02000")
    expected = [(master.account_id, lasting, 117_000_000, 102_000_000)]
    await eventually(newest, 60)


async def test_margin_modes_that_nobody_asked_for_are_learnt(start, simulator, platform):
    account = await platform.account()
    async with transaction(platform.engine) as tx:
        for table in ("platform_groups", "accounts"):
            await tx.execute(text(f"UPDATE {table} SET margin_mode = 0"))
    assert (await platform.get(account.account_id)).margin_mode == platform_groups_pb2.MARGIN_MODE_UNSPECIFIED
    async with start() as again:

        async def learnt() -> bool:
            found = await again.get(account.account_id)
            return found.margin_mode == platform_groups_pb2.MARGIN_MODE_NETTING

        await eventually(learnt, 60)
