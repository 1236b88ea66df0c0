"""Deals of accounts: from events to columns, from rows to messages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np

from apportion.allocation.domain.history import AccountDeals, HistoryEntry, HistoryFilter, HistoryRow
from apportion.allocation.operations.find_scope import Owner
from apportion.api.allocation.v1 import allocations_pb2
from apportion.api.platform_groups.v1 import events_pb2
from apportion.money import INT64_MAX, Int64Array
from apportion.rpc import Problems, check_lengths, column, from_timestamp


def parse_account_deals(payload: bytes) -> AccountDeals:
    """All deals of a DealsObserved. Raises MalformedMessage when the columns do not fit together."""
    message = events_pb2.DealsObserved.FromString(payload)
    observed_time = from_timestamp(message.observed_time, "observed_time")
    actions, server_times_ms = column(message.actions), column(message.server_times_ms)
    is_trade = actions == events_pb2.DEAL_ACTION_TRADE
    ages_ms = np.maximum(message.server_time_ms - server_times_ms, 0) if message.server_time_ms else 0 * server_times_ms
    deals = AccountDeals(
        account_ids=column(message.account_ids),
        deal_tickets=column(message.deal_tickets),
        position_tickets=column(message.position_tickets),
        actions=actions,
        entries=np.where(is_trade, column(message.entries), HistoryEntry.BALANCE),
        symbols=[message.symbols[index] for index in message.symbol_indexes],
        volumes_e8=column(message.volumes_e8),
        prices_e8=column(message.prices_e8),
        profits_minor=column(message.profits_minor),
        swaps_minor=column(message.swaps_minor),
        commissions_minor=column(message.commissions_minor),
        server_times_ms=server_times_ms,
        order_ids=column(message.order_ids),
        transfer_ids=column(message.transfer_ids),
        reasons=column(message.reasons),
        times=[observed_time - timedelta(milliseconds=age_ms) for age_ms in ages_ms.tolist()],
    )
    check_lengths(message, *(getattr(deals, name) for name in AccountDeals.__slots__))
    return deals


def parse_transfers(payload: bytes) -> tuple[str, Int64Array]:
    """Who asked for them, and the transfers of a TransfersUpdated."""
    message = events_pb2.TransfersUpdated.FromString(payload)
    return message.source, column(message.transfer_ids)


def parse_owner(request: Any) -> Owner:
    """The `oneof owner` of a request: required."""
    name, problems = request.WhichOneof("owner"), Problems()
    problems.require(name is not None, "owner", "must be master_id or subscription_id")
    if name is not None:
        problems.positive(getattr(request, name), name)
    problems.raise_if_any()
    return Owner(**{name: getattr(request, name)})


def parse_history_filter(request: allocations_pb2.ListHistoryRequest) -> HistoryFilter:
    problems = Problems()
    problems.not_negative(request.start_server_time_ms, "start_server_time_ms")
    problems.not_negative(request.end_server_time_ms, "end_server_time_ms")
    for entry in request.entries:
        problems.require(entry in allocations_pb2.HistoryEntry.values(), "entries", "must be values of HistoryEntry")
    problems.raise_if_any()
    return HistoryFilter(
        request.start_server_time_ms,
        request.end_server_time_ms or INT64_MAX,
        tuple(HistoryEntry(entry) for entry in request.entries),
    )


def render_history_row(row: HistoryRow) -> allocations_pb2.HistoryRow:
    return allocations_pb2.HistoryRow(
        account_id=row.account_id,
        deal_ticket=row.deal_ticket,
        position_ticket=row.position_ticket,
        entry=row.entry,  # type: ignore[arg-type]
        symbol=row.symbol,
        volume_e8=row.volume_e8,
        price_e8=row.price_e8,
        profit_minor=row.profit_minor,
        swap_minor=row.swap_minor,
        commission_minor=row.commission_minor,
        server_time_ms=row.server_time_ms,
        child_trade_id=row.child_trade_id,
    )
