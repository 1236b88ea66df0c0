"""Stop loss and take profit on a real simulator: set once, found after a lost answer, never an older after a newer."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from apportion.api.platform_groups.v1 import events_pb2, trading_pb2
from apportion.errors import DomainError
from apportion.storage import transaction
from apportion.testing.polling import eventually

LOT = 100_000_000
SEND = "dealer/send_request"
FILLED = trading_pb2.ORDER_STATE_FILLED
REJECTED = trading_pb2.ORDER_STATE_REJECTED
SL, TP = 109_000_000, 120_000_000


def reasons(orders: trading_pb2.OrderColumns) -> list[str]:
    return [orders.reasons[index] for index in orders.reason_indexes]


async def opened(platform, simulator, **columns):
    """An account with one position of a lot."""
    await platform.set_up(simulator)
    account = await platform.account(balance_minor=1_000_000)
    await platform.submit("open", [(account.account_id, LOT)], **columns)
    return account, (await platform.finished("open")).position_tickets[0]


async def stops(platform, account) -> tuple[int, int]:
    [position] = await platform.positions(account.account_id)
    return position.stop_loss_e8, position.take_profit_e8


async def test_stops_of_an_open_reach_the_server_and_are_modified(start, simulator) -> None:
    async with start() as platform:
        account, ticket = await opened(platform, simulator, stop_losses_e8=[SL], take_profits_e8=[TP])
        assert await stops(platform, account) == (SL, TP)
        await platform.modify("m/1", account.account_id, ticket, SL + 100_000, TP)
        done = await platform.finished("m/1")
        assert (list(done.states), list(done.filled_volumes_e8)) == ([FILLED], [0])
        assert list(done.position_tickets) == [ticket]
        assert await stops(platform, account) == (SL + 100_000, TP)
        assert (await platform.modify("m/1", account.account_id, ticket, SL + 100_000, TP)).known_count == 1
        with pytest.raises(DomainError, match="other content"):
            await platform.modify("m/1", account.account_id, ticket, SL, TP)
        await platform.modify("m/2", account.account_id, ticket, SL + 100_000, TP)
        assert list((await platform.finished("m/2")).states) == [FILLED], "no changes is done"
        await platform.modify("m/3", account.account_id, ticket, 0)
        await platform.finished("m/3")
        assert await stops(platform, account) == (0, 0)
        told = [events_pb2.OrdersUpdated.FromString(payload) for _, payload in await platform.events("orders")]
        assert {event.source_id for event in told if event.purpose == trading_pb2.ORDER_PURPOSE_MODIFY} == {
            "m/1",
            "m/2",
            "m/3",
        }


@pytest.mark.parametrize("fault", ["lose_answer", "lose_result", "requote", "disconnect"])
async def test_a_modification_is_repeated_until_it_is_done(start, simulator, fault) -> None:
    async with start() as platform:
        account, ticket = await opened(platform, simulator)
        await simulator.add_fault(fault, endpoint=SEND, count=1)
        await platform.modify("m/1", account.account_id, ticket, SL, TP)
        assert list((await platform.finished("m/1")).states) == [FILLED]
        assert await stops(platform, account) == (SL, TP)


async def test_refusals_for_good(start, simulator) -> None:
    async with start() as platform:
        account, ticket = await opened(platform, simulator)
        await platform.modify("m/1", account.account_id, ticket, 120_000_000)
        bad = await platform.finished("m/1")
        assert (list(bad.states), reasons(bad)) == ([REJECTED], ["STOPS_INVALID"])
        await simulator.close_position(account.login, ticket)
        await platform.modify("m/2", account.account_id, ticket, SL)
        gone = await platform.finished("m/2")
        assert (list(gone.states), reasons(gone)) == ([REJECTED], ["POSITION_GONE"])


async def test_a_newer_modification_is_never_undone_by_an_older_one(start, simulator) -> None:
    async with start() as platform:
        account, ticket = await opened(platform, simulator)
        await simulator.add_fault("disconnect", endpoint=SEND, count=1)
        platform.time_flies = False
        await platform.modify("m/1", account.account_id, ticket, SL)

        async def unknown() -> bool:
            return list((await platform.orders("m/1")).states) == [trading_pb2.ORDER_STATE_UNKNOWN]

        await eventually(unknown, 60)
        await platform.modify("m/2", account.account_id, ticket, SL - 100_000)
        await platform.modify("m/3", account.account_id, ticket, SL - 200_000)
        platform.time_flies = True
        assert list((await platform.finished("m/3")).states) == [FILLED]
        for older in ("m/1", "m/2"):
            ended = await platform.finished(older)
            assert (list(ended.states), reasons(ended)) == ([REJECTED], ["SUPERSEDED"])
        assert await stops(platform, account) == (SL - 200_000, 0)
        async with transaction(platform.engine) as tx:
            query = text("SELECT source_id, attempt_count FROM orders WHERE purpose = 3")
            attempts = {row.source_id: row.attempt_count for row in await tx.execute(query)}
        assert attempts == {"m/1": 1, "m/2": 0, "m/3": 1}


async def test_an_open_is_not_sent_when_the_market_is_worse_than_its_limit(start, simulator) -> None:
    async with start() as platform:
        await platform.set_up(simulator)
        account = await platform.account(balance_minor=1_000_000)
        limits = {"reference_prices_e8": [110_005_000, 110_004_000, 0], "max_slippages_e8": [5_000, 5_000, 0]}
        await platform.submit("buy", [(account.account_id, LOT // 100)] * 3, **limits)
        bought = await platform.finished("buy")
        assert (list(bought.states), reasons(bought)) == ([FILLED, REJECTED, FILLED], ["", "SLIPPAGE", ""])
        limits = {"reference_prices_e8": [110_005_000, 110_006_000], "max_slippages_e8": [5_000, 5_000]}
        await platform.submit("sell", [(account.account_id, -LOT // 100)] * 2, **limits)
        assert reasons(await platform.finished("sell")) == ["", "SLIPPAGE"]
        limits = {"reference_prices_e8": [1], "max_slippages_e8": [1]}
        await platform.submit("nothing", [(account.account_id, LOT)], symbol="NOSUCH", **limits)
        assert reasons(await platform.finished("nothing")) == ["NO_PRICE"]
        assert len(await platform.positions(account.account_id)) == 3
        await simulator.add_fault("disconnect", endpoint="tick/last", count=None)
        limits = {"reference_prices_e8": [110_005_000], "max_slippages_e8": [5_000]}
        await platform.submit("blind", [(account.account_id, LOT // 100)], **limits)
        blind = await platform.finished("blind")
        assert (list(blind.states), reasons(blind)) == ([REJECTED], ["NO_PRICE"])
        assert len(await platform.positions(account.account_id)) == 3
