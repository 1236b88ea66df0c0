"""Facts for other services, rendered and put into the outbox in the transaction that makes them true."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.api.platform_groups.v1 import events_pb2, trading_pb2
from apportion.platform_groups.domain.states import OrderState
from apportion.platform_groups.storage.deals import NO_ORDER, SubmittedOrder
from apportion.rpc import set_column
from apportion.storage import append_event, partition_of

ORDERS = "orders"
TRANSFERS = "transfers"
DEALS = "deals"

NewId = Callable[[], uuid.UUID]


class TextIndex:
    """Texts in the order they were first met, for a column of indexes. Text 0 is ""."""

    def __init__(self) -> None:
        self.texts: list[str] = [""]
        self._index = {"": 0}

    def of(self, text: str) -> int:
        index = self._index.get(text)
        if index is None:
            index = self._index[text] = len(self.texts)
            self.texts.append(text)
        return index


async def append_orders_updated(tx: AsyncConnection, rows: Sequence[Any], new_id: NewId, now: datetime) -> None:
    """One event for each source and purpose among result rows of orders. READY is no result."""
    groups: dict[tuple[int, int, str, int], list[Any]] = defaultdict(list)
    for row in rows:
        if row["state"] != OrderState.READY:
            groups[row["label"], row["ordering_key"], row["source_id"], row["purpose"]].append(row)
    for (label, ordering_key, source_id, purpose), members in sorted(groups.items(), key=_by_aggregate):
        event = events_pb2.OrdersUpdated(
            source_id=source_id,
            purpose=purpose,  # type: ignore[arg-type]  # the number of the column is the proto's
            orders=order_columns(members),
        )
        await _append(tx, label, ORDERS, str(ordering_key), partition_of(ordering_key), event, new_id, now)


def order_columns(rows: Sequence[Any]) -> trading_pb2.OrderColumns:
    """Result rows of orders as columns, in the order of their item ids."""
    members = sorted(rows, key=lambda row: row["item_id"])
    reasons = TextIndex()
    columns = trading_pb2.OrderColumns()
    set_column(columns, "reason_indexes", [reasons.of(row["reason"]) for row in members])
    columns.reasons.extend(reasons.texts)
    for field, source in (
        ("order_ids", "order_id"),
        ("item_ids", "item_id"),
        ("account_ids", "account_id"),
        ("states", "state"),
        ("volumes_e8", "volume_e8"),
        ("filled_volumes_e8", "filled_volume_e8"),
        ("prices_e8", "price_e8"),
        ("position_tickets", "position_ticket"),
        ("deal_tickets", "deal_ticket"),
        ("server_times_ms", "server_time_ms"),
    ):
        set_column(columns, field, [row[source] for row in members])
    return columns


async def append_transfers_updated(tx: AsyncConnection, rows: Sequence[Any], new_id: NewId, now: datetime) -> None:
    """One event for each source and ordering key among result rows of transfers."""
    groups: dict[tuple[int, int, str, int], list[Any]] = defaultdict(list)
    for row in rows:
        groups[row["label"], row["ordering_key"], row["source"], 0].append(row)
    for (label, ordering_key, source, _), members in sorted(groups.items(), key=_by_aggregate):
        members.sort(key=lambda row: row["transfer_id"])
        reasons = TextIndex()
        event = events_pb2.TransfersUpdated(source=source)
        set_column(event, "item_ids", [row["item_id"] for row in members])
        set_column(event, "transfer_ids", [row["transfer_id"] for row in members])
        set_column(event, "states", [row["state"] for row in members])
        set_column(event, "reason_indexes", [reasons.of(row["reason"]) for row in members])
        event.reasons.extend(reasons.texts)
        await _append(tx, label, TRANSFERS, str(ordering_key), partition_of(ordering_key), event, new_id, now)


def name_orders(event: events_pb2.DealsObserved, orders: Sequence[SubmittedOrder]) -> None:
    """Tells for each deal of the event which order it came from, unless none has one (`NO_ORDER`)."""
    if all(order is NO_ORDER for order in orders):
        return
    sources = TextIndex()
    set_column(event, "order_source_indexes", [sources.of(order.source_id) for order in orders])
    set_column(event, "order_item_ids", [order.item_id for order in orders])
    set_column(event, "order_purposes", [order.purpose for order in orders])
    event.order_sources.extend(sources.texts)


async def append_deals_observed(
    tx: AsyncConnection,
    label: int,
    event: events_pb2.DealsObserved,
    partition: int,
    new_id: NewId,
    now: datetime,
) -> None:
    aggregate_id = f"{event.trading_server_id}/{partition}"
    await _append(tx, label, DEALS, aggregate_id, partition, event, new_id, now)


async def append_stops_observed(
    tx: AsyncConnection,
    label: int,
    event: events_pb2.StopsObserved,
    partition: int,
    new_id: NewId,
    now: datetime,
) -> None:
    """In the aggregate of the deals of the same accounts, so that both are read in order."""
    aggregate_id = f"{event.trading_server_id}/{partition}"
    await _append(tx, label, DEALS, aggregate_id, partition, event, new_id, now)


def _by_aggregate(item: tuple[tuple[int, int, str, int], object]) -> tuple[int, str, str, int]:
    """Aggregates are locked in the order of their ids, which are texts."""
    label, ordering_key, source, purpose = item[0]
    return label, str(ordering_key), source, purpose


async def _append(
    tx: AsyncConnection,
    label: int,
    aggregate_type: str,
    aggregate_id: str,
    partition: int,
    event: Message,
    new_id: NewId,
    now: datetime,
) -> None:
    await append_event(
        tx,
        label=label,
        aggregate_type=aggregate_type,
        aggregate_id=aggregate_id,
        partition=partition,
        type=event.DESCRIPTOR.full_name,
        payload=event.SerializeToString(deterministic=True),
        now=now,
        event_id=new_id(),
    )
