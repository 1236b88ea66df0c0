"""Ending UNKNOWN orders and legs by what the server's records say, and only by that.

Found: the deal with our token decides. Not found: one report proves nothing. After two complete reports, made later
than the order's own time limit plus the server's request timeout, an open is EXPIRED and a close is sent again; a close
whose volume the server itself refused is sent again at once. A modification is done when the position shows it after
that time, and is sent again when it does not. A leg is booked when a deal carries its token, and sent again after two
such reports without one.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from apportion.platform_groups.domain.orders import (
    CLOSE_VOLUME,
    NOT_FOUND_ON_SERVER,
    POSITION_GONE,
    Answer,
    AnswerKind,
    OrderOutcome,
    UnknownOrder,
    again,
    already_closed,
    filled,
    modified,
)
from apportion.platform_groups.domain.server_facts import ServerDeal, ServerPosition
from apportion.platform_groups.domain.states import LegState, OrderPurpose, OrderState
from apportion.platform_groups.domain.transfers import LegOutcome, UnknownLeg, postponed

ABSENT_READS = 2
"""Complete reports without a trace, before anything counts as never done."""
BOOKED_OTHERWISE = "BOOKED_OTHERWISE"
BOOKED_OTHERWISE_RETRY_SECONDS = 600.0
"""Seldom: a look at an old leg makes the report that serves all of them long."""


def judge_order(
    order: UnknownOrder,
    deal: ServerDeal | None,
    position: ServerPosition | None,
    *,
    read_time: datetime,
    timeout: timedelta,
) -> OrderOutcome | None:
    """The outcome, or None: not known yet (the caller then counts this complete report as one absence).

    `deal` carries the order's token. `position` is, for an open, the one that carries the token (of a netting account
    there is none: only its deals tell); otherwise the one to be closed or modified, of a netting account the one in
    the symbol. Both come from complete reports made at `read_time`.
    """
    if deal is not None:
        answer = Answer(
            AnswerKind.FILLED,
            volume_e8=abs(deal.volume_e8),
            price_e8=deal.price_e8,
            position_ticket=deal.position_ticket,
            deal_ticket=deal.deal_ticket,
            server_time_ms=deal.server_time_ms,
        )
        return filled(order, answer)
    if order.purpose is OrderPurpose.OPEN:
        return _judge_open(order, position, read_time, timeout)
    if order.purpose is OrderPurpose.MODIFY:
        return _judge_modify(order, position, read_time, timeout)
    return _judge_close(order, position, read_time, timeout)


def order_counts_as_absent(order: UnknownOrder, read_time: datetime, timeout: timedelta) -> bool:
    """Whether a report without evidence, made now, is late enough to say anything."""
    limit = max(order.sent_time, order.not_after_time or order.sent_time)
    return read_time > limit + timeout


def judge_leg(leg: UnknownLeg, deal_ticket: int, *, read_time: datetime, timeout: timedelta) -> LegOutcome | None:
    """The outcome, or None: not known yet. `deal_ticket` is of the deal that carries the leg's token, 0: there is none
    in a complete report made at `read_time`."""
    if deal_ticket:
        return LegOutcome(leg.leg_id, leg.epoch, leg.attempt_count, LegState.DONE, deal_ticket=deal_ticket)
    if leg.absent_count + 1 < ABSENT_READS or not leg_counts_as_absent(leg, read_time, timeout):
        return None
    return postponed(leg, NOT_FOUND_ON_SERVER)


def booked_otherwise(leg: UnknownLeg) -> LegOutcome:
    """A deal carries the leg's token with another amount: somebody has to look, and we look again later."""
    return LegOutcome(
        leg.leg_id,
        leg.epoch,
        leg.attempt_count,
        LegState.UNKNOWN,
        BOOKED_OTHERWISE,
        retry_seconds=BOOKED_OTHERWISE_RETRY_SECONDS,
    )


def leg_counts_as_absent(leg: UnknownLeg, read_time: datetime, timeout: timedelta) -> bool:
    """As `order_counts_as_absent`."""
    return read_time > leg.sent_time + timeout


def _judge_open(
    order: UnknownOrder, position: ServerPosition | None, read_time: datetime, timeout: timedelta
) -> OrderOutcome | None:
    if position is not None:
        answer = Answer(
            AnswerKind.FILLED,
            volume_e8=abs(position.volume_e8),
            price_e8=position.open_price_e8,
            position_ticket=position.position_ticket,
            server_time_ms=position.server_time_ms,
        )
        return filled(order, answer)
    if order.absent_count + 1 < ABSENT_READS or not order_counts_as_absent(order, read_time, timeout):
        return None
    return OrderOutcome(order.order_id, order.epoch, order.attempt_count, OrderState.EXPIRED, NOT_FOUND_ON_SERVER)


def _judge_close(
    order: UnknownOrder, position: ServerPosition | None, read_time: datetime, timeout: timedelta
) -> OrderOutcome | None:
    certain = order.reason == CLOSE_VOLUME
    if not certain and (order.absent_count + 1 < ABSENT_READS or not order_counts_as_absent(order, read_time, timeout)):
        return None
    if order.nets and not order.position_ticket:
        return again(order)
    if position is None or (position.volume_e8 > 0) is (order.volume_e8 > 0):
        return already_closed(order)
    left = min(abs(order.volume_e8), abs(position.volume_e8))
    signed = left if order.volume_e8 > 0 else -left
    return again(order, volume_e8=signed)


def _judge_modify(
    order: UnknownOrder, position: ServerPosition | None, read_time: datetime, timeout: timedelta
) -> OrderOutcome | None:
    """Stops as wished prove nothing early: they may have been so before, and the request still be on the wire, where it
    would undo the next one."""
    if not order_counts_as_absent(order, read_time, timeout):
        return None
    wished = (order.stop_loss_e8, order.take_profit_e8)
    if position is not None and (position.stop_loss_e8, position.take_profit_e8) == wished:
        return modified(order)
    if order.absent_count + 1 < ABSENT_READS:
        return None
    if position is None:
        return OrderOutcome(order.order_id, order.epoch, order.attempt_count, OrderState.REJECTED, POSITION_GONE)
    return again(order)
