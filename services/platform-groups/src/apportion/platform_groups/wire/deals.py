"""Messages of deals."""

from __future__ import annotations

from datetime import datetime

from apportion.api.platform_groups.v1 import deals_pb2, events_pb2
from apportion.platform_groups.operations.batch_get_deals import StoredDeals
from apportion.platform_groups.storage.deals import NO_ORDER
from apportion.platform_groups.storage.events import TextIndex, name_orders
from apportion.rpc import Problems, from_timestamp, set_column, to_timestamp

MOST_POSITIONS = 1_000
COLUMNS = {
    "deal_tickets": "deal_ticket",
    "account_ids": "account_id",
    "order_tickets": "order_ticket",
    "position_tickets": "position_ticket",
    "actions": "action",
    "entries": "entry",
    "volumes_e8": "volume_e8",
    "prices_e8": "price_e8",
    "profits_minor": "profit_minor",
    "swaps_minor": "swap_minor",
    "commissions_minor": "commission_minor",
    "server_times_ms": "server_time_ms",
    "order_ids": "order_id",
    "transfer_ids": "transfer_id",
    "reasons": "reason",
    "stop_losses_e8": "stop_loss_e8",
    "take_profits_e8": "take_profit_e8",
}
"""Of the event, from those of the table."""


def parse_positions(request: deals_pb2.BatchGetDealsRequest) -> tuple[list[int], list[int], datetime | None]:
    """(account ids, position tickets), columns of one length, and since when."""
    account_ids, position_tickets = list(request.account_ids), list(request.position_tickets)
    problems = Problems()
    problems.within(len(account_ids), 1, MOST_POSITIONS, "account_ids")
    problems.require(len(position_tickets) == len(account_ids), "position_tickets", "must be as many as the accounts")
    problems.raise_if_any()
    since_time = from_timestamp(request.since_time, "since_time") if request.HasField("since_time") else None
    return account_ids, position_tickets, since_time


def render_deals(found: StoredDeals, asked_time: datetime) -> events_pb2.DealsObserved:
    deals = events_pb2.DealsObserved(
        trading_server_id=found.trading_server_id,
        observed_time=to_timestamp(asked_time),
        server_time_ms=found.server_time_ms,
    )
    symbols = TextIndex()
    set_column(deals, "symbol_indexes", [symbols.of(row["symbol"]) for row in found.rows])
    deals.symbols.extend(symbols.texts)
    for field, source in COLUMNS.items():
        set_column(deals, field, [row[source] for row in found.rows])
    name_orders(deals, [found.submitted.get(row["order_id"], NO_ORDER) for row in found.rows])
    return deals
