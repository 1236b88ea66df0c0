"""The state tables of orders: answers, and evidence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from apportion.platform_groups.domain.evidence import judge_order, order_counts_as_absent
from apportion.platform_groups.domain.orders import (
    Answer,
    AnswerKind,
    SentOrder,
    UnknownOrder,
    backoff_seconds,
    settle,
    slippage_refusal,
)
from apportion.platform_groups.domain.server_facts import ServerDeal, ServerPosition
from apportion.platform_groups.domain.states import DealAction, DealEntry, OrderPurpose, OrderState

LOT = 100_000_000
T0 = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
TIMEOUT = timedelta(seconds=10)

OPEN = SentOrder(
    order_id=1,
    account_id=2,
    login=3,
    shard=2,
    purpose=OrderPurpose.OPEN,
    symbol="EURUSD",
    volume_e8=-LOT,
    position_ticket=0,
    stop_loss_e8=0,
    take_profit_e8=0,
    reference_price_e8=0,
    max_slippage_e8=0,
    not_after_time=T0,
    epoch=4,
    attempt_count=1,
)
CLOSE = replace(OPEN, purpose=OrderPurpose.CLOSE, position_ticket=77)
MODIFY = replace(OPEN, purpose=OrderPurpose.MODIFY, position_ticket=77, volume_e8=0, stop_loss_e8=5)


@pytest.mark.parametrize(
    ("kind", "of_open", "of_close", "of_modify"),
    [
        (AnswerKind.FILLED, OrderState.FILLED, OrderState.FILLED, OrderState.FILLED),
        (AnswerKind.REFUSED, OrderState.REJECTED, OrderState.REJECTED, OrderState.REJECTED),
        (AnswerKind.POSTPONED, OrderState.REJECTED, OrderState.READY, OrderState.READY),
        (AnswerKind.NOT_TAKEN, OrderState.READY, OrderState.READY, OrderState.READY),
        (AnswerKind.ALREADY_CLOSED, OrderState.REJECTED, OrderState.FILLED, OrderState.REJECTED),
        (AnswerKind.UNCHANGED, OrderState.REJECTED, OrderState.REJECTED, OrderState.FILLED),
        (AnswerKind.CLOSE_VOLUME, OrderState.REJECTED, OrderState.UNKNOWN, OrderState.REJECTED),
        (AnswerKind.LOST, OrderState.UNKNOWN, OrderState.UNKNOWN, OrderState.UNKNOWN),
    ],
)
def test_answers(kind: AnswerKind, of_open: OrderState, of_close: OrderState, of_modify: OrderState) -> None:
    answer = Answer(kind, "WHY", volume_e8=LOT if kind is AnswerKind.FILLED else 0)
    assert settle(OPEN, answer).state is of_open
    assert settle(MODIFY, answer).state is of_modify
    closed = settle(CLOSE, answer)
    assert closed.state is of_close
    assert closed.epoch == 4
    if closed.state is OrderState.READY:
        assert closed.retry_seconds > 0


def test_every_kind_of_answer_is_in_the_table() -> None:
    for order in (OPEN, CLOSE, MODIFY):
        for kind in AnswerKind:
            settle(order, Answer(kind))


def test_a_partial_fill_keeps_what_was_filled() -> None:
    outcome = settle(OPEN, Answer(AnswerKind.FILLED, volume_e8=LOT // 4, price_e8=5))
    assert (outcome.state, outcome.filled_volume_e8) == (OrderState.PARTIALLY_FILLED, -LOT // 4)


def test_a_modification_of_a_closed_position_says_so() -> None:
    assert settle(MODIFY, Answer(AnswerKind.ALREADY_CLOSED, "ALREADY_CLOSED")).reason == "POSITION_GONE"


@pytest.mark.parametrize(
    ("volume_e8", "bid_e8", "ask_e8", "reason"),
    [
        (LOT, 0, 110, ""),
        (LOT, 0, 111, "SLIPPAGE"),
        (LOT, 0, 50, ""),
        (-LOT, 90, 0, ""),
        (-LOT, 89, 0, "SLIPPAGE"),
        (-LOT, 200, 0, ""),
        (LOT, 100, 0, "NO_PRICE"),
        (-LOT, 0, 100, "NO_PRICE"),
    ],
)
def test_an_open_pays_no_more_than_its_limit(volume_e8: int, bid_e8: int, ask_e8: int, reason: str) -> None:
    limited = replace(OPEN, volume_e8=volume_e8, reference_price_e8=100, max_slippage_e8=10)
    assert slippage_refusal(limited, bid_e8, ask_e8) == reason
    assert slippage_refusal(replace(limited, reference_price_e8=0), bid_e8, ask_e8) == ""


def test_retries_slow_down() -> None:
    assert [backoff_seconds(n) for n in range(7)] == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert backoff_seconds(10_000) == 5.0


UNKNOWN_OPEN = UnknownOrder(
    order_id=1,
    login=3,
    shard=2,
    purpose=OrderPurpose.OPEN,
    volume_e8=-LOT,
    position_ticket=0,
    stop_loss_e8=0,
    take_profit_e8=0,
    epoch=4,
    reason="",
    absent_count=0,
    attempt_count=1,
    sent_server_time_ms=0,
    sent_time=T0,
    not_after_time=T0 + timedelta(seconds=5),
)
UNKNOWN_CLOSE = replace(UNKNOWN_OPEN, purpose=OrderPurpose.CLOSE, position_ticket=77, not_after_time=None)
DEAL = ServerDeal(
    deal_ticket=8,
    login=3,
    order_ticket=9,
    position_ticket=9,
    action=DealAction.TRADE,
    entry=DealEntry.IN,
    symbol="EURUSD",
    volume_e8=-LOT,
    price_e8=11,
    profit_minor=0,
    swap_minor=0,
    commission_minor=0,
    server_time_ms=12,
    reason=2,
    stop_loss_e8=0,
    take_profit_e8=0,
    comment="ap:o1",
    by_client=False,
)
POSITION = ServerPosition(
    position_ticket=77,
    login=3,
    symbol="EURUSD",
    volume_e8=LOT,
    open_price_e8=11,
    stop_loss_e8=0,
    take_profit_e8=0,
    profit_minor=0,
    swap_minor=0,
    server_time_ms=12,
    comment="ap:o1",
)
EARLY, LATE = T0 + timedelta(seconds=14), T0 + timedelta(seconds=16)


def judged(order: UnknownOrder, deal=None, position=None, read_time=LATE):
    return judge_order(order, deal, position, read_time=read_time, timeout=TIMEOUT)


def test_a_deal_with_the_token_decides_at_once() -> None:
    for order in (UNKNOWN_OPEN, UNKNOWN_CLOSE):
        outcome = judged(order, DEAL, read_time=T0)
        assert (outcome.state, outcome.filled_volume_e8, outcome.deal_ticket) == (OrderState.FILLED, -LOT, 8)


def test_a_position_with_the_token_decides_for_an_open() -> None:
    outcome = judged(UNKNOWN_OPEN, position=replace(POSITION, volume_e8=-LOT), read_time=T0)
    assert (outcome.state, outcome.position_ticket) == (OrderState.FILLED, 77)


def test_an_open_expires_after_two_late_reads_and_not_before() -> None:
    assert not order_counts_as_absent(UNKNOWN_OPEN, EARLY, TIMEOUT), "its own limit plus the server's timeout"
    assert order_counts_as_absent(UNKNOWN_OPEN, LATE, TIMEOUT)
    assert judged(UNKNOWN_OPEN) is None
    seen_once = replace(UNKNOWN_OPEN, absent_count=1)
    assert judged(seen_once, read_time=EARLY) is None
    assert judged(seen_once).state is OrderState.EXPIRED


def test_a_close_without_a_trace_is_sent_again_with_what_is_left() -> None:
    seen_once = replace(UNKNOWN_CLOSE, absent_count=1)
    assert judged(UNKNOWN_CLOSE, position=POSITION) is None
    assert judged(seen_once, position=POSITION, read_time=T0) is None
    again = judged(seen_once, position=replace(POSITION, volume_e8=LOT // 2))
    assert (again.state, again.volume_e8) == (OrderState.READY, -LOT // 2)
    assert judged(seen_once).reason == "ALREADY_CLOSED"


def test_a_close_refused_for_its_volume_is_sent_again_at_once() -> None:
    refused = replace(UNKNOWN_CLOSE, reason="CLOSE_VOLUME")
    again = judged(refused, position=replace(POSITION, volume_e8=LOT // 2), read_time=T0)
    assert (again.state, again.volume_e8) == (OrderState.READY, -LOT // 2)
    assert judged(refused, read_time=T0).reason == "ALREADY_CLOSED"


UNKNOWN_MODIFY = replace(
    UNKNOWN_CLOSE, purpose=OrderPurpose.MODIFY, volume_e8=0, stop_loss_e8=5, take_profit_e8=6, absent_count=1
)


def test_a_modification_is_done_when_the_position_shows_it() -> None:
    shown, first = replace(POSITION, stop_loss_e8=5, take_profit_e8=6), replace(UNKNOWN_MODIFY, absent_count=0)
    assert judged(first, position=shown, read_time=T0) is None, "it may be on the wire, and undo what comes next"
    assert judged(first, position=shown).state is OrderState.FILLED


def test_a_modification_without_a_trace_is_sent_again_late_and_not_to_a_closed_position() -> None:
    other = replace(POSITION, stop_loss_e8=5)
    assert judged(UNKNOWN_MODIFY, position=other, read_time=T0) is None
    assert judged(replace(UNKNOWN_MODIFY, absent_count=0), position=other) is None
    assert judged(UNKNOWN_MODIFY, position=other).state is OrderState.READY
    gone = judged(UNKNOWN_MODIFY)
    assert (gone.state, gone.reason) == (OrderState.REJECTED, "POSITION_GONE")
