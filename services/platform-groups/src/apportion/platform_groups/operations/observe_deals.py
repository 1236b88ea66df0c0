"""Store deals that the connector read and tell the others, each exactly once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.platform_groups.v1 import events_pb2
from apportion.platform_groups.domain.position_stops import Stops
from apportion.platform_groups.domain.states import AccountKind, DealAction, DealEntry
from apportion.platform_groups.operations.ports import NewId
from apportion.platform_groups.storage.deals import NO_ORDER, ObservedDeal, SubmittedOrder, insert_deals, load_submitted
from apportion.platform_groups.storage.events import TextIndex, append_deals_observed, name_orders
from apportion.platform_groups.storage.position_stops import insert_opened
from apportion.rpc import set_column, to_timestamp
from apportion.storage import partition_of, transaction
from apportion.storage.leases import Lease, check_fence


async def observe_deals(
    engine: AsyncEngine,
    new_id: NewId,
    lease: Lease,
    trading_server_id: int,
    observed: Sequence[ObservedDeal],
    *,
    server_time_ms: int,
    now: datetime,
) -> None:
    """One event for each partition of the accounts, in ticket order. Deals that are stored already are left out."""
    in_order = sorted(observed, key=lambda each: each.deal.deal_ticket)
    async with transaction(engine) as tx:
        await check_fence(tx, lease)
        causes = await insert_deals(tx, trading_server_id, in_order, now)
        fresh = [each for each in in_order if each.deal.deal_ticket in causes]
        await insert_opened(tx, trading_server_id, _opened_by_masters(fresh), now)
        netted = {causes[each.deal.deal_ticket][0] for each in fresh if each.nets} - {0}
        submitted = await load_submitted(tx, sorted(netted))
        groups: dict[tuple[int, int], list[ObservedDeal]] = defaultdict(list)
        for each in fresh:
            groups[each.label, partition_of(each.account_id)].append(each)
        for (label, partition), members in sorted(groups.items(), key=lambda item: (item[0][0], str(item[0][1]))):
            event = _event(trading_server_id, members, causes, submitted, server_time_ms, now)
            await append_deals_observed(tx, label, event, partition, new_id, now)


def _opened_by_masters(observed: Sequence[ObservedDeal]) -> dict[int, Stops]:
    """A position begins with the stops of its first deal, and anew, with a new ticket, when it is turned around."""
    opened: dict[int, Stops] = {}
    for each in observed:
        deal = each.deal
        if each.kind is AccountKind.MASTER and deal.action is DealAction.TRADE:
            stops = Stops(each.account_id, deal.stop_loss_e8, deal.take_profit_e8, deal.position_ticket)
            if deal.entry is DealEntry.IN:
                opened.setdefault(deal.position_ticket, stops)
            elif deal.entry is DealEntry.IN_OUT:
                opened[deal.order_ticket] = stops
    return opened


def _event(
    trading_server_id: int,
    observed: Sequence[ObservedDeal],
    causes: dict[int, tuple[int, int]],
    submitted: dict[int, SubmittedOrder],
    server_time_ms: int,
    now: datetime,
) -> events_pb2.DealsObserved:
    deals = [each.deal for each in observed]
    symbols = TextIndex()
    event = events_pb2.DealsObserved(
        trading_server_id=trading_server_id, observed_time=to_timestamp(now), server_time_ms=server_time_ms
    )
    columns = {
        "deal_tickets": [deal.deal_ticket for deal in deals],
        "account_ids": [each.account_id for each in observed],
        "order_tickets": [deal.order_ticket for deal in deals],
        "position_tickets": [deal.position_ticket for deal in deals],
        "actions": [int(deal.action) for deal in deals],
        "entries": [int(deal.entry) for deal in deals],
        "symbol_indexes": [symbols.of(deal.symbol) for deal in deals],
        "volumes_e8": [deal.volume_e8 for deal in deals],
        "prices_e8": [deal.price_e8 for deal in deals],
        "profits_minor": [deal.profit_minor for deal in deals],
        "swaps_minor": [deal.swap_minor for deal in deals],
        "commissions_minor": [deal.commission_minor for deal in deals],
        "server_times_ms": [deal.server_time_ms for deal in deals],
        "order_ids": [causes[deal.deal_ticket][0] for deal in deals],
        "transfer_ids": [causes[deal.deal_ticket][1] for deal in deals],
        "reasons": [deal.reason for deal in deals],
        "stop_losses_e8": [deal.stop_loss_e8 for deal in deals],
        "take_profits_e8": [deal.take_profit_e8 for deal in deals],
    }
    for name, values in columns.items():
        set_column(event, name, values)
    event.symbols.extend(symbols.texts)
    name_orders(event, [submitted.get(causes[deal.deal_ticket][0], NO_ORDER) for deal in deals])
    return event
