"""What a lost answer, a refusal or a cut connection makes of orders: nothing twice, nothing forgotten."""

from __future__ import annotations

import pytest

from apportion.api.platform_groups.v1 import trading_pb2
from apportion.testing.polling import eventually

LOT = 100_000_000
SEND = "dealer/send_request"
FILLED = trading_pb2.ORDER_STATE_FILLED


def reasons(orders: trading_pb2.OrderColumns) -> list[str]:
    return [orders.reasons[index] for index in orders.reason_indexes]


REPEATED = ("lose_answer", "lose_result", "requote", "disconnect")
DENIED = {"kind": "deny", "retcode": 9}
"""Executed, but the answer says that something between us and the trade server failed."""


@pytest.mark.parametrize("fault", [{"kind": "lose_answer"}, {"kind": "lose_result"}, DENIED])
async def test_an_executed_open_with_a_lost_answer_is_found_and_not_repeated(start, simulator, fault) -> None:
    async with start() as platform:
        await platform.set_up(simulator)
        account = await platform.account(balance_minor=1_000_000)
        await simulator.add_fault(**fault, endpoint=SEND, count=1)
        await platform.submit("lost/1", [(account.account_id, LOT)])
        orders = await platform.finished("lost/1")
        assert list(orders.states) == [FILLED]
        assert orders.prices_e8[0] == 110_010_000
        assert orders.deal_tickets[0] > 0
        [position] = await platform.positions(account.account_id)
        assert position.position_ticket == orders.position_tickets[0]


async def test_an_open_that_left_no_trace_expires_and_is_never_repeated(start, simulator) -> None:
    async with start() as platform:
        await platform.set_up(simulator)
        account = await platform.account(balance_minor=1_000_000)
        await simulator.add_fault("disconnect", endpoint=SEND, count=1)
        await platform.submit("gone/1", [(account.account_id, LOT)])
        await platform.let_pass("gone/1")
        orders = await platform.finished("gone/1")
        assert list(orders.states) == [trading_pb2.ORDER_STATE_EXPIRED]
        assert reasons(orders) == ["NOT_FOUND_ON_SERVER"]
        assert await platform.positions(account.account_id) == []


async def test_an_open_that_the_server_refuses_is_rejected_with_the_reason(start, simulator) -> None:
    async with start() as platform:
        await platform.set_up(simulator)
        account = await platform.account(balance_minor=1_000_000)
        await simulator.add_fault("requote", endpoint=SEND, count=1)
        await platform.submit("refused/1", [(account.account_id, LOT)])
        orders = await platform.finished("refused/1")
        assert list(orders.states) == [trading_pb2.ORDER_STATE_REJECTED]
        assert reasons(orders) == ["REQUOTE"]
        await platform.submit("refused/2", [(account.account_id, 90 * LOT)])
        assert reasons(await platform.finished("refused/2")) == ["NO_MONEY"]
        assert await platform.positions(account.account_id) == []


async def test_back_pressure_and_a_refused_session_only_delay_an_open(start, simulator) -> None:
    async with start() as platform:
        await platform.set_up(simulator)
        account = await platform.account(balance_minor=1_000_000)
        await simulator.add_fault("reject", endpoint=SEND, retcode=10024, count=1)
        await simulator.add_fault("forbidden", endpoint=SEND, skip=1, count=1)
        await platform.submit("later/1", [(account.account_id, LOT)])
        assert list((await platform.finished("later/1")).states) == [FILLED]
        assert len(await platform.positions(account.account_id)) == 1


@pytest.mark.parametrize("fault", [*({"kind": kind} for kind in REPEATED), DENIED])
async def test_a_close_is_repeated_until_the_position_is_gone(start, simulator, fault) -> None:
    async with start() as platform:
        await platform.set_up(simulator)
        account = await platform.account(balance_minor=1_000_000)
        await platform.submit("open", [(account.account_id, LOT)])
        ticket = (await platform.finished("open")).position_tickets[0]
        await simulator.add_fault(**fault, endpoint=SEND, count=1)
        await platform.submit("close", [(account.account_id, -LOT * 4 // 10)], tickets=[ticket])
        orders = await platform.finished("close")
        assert list(orders.states) == [FILLED]
        assert list(orders.filled_volumes_e8) == [-LOT * 4 // 10]
        [position] = await platform.positions(account.account_id)
        assert position.volume_e8 == LOT * 6 // 10, "closed once"


async def test_a_close_of_a_closed_position_is_done(start, simulator) -> None:
    async with start() as platform:
        await platform.set_up(simulator)
        account = await platform.account(balance_minor=1_000_000)
        await platform.submit("open", [(account.account_id, LOT)])
        ticket = (await platform.finished("open")).position_tickets[0]
        await simulator.close_position(account.login, ticket)
        await platform.submit("close", [(account.account_id, -LOT)], tickets=[ticket])
        orders = await platform.finished("close")
        assert (list(orders.states), reasons(orders)) == ([FILLED], ["ALREADY_CLOSED"])
        assert list(orders.filled_volumes_e8) == [0]


async def test_a_close_larger_than_the_position_closes_what_is_left(start, simulator) -> None:
    async with start() as platform:
        await platform.set_up(simulator)
        account = await platform.account(balance_minor=1_000_000)
        await platform.submit("open", [(account.account_id, LOT)])
        ticket = (await platform.finished("open")).position_tickets[0]
        await simulator.close_position(account.login, ticket, "0.30")
        await platform.submit("close", [(account.account_id, -LOT)], tickets=[ticket])
        orders = await platform.finished("close")
        assert list(orders.states) == [FILLED]
        assert list(orders.filled_volumes_e8) == [-LOT * 7 // 10]
        assert await platform.positions(account.account_id) == []


async def test_an_open_that_comes_too_late_is_not_sent(start, simulator) -> None:
    async with start() as platform:
        await platform.set_up(simulator)
        account = await platform.account(balance_minor=1_000_000)
        await platform.submit("late/1", [(account.account_id, LOT)], seconds=-0.1)
        orders = await platform.finished("late/1")
        assert list(orders.states) == [trading_pb2.ORDER_STATE_EXPIRED]
        assert reasons(orders) == ["NOT_AFTER_PASSED"]


async def test_all_positions_are_closed_through_refusals_and_lost_answers(start, simulator) -> None:
    async with start() as platform:
        await platform.set_up(simulator)
        account = await platform.account(balance_minor=1_000_000)
        for volume in ("0.10", "0.20", "0.30"):
            await simulator.buy(account.login, "EURUSD", volume)
        await simulator.sell(account.login, "EURUSD", "0.15")
        await simulator.add_fault("requote", endpoint=SEND, count=2)
        await simulator.add_fault("lose_answer", endpoint=SEND, skip=2, count=1)
        request = trading_pb2.CloseAllPositionsRequest(
            request_id=platform.new_id(), account_id=account.account_id, cause="test"
        )
        closing = (await platform.trading.CloseAllPositions(request, **platform.options())).closing
        again = (await platform.trading.CloseAllPositions(request, **platform.options())).closing
        assert again.closing_id == closing.closing_id

        async def flat() -> trading_pb2.Closing | None:
            question = trading_pb2.GetClosingRequest(closing_id=closing.closing_id)
            now = (await platform.trading.GetClosing(question, **platform.options())).closing
            return now if now.state == trading_pb2.CLOSING_STATE_FLAT else None

        done = await eventually(flat, 60)
        assert len(done.position_tickets) == 4
        assert sum(done.volumes_e8) == -LOT * 45 // 100
        assert await platform.positions(account.account_id) == []
