"""Deals become facts once and only once; states and prices become weather; accounts are adopted."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from apportion.api.platform_groups.v1 import accounts_pb2, events_pb2, trading_pb2, trading_servers_pb2
from apportion.events import Redis
from apportion.events.weather import ticks_key
from apportion.platform_groups.adapters.weather import Snapshots
from apportion.storage import transaction
from apportion.testing.polling import eventually

GROUP = "demo\\forex-hedge-usd"
TRADE = 1
BALANCE = 2


async def observed(platform) -> list[tuple[int, int, int, int]]:
    """(ticket, account, action, signed volume) of every deal told, in the order of the telling."""
    rows = []
    for _, payload in await platform.events("deals"):
        event = events_pb2.DealsObserved.FromString(payload)
        rows += zip(event.deal_tickets, event.account_ids, event.actions, event.volumes_e8, strict=True)
    return rows


async def seen(platform, count: int) -> list[tuple[int, int, int, int]]:
    async def enough() -> list[tuple[int, int, int, int]] | None:
        rows = await observed(platform)
        return rows if len(rows) >= count else None

    return await eventually(enough, 60)


async def test_deals_of_our_accounts_are_told_once_over_a_restart(start, simulator) -> None:
    [stranger] = await simulator.create_accounts("demo\\forex-hedge-usd", 1, deposit="5000.00")
    async with start() as platform:
        await platform.set_up(simulator)
        server_id, group_id = platform.server_id, platform.group_id
        account = await platform.account(balance_minor=1_000_000)
        await simulator.buy(stranger, "EURUSD", "0.01")
        deal = await simulator.buy(account.login, "EURUSD", "0.10", comment="ap:o1")
        await seen(platform, 2)
    await simulator.close_position(account.login, int(deal["PositionID"]), "0.04")
    await simulator.sell(account.login, "EURUSD", "0.20")
    async with start() as platform:
        platform.server_id, platform.group_id = server_id, group_id
        rows = await seen(platform, 4)
        await simulator.disconnect_all()
        await simulator.buy(account.login, "EURUSD", "0.01")
        rows = await seen(platform, 5)
        assert [(row[1], row[2], row[3]) for row in rows] == [
            (account.account_id, BALANCE, 0),
            (account.account_id, TRADE, 10_000_000),
            (account.account_id, TRADE, -4_000_000),
            (account.account_id, TRADE, -20_000_000),
            (account.account_id, TRADE, 1_000_000),
        ]
        assert len({row[0] for row in rows}) == 5
        [(_, payload), *_] = (await platform.events("deals"))[1:]
        event = events_pb2.DealsObserved.FromString(payload)
        assert list(event.order_ids) == [0], "a trader's own comment is no token"
        assert event.symbols[event.symbol_indexes[0]] == "EURUSD"
        assert event.server_times_ms[0] == int(deal["TimeMsc"])


async def test_states_and_prices_are_published(start, simulator, redis_url) -> None:
    redis = Redis(redis_url)
    async with start() as platform:
        await platform.set_up(simulator)
        trader = await platform.account(balance_minor=1_000_000)
        idle = await platform.account(balance_minor=500)
        await simulator.buy(trader.login, "EURUSD", "1.00")

        async def flags() -> dict[int, int]:
            found = {}
            for account in (trader, idle):
                row = await Snapshots(redis).row(platform.server_id, account.account_id)
                if row is not None:
                    states, index = row
                    found[states.account_ids[index]] = states.position_flags[index]
                    assert states.account_ids == sorted(states.account_ids)
            return found

        async def both() -> bool:
            return await flags() == {trader.account_id: 1, idle.account_id: 0}

        await eventually(both, 60)
        snapshot = (await platform.get(trader.account_id)).snapshot
        assert snapshot.equity_minor == 1_000_000 - 1_000
        await simulator.restart_sessions()

        async def still() -> bool:
            account = await platform.get(idle.account_id)
            return account.snapshot.balance_minor == 500 and account.snapshot.observed_time.ToDatetime() > before

        before = (await platform.get(idle.account_id)).snapshot.observed_time.ToDatetime()
        await eventually(still, 60)
        payload = await redis.command("GET", ticks_key(platform.server_id))
        ticks = events_pb2.Ticks.FromString(bytes(payload)[19:])
        prices = dict(zip(ticks.symbols, ticks.bids_e8, strict=True))
        assert prices["EURUSD"] == 110_000_000
    await redis.close()


async def test_an_account_that_was_moved_has_left_and_comes_back(start, simulator) -> None:
    async with start(account_interval_seconds=0.05) as platform:
        await platform.set_up(simulator)
        account = await platform.account(balance_minor=1_000_000)
        deal = await simulator.buy(account.login, "EURUSD", "0.10")

        async def become(state: int) -> None:
            async def has_become() -> bool:
                return (await platform.get(account.account_id)).state == state

            await eventually(has_become, 60)

        await simulator.move_account(account.login, "demo\\forex-hedge-usd-commission")
        await become(accounts_pb2.ACCOUNT_STATE_DISABLED)
        question = trading_pb2.BatchGetPositionsRequest(account_ids=[account.account_id], leave_out_closed=True)
        report = await platform.trading.BatchGetPositions(question, **platform.options())
        assert list(report.left_account_ids) == [account.account_id]
        assert len(await platform.positions(account.account_id)) == 1
        await platform.submit("open", [(account.account_id, 1_000_000)])
        orders = await platform.finished("open")
        assert orders.reasons[orders.reason_indexes[0]] == "ACCOUNT_NOT_OPEN"
        await platform.submit("close", [(account.account_id, -10_000_000)], tickets=[int(deal["PositionID"])])
        assert list((await platform.finished("close")).states) == [trading_pb2.ORDER_STATE_FILLED]
        wish = accounts_pb2.SetAccountAccessRequest(
            request_id=platform.new_id(),
            account_id=account.account_id,
            access=accounts_pb2.ACCOUNT_ACCESS_READ_ONLY,
            cause="a daily limit",
        )
        answer = await platform.accounts.SetAccountAccess(wish, **platform.options())
        assert answer.account.access == accounts_pb2.ACCOUNT_ACCESS_READ_ONLY
        await simulator.move_account(account.login, GROUP)
        await become(accounts_pb2.ACCOUNT_STATE_OPEN)
        await simulator.delete_account(account.login)
        await become(accounts_pb2.ACCOUNT_STATE_DISABLED)


async def test_a_server_that_goes_away_is_offline_and_comes_back(start, own_simulator) -> None:
    async with start() as platform:
        await platform.set_up(own_simulator)

        async def state() -> int:
            request = trading_servers_pb2.GetTradingServerRequest(trading_server_id=platform.server_id)
            return (
                await platform.servers.GetTradingServer(request, **platform.options())
            ).trading_server.connection_state

        async def online() -> bool:
            return await state() == trading_servers_pb2.CONNECTION_STATE_ONLINE

        async def offline() -> bool:
            return await state() == trading_servers_pb2.CONNECTION_STATE_OFFLINE

        await eventually(online, 60)
        account = await platform.account(balance_minor=1_000_000)
        await own_simulator.kill()
        await eventually(offline, 60)
        await own_simulator.start()
        await eventually(online, 60)
        await platform.submit("again", [(account.account_id, 1_000_000)])
        assert list((await platform.finished("again")).states) == [4]


@pytest.mark.parametrize("fault", ["lose_answer", "disconnect"])
async def test_an_account_whose_creation_was_lost_is_adopted_or_made_once(start, simulator, fault) -> None:
    async with start() as platform:
        await platform.set_up(simulator)
        before = await users(simulator)
        await simulator.add_fault(fault, endpoint="user/add", count=1)
        account = await platform.account(balance_minor=700)
        assert account.state == accounts_pb2.ACCOUNT_STATE_CREATING

        async def opened() -> accounts_pb2.Account | None:
            async with transaction(platform.engine) as tx:  # its answer is lost, and nothing is on the wire
                await tx.execute(text("UPDATE accounts SET attempt_time = attempt_time - interval '1 hour'"))
            now = await platform.get(account.account_id)
            return now if now.state == accounts_pb2.ACCOUNT_STATE_OPEN else None

        made = await eventually(opened, 60)

        async def funded() -> bool:
            return (await simulator.account(made.login))["Balance"] == "7.00"

        await eventually(funded, 60)
        assert await users(simulator) == before + 1


async def users(simulator) -> int:
    return int((await simulator.status())["accounts"])
