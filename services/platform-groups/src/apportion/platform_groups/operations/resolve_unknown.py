"""End UNKNOWN orders and legs by the server's records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.evidence import (
    booked_otherwise,
    judge_leg,
    judge_order,
    leg_counts_as_absent,
    order_counts_as_absent,
)
from apportion.platform_groups.domain.orders import OrderOutcome, UnknownOrder
from apportion.platform_groups.domain.server_facts import DAY_MS, HOUR_MS, ServerDeal, ServerPosition
from apportion.platform_groups.domain.states import DealAction, OrderPurpose
from apportion.platform_groups.domain.tokens import leg_token, leg_token_of, order_of
from apportion.platform_groups.domain.transfers import LegOutcome, UnknownLeg
from apportion.platform_groups.operations.ports import NewId, TradingServerPort
from apportion.platform_groups.operations.save_leg_outcomes import save_leg_outcomes
from apportion.platform_groups.operations.save_order_outcomes import save_order_outcomes
from apportion.platform_groups.storage.orders import list_unknown
from apportion.platform_groups.storage.transfers import list_unknown_legs
from apportion.storage import transaction

log = structlog.get_logger()

BATCH = 200
WINDOW_MARGIN_MS = HOUR_MS + 120_000
"""How far before the sending the search begins: the server's clock was read some time before, and may go back."""


async def resolve_orders(
    engine: AsyncEngine,
    server: TradingServerPort,
    new_id: NewId,
    trading_server_id: int,
    shards: Sequence[int],
    *,
    answer_timeout: timedelta,
    now: datetime,
) -> None:
    """Looks once for the UNKNOWN orders of these shards.

    Positions are read before deals, so that an execution in between shows at least in the deals. Raises ServerFailure
    when a report is not complete: then nothing is concluded.
    """
    async with transaction(engine) as tx:
        orders = await list_unknown(tx, trading_server_id, shards, BATCH)
    if not orders:
        return
    logins = sorted({order.login for order in orders})
    positions = await server.positions_of_logins(logins)
    from_ms = min(order.sent_server_time_ms for order in orders) - WINDOW_MARGIN_MS
    to_ms = await server.server_time_ms() + DAY_MS
    deals = await server.deals_of_logins(logins, max(from_ms, 0), to_ms)
    outcomes, absent = _judge_all(orders, positions, deals, answer_timeout, now)
    if outcomes or absent:
        await save_order_outcomes(engine, new_id, outcomes, absent=absent, now=now)


def _judge_all(
    orders: Sequence[UnknownOrder],
    positions: Sequence[ServerPosition],
    deals: Sequence[ServerDeal],
    answer_timeout: timedelta,
    now: datetime,
) -> tuple[list[OrderOutcome], list[UnknownOrder]]:
    """Outcomes, and the orders to count as absent once more."""
    deal_of = {(deal.login, order_of(deal.comment)): deal for deal in deals if not deal.by_client}
    opened = {(position.login, order_of(position.comment)): position for position in positions}
    by_ticket = {(position.login, position.position_ticket): position for position in positions}
    by_symbol = {(position.login, position.symbol): position for position in positions}
    outcomes: list[OrderOutcome] = []
    absent: list[UnknownOrder] = []
    for order in orders:
        if order.nets:
            position = None if order.purpose is OrderPurpose.OPEN else by_symbol.get((order.login, order.symbol))
        elif order.purpose is OrderPurpose.OPEN:
            position = opened.get((order.login, order.order_id))
        else:
            position = by_ticket.get((order.login, order.position_ticket))
        deal = deal_of.get((order.login, order.order_id))
        outcome = judge_order(order, deal, position, read_time=now, timeout=answer_timeout)
        if outcome is not None:
            outcomes.append(outcome)
        elif order_counts_as_absent(order, now, answer_timeout):
            absent.append(order)
    return outcomes, absent


async def resolve_legs(
    engine: AsyncEngine,
    server: TradingServerPort,
    new_id: NewId,
    trading_server_id: int,
    shards: Sequence[int],
    *,
    answer_timeout: timedelta,
    now: datetime,
) -> None:
    """Looks once for the UNKNOWN legs of these shards. Raises ServerFailure."""
    async with transaction(engine) as tx:
        legs = await list_unknown_legs(tx, trading_server_id, shards, BATCH, now)
    if not legs:
        return
    from_ms = min(leg.sent_server_time_ms for leg in legs) - WINDOW_MARGIN_MS
    to_ms = await server.server_time_ms() + DAY_MS
    deals = await server.deals_of_logins(sorted({leg.login for leg in legs}), max(from_ms, 0), to_ms)
    # Of balance operations only: a trader can write the token of a leg to come into the comment of a trade.
    operations: dict[tuple[int, str], list[ServerDeal]] = defaultdict(list)
    for deal in deals:
        if deal.action is not DealAction.TRADE:
            operations[deal.login, leg_token_of(deal.comment)].append(deal)
    outcomes: list[LegOutcome] = []
    absent: list[UnknownLeg] = []
    for leg in legs:
        ticket = _ticket_of(leg, operations)
        outcome = (
            booked_otherwise(leg) if ticket is None else judge_leg(leg, ticket, read_time=now, timeout=answer_timeout)
        )
        if outcome is not None:
            outcomes.append(outcome)
        elif leg_counts_as_absent(leg, now, answer_timeout):
            absent.append(leg)
    if outcomes or absent:
        await save_leg_outcomes(engine, new_id, outcomes, absent=absent, now=now)


def _ticket_of(leg: UnknownLeg, operations: Mapping[tuple[int, str], Sequence[ServerDeal]]) -> int | None:
    """Of the deal that booked the leg; 0: none did. None: one bears its token, and another amount.

    A token without salt counts, too: a worker of the version before, which may run beside this one, writes none.
    """
    own = operations.get((leg.login, leg_token(leg.leg_id, leg.token_salt)), ())
    for deal in (*own, *operations.get((leg.login, leg_token(leg.leg_id)), ())):
        if deal.profit_minor == leg.amount_minor:
            return deal.deal_ticket
    if not own:
        return 0
    log.error(
        "leg_booked_otherwise",
        leg_id=leg.leg_id,
        amount_minor=leg.amount_minor,
        deal_ticket=own[0].deal_ticket,
        booked_minor=own[0].profit_minor,
    )
    return None
