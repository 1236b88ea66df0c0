"""Payloads of other services' events, read into columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from apportion.allocation.domain.allocations import AllocationKind, MasterTrade
from apportion.allocation.domain.child_trades import ChildTradeState
from apportion.allocation.domain.deal_money import DealMoney
from apportion.allocation.domain.master_deals import DealEntry, MasterDeal, Observation
from apportion.allocation.domain.netting import NOBODY, NetDeal
from apportion.allocation.operations.dispatch_allocation import allocation_of_source
from apportion.allocation.storage.child_trades import OrderResults
from apportion.allocation.storage.closing_deals import ClosingDeals
from apportion.api.platform_groups.v1 import events_pb2, trading_pb2
from apportion.money import Int64Array
from apportion.rpc import column, from_timestamp

# READY, SENDING and UNKNOWN are on the way to one of these.
FINAL_STATES = {
    trading_pb2.ORDER_STATE_FILLED: ChildTradeState.FILLED,
    trading_pb2.ORDER_STATE_PARTIALLY_FILLED: ChildTradeState.PARTIALLY_FILLED,
    trading_pb2.ORDER_STATE_REJECTED: ChildTradeState.REJECTED,
    trading_pb2.ORDER_STATE_EXPIRED: ChildTradeState.EXPIRED,
}
KINDS = {
    trading_pb2.ORDER_PURPOSE_OPEN: AllocationKind.OPEN,
    trading_pb2.ORDER_PURPOSE_CLOSE: AllocationKind.CLOSE,
    trading_pb2.ORDER_PURPOSE_MODIFY: AllocationKind.MODIFY,
}
DEALS = events_pb2.DealsObserved.DESCRIPTOR.full_name
STOPS = events_pb2.StopsObserved.DESCRIPTOR.full_name
ORDERS = events_pb2.OrdersUpdated.DESCRIPTOR.full_name
CLOSING_ENTRIES = (DealEntry.OUT, DealEntry.OUT_BY)
# Values of FINAL_STATES by order state, 0 where it is none.
_CHILD_STATES = np.zeros(max(trading_pb2.OrderState.values()) + 1, dtype=np.int8)
_CHILD_STATES[list(FINAL_STATES)] = list(FINAL_STATES.values())


@dataclass(frozen=True, slots=True)
class ObservedDeals:
    """The trades of a DealsObserved, balance operations left out."""

    message: events_pb2.DealsObserved
    observation: Observation
    rows: Int64Array
    account_ids: Int64Array
    """Of `rows`."""


def opened_symbols(payload: bytes) -> tuple[int, list[str]]:
    """The trading server of a DealsObserved and the symbols in which its deals open something."""
    message = events_pb2.DealsObserved.FromString(payload)
    opens = np.isin(column(message.entries), (events_pb2.DEAL_ENTRY_IN, events_pb2.DEAL_ENTRY_IN_OUT))
    opens &= column(message.actions) == events_pb2.DEAL_ACTION_TRADE
    return message.trading_server_id, [message.symbols[i] for i in np.unique(column(message.symbol_indexes)[opens])]


def parse_deals(payload: bytes) -> ObservedDeals:
    message = events_pb2.DealsObserved.FromString(payload)
    rows = np.flatnonzero(column(message.actions) == events_pb2.DEAL_ACTION_TRADE)
    observation = Observation(from_timestamp(message.observed_time, "observed_time"), message.server_time_ms)
    return ObservedDeals(message, observation, rows, column(message.account_ids)[rows])


def master_deals(deals: ObservedDeals, account_id: int) -> list[MasterDeal]:
    """The deals of one master's account, in ticket order."""
    message = deals.message
    found = []
    for row in deals.rows[deals.account_ids == account_id].tolist():
        trade = MasterTrade(
            deal_ticket=message.deal_tickets[row],
            position_ticket=message.position_tickets[row],
            symbol=message.symbols[message.symbol_indexes[row]],
            volume_e8=message.volumes_e8[row],
            price_e8=message.prices_e8[row],
            server_time_ms=message.server_times_ms[row],
            stop_loss_e8=message.stop_losses_e8[row] if message.stop_losses_e8 else 0,
            take_profit_e8=message.take_profits_e8[row] if message.take_profits_e8 else 0,
            money=DealMoney(message.profits_minor[row], message.swaps_minor[row], message.commissions_minor[row]),
        )
        found.append(MasterDeal(DealEntry(message.entries[row]), trade))
    return sorted(found, key=lambda deal: deal.trade.deal_ticket)


@dataclass(frozen=True, slots=True)
class PositionStops:
    """What a master's position has now; 0: none."""

    account_id: int
    position_ticket: int
    stop_loss_e8: int
    take_profit_e8: int


def parse_stops(payload: bytes) -> list[PositionStops]:
    """In the order of the event."""
    message = events_pb2.StopsObserved.FromString(payload)
    columns = message.account_ids, message.position_tickets, message.stop_losses_e8, message.take_profits_e8
    return [PositionStops(*row) for row in zip(*columns, strict=True)]


def closing_deals(deals: ObservedDeals, except_account_ids: Iterable[int]) -> ClosingDeals | None:
    """The deals that closed something on other accounts than these, the masters'; None when there are none.

    On hedging accounts a deal closes one position, which belongs to one child. Netting accounts are left out.
    """
    message = deals.message
    is_closing = np.isin(column(message.entries)[deals.rows], CLOSING_ENTRIES)
    rows = deals.rows[is_closing & ~np.isin(deals.account_ids, list(except_account_ids))]
    if not rows.size:
        return None
    return ClosingDeals(
        account_ids=column(message.account_ids)[rows],
        deal_tickets=column(message.deal_tickets)[rows],
        position_tickets=column(message.position_tickets)[rows],
        volumes_e8=np.abs(column(message.volumes_e8)[rows]),
        prices_e8=column(message.prices_e8)[rows],
        server_times_ms=column(message.server_times_ms)[rows],
        ordered=column(message.order_ids)[rows] != 0,
    )


def net_deals(deals: ObservedDeals, account_ids: Iterable[int]) -> list[NetDeal]:
    """The trades on these accounts, which net, with the child that our order behind each was for."""
    message = deals.message
    found = []
    for row in deals.rows[np.isin(deals.account_ids, list(account_ids))].tolist():
        item_id = message.order_item_ids[row] if message.order_item_ids else 0
        source = message.order_sources[message.order_source_indexes[row]] if item_id else ""
        allocation_id = allocation_of_source(source)
        ours = allocation_id is not None
        deal = NetDeal(
            deal_ticket=message.deal_tickets[row],
            account_id=message.account_ids[row],
            symbol=message.symbols[message.symbol_indexes[row]],
            position_ticket=message.position_tickets[row],
            volume_e8=message.volumes_e8[row],
            price_e8=message.prices_e8[row],
            server_time_ms=message.server_times_ms[row],
            child_trade_id=item_id if ours else NOBODY,
            opens=ours and message.order_purposes[row] == trading_pb2.ORDER_PURPOSE_OPEN,
            allocation_id=allocation_id or 0,
        )
        found.append(deal)
    return found


def parse_order_results(payload: bytes) -> tuple[int, AllocationKind, OrderResults] | None:
    """The allocation whose orders these are, and the final results among them; None when there is nothing of ours."""
    message = events_pb2.OrdersUpdated.FromString(payload)
    allocation_id, orders = allocation_of_source(message.source_id), message.orders
    if allocation_id is None:
        return None
    states = _CHILD_STATES[column(orders.states)]
    rows = np.flatnonzero(states)
    if not rows.size:
        return None
    results = OrderResults(
        child_trade_ids=column(orders.item_ids)[rows],
        states=states[rows],
        reasons=[orders.reasons[index] for index in column(orders.reason_indexes)[rows].tolist()],
        volumes_e8=np.abs(column(orders.volumes_e8)[rows]),
        filled_volumes_e8=np.abs(column(orders.filled_volumes_e8)[rows]),
        prices_e8=column(orders.prices_e8)[rows],
        position_tickets=column(orders.position_tickets)[rows],
        order_ids=column(orders.order_ids)[rows],
    )
    return allocation_id, KINDS[message.purpose], results
