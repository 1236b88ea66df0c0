"""Orders and what an answer of the trading server makes of them.

READY ─→ SENDING ─→ FILLED, PARTIALLY_FILLED, REJECTED
  ↑         │  └──→ UNKNOWN ─→ the same by evidence, or EXPIRED (an open) or READY (a close, a modification)
  └─────────┘ certainly not executed
An open leaves SENDING for READY only when the server certainly did not run it; a close or a modification is repeated
until it is done or refused for good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from apportion.platform_groups.domain.server_facts import ServerPosition
from apportion.platform_groups.domain.states import OrderPurpose, OrderState

RETRY_SECONDS = 0.25
LONGEST_RETRY_SECONDS = 5.0
ALREADY_CLOSED = "ALREADY_CLOSED"
CLOSE_VOLUME = "CLOSE_VOLUME"
ACCOUNT_NOT_OPEN = "ACCOUNT_NOT_OPEN"
ACCOUNT_READ_ONLY = "ACCOUNT_READ_ONLY"
NOT_AFTER_PASSED = "NOT_AFTER_PASSED"
NOT_FOUND_ON_SERVER = "NOT_FOUND_ON_SERVER"
KILL_SWITCH = "KILL_SWITCH_ON"
HALTED = "PAUSED_BY_RISK"
SUPERSEDED = "SUPERSEDED"
POSITION_GONE = "POSITION_GONE"
POSITION_REQUIRED = "POSITION_REQUIRED"
SLIPPAGE = "SLIPPAGE"
NO_PRICE = "NO_PRICE"


@dataclass(frozen=True, slots=True)
class SentOrder:
    """An order that was marked SENDING, with what is needed to send it and to judge its answer."""

    order_id: int
    account_id: int
    login: int
    shard: int
    purpose: OrderPurpose
    symbol: str
    volume_e8: int
    position_ticket: int
    stop_loss_e8: int
    take_profit_e8: int
    reference_price_e8: int
    """0: no limit of the slippage."""
    max_slippage_e8: int
    not_after_time: datetime | None
    epoch: int
    attempt_count: int
    nets: bool = False
    """Whether its account has one position a symbol."""

    @property
    def reduces(self) -> bool:
        """Whether it closes a part of what a netting account holds in the symbol, and must not turn it."""
        return self.nets and self.purpose is OrderPurpose.CLOSE and self.position_ticket > 0


@dataclass(frozen=True, slots=True)
class UnknownOrder:
    """An order whose answer was lost."""

    order_id: int
    login: int
    shard: int
    purpose: OrderPurpose
    volume_e8: int
    position_ticket: int
    stop_loss_e8: int
    take_profit_e8: int
    epoch: int
    reason: str
    absent_count: int
    attempt_count: int
    sent_server_time_ms: int
    sent_time: datetime
    not_after_time: datetime | None
    symbol: str = ""
    nets: bool = False


class AnswerKind(Enum):
    FILLED = "the server executed it, completely or in part"
    REFUSED = "the server said no for good"
    POSTPONED = "the server said no for now"
    NOT_TAKEN = "it never ran"
    ALREADY_CLOSED = "there is no such position any more"
    UNCHANGED = "it is as wished already"
    CLOSE_VOLUME = "the position is smaller than the volume"
    LOST = "nobody knows"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said, or that it said nothing. Volume is unsigned."""

    kind: AnswerKind
    reason: str = ""
    volume_e8: int = 0
    price_e8: int = 0
    position_ticket: int = 0
    deal_ticket: int = 0
    server_time_ms: int = 0


@dataclass(frozen=True, slots=True)
class OrderOutcome:
    """The next state of an order. It holds for one sending only: an order that was sent again since keeps its state.

    Volumes are signed like the order's.
    """

    order_id: int
    epoch: int
    attempt_count: int
    state: OrderState
    reason: str = ""
    volume_e8: int = 0
    """New volume to send; 0 keeps it."""
    filled_volume_e8: int = 0
    price_e8: int = 0
    position_ticket: int = 0
    deal_ticket: int = 0
    server_time_ms: int = 0
    retry_seconds: float = 0.0


def bound_to_net(order: SentOrder, held: Sequence[ServerPosition]) -> SentOrder | Answer:
    """A close on a netting account, bound to the position that the account holds in its symbol now: the server then
    refuses to turn it. An answer where there is nothing (more) to close, or less than the volume."""
    position = next((each for each in held if each.symbol == order.symbol), None)
    if position is None or (position.volume_e8 > 0) is (order.volume_e8 > 0):
        return Answer(AnswerKind.ALREADY_CLOSED, ALREADY_CLOSED)
    if abs(position.volume_e8) < abs(order.volume_e8):
        return Answer(AnswerKind.CLOSE_VOLUME, CLOSE_VOLUME)
    return replace(order, position_ticket=position.position_ticket)


def settle(order: SentOrder, answer: Answer) -> OrderOutcome:
    """The outcome of one answer."""
    kind = answer.kind
    if kind is AnswerKind.FILLED:
        return filled(order, answer)
    if kind is AnswerKind.LOST:
        return OrderOutcome(order.order_id, order.epoch, order.attempt_count, OrderState.UNKNOWN, answer.reason)
    if kind is AnswerKind.NOT_TAKEN:
        return again(order, answer.reason)
    if order.purpose is not OrderPurpose.OPEN and kind is AnswerKind.POSTPONED:
        return again(order, answer.reason)
    if order.purpose is OrderPurpose.CLOSE:
        return _settle_close(order, answer)
    if order.purpose is OrderPurpose.MODIFY:
        return _settle_modify(order, answer)
    return OrderOutcome(order.order_id, order.epoch, order.attempt_count, OrderState.REJECTED, answer.reason)


def _settle_close(order: SentOrder, answer: Answer) -> OrderOutcome:
    if answer.kind is AnswerKind.ALREADY_CLOSED:
        return already_closed(order)
    if answer.kind is AnswerKind.CLOSE_VOLUME:
        return OrderOutcome(order.order_id, order.epoch, order.attempt_count, OrderState.UNKNOWN, CLOSE_VOLUME)
    return OrderOutcome(order.order_id, order.epoch, order.attempt_count, OrderState.REJECTED, answer.reason)


def _settle_modify(order: SentOrder, answer: Answer) -> OrderOutcome:
    if answer.kind is AnswerKind.UNCHANGED:
        return modified(order)
    reason = POSITION_GONE if answer.kind is AnswerKind.ALREADY_CLOSED else answer.reason
    return OrderOutcome(order.order_id, order.epoch, order.attempt_count, OrderState.REJECTED, reason)


def slippage_refusal(order: SentOrder, bid_e8: int, ask_e8: int) -> str:
    """Why an open may not be sent at this market: NO_PRICE, SLIPPAGE; "" when it may. It buys at ask, sells at bid."""
    if not order.reference_price_e8:
        return ""
    price_e8 = ask_e8 if order.volume_e8 > 0 else bid_e8
    if price_e8 <= 0:
        return NO_PRICE
    worse_e8 = price_e8 - order.reference_price_e8 if order.volume_e8 > 0 else order.reference_price_e8 - price_e8
    return SLIPPAGE if worse_e8 > order.max_slippage_e8 else ""


def modified(order: SentOrder | UnknownOrder) -> OrderOutcome:
    """Stop loss and take profit are as wished."""
    return OrderOutcome(order.order_id, order.epoch, order.attempt_count, OrderState.FILLED)


def filled(order: SentOrder | UnknownOrder, answer: Answer) -> OrderOutcome:
    """FILLED, or PARTIALLY_FILLED when less than the order's volume was done."""
    signed = answer.volume_e8 if order.volume_e8 > 0 else -answer.volume_e8
    complete = answer.volume_e8 >= abs(order.volume_e8)
    return OrderOutcome(
        order.order_id,
        order.epoch,
        order.attempt_count,
        OrderState.FILLED if complete else OrderState.PARTIALLY_FILLED,
        filled_volume_e8=signed,
        price_e8=answer.price_e8,
        position_ticket=answer.position_ticket,
        deal_ticket=answer.deal_ticket,
        server_time_ms=answer.server_time_ms,
    )


def already_closed(order: SentOrder | UnknownOrder) -> OrderOutcome:
    """A close whose position somebody else closed is done, with nothing filled by us."""
    return OrderOutcome(
        order.order_id,
        order.epoch,
        order.attempt_count,
        OrderState.FILLED,
        ALREADY_CLOSED,
    )


def again(order: SentOrder | UnknownOrder, reason: str = "", *, volume_e8: int = 0) -> OrderOutcome:
    """To be sent once more, after a pause. `volume_e8` 0 keeps the volume to send."""
    return OrderOutcome(
        order.order_id,
        order.epoch,
        order.attempt_count,
        OrderState.READY,
        reason,
        volume_e8=volume_e8,
        retry_seconds=backoff_seconds(order.attempt_count),
    )


def backoff_seconds(attempt_count: int) -> float:
    """Seconds before the next attempt: 0.25, 0.5, … 5."""
    return float(min(RETRY_SECONDS * 2 ** min(attempt_count, 8), LONGEST_RETRY_SECONDS))
