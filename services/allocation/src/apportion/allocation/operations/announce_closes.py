"""Tell others which parts of child trades were closed, each closing deal once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from uuid import UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.closed_parts import ClosedPart
from apportion.allocation.domain.masters import Master
from apportion.allocation.operations.event_payloads import CHILDREN, CLOSED, closed_payload
from apportion.allocation.storage.masters import load_masters
from apportion.money import Int64Array
from apportion.rpc import CHUNK_ROWS
from apportion.storage import append_event, partition_of

COLUMNS = {
    "child_trade_ids": "child_trade_id",
    "subscription_ids": "subscription_id",
    "account_ids": "account_id",
    "deal_tickets": "deal_ticket",
    "closed_volumes_e8": "volume_e8",
    "prices_e8": "price_e8",
    "server_times_ms": "server_time_ms",
}
"""Of the event, by the fields of a part."""


async def announce_closes(
    tx: AsyncConnection, label: int, cause_id: UUID, parts: Sequence[ClosedPart], *, now: datetime
) -> None:
    """ChildTradesClosed for each master and symbol."""
    masters = await load_masters(tx, label, {part.master_id for part in parts}) if parts else {}
    # Aggregates are locked in the order of their ids, which are texts.
    ordered = sorted(parts, key=lambda part: (str(part.master_id), part.symbol))
    for (master_id, symbol), group in groupby(ordered, key=lambda part: (part.master_id, part.symbol)):
        fields = dict(zip(ClosedPart._fields, zip(*group, strict=True), strict=True))
        columns = {name: fields[field] for name, field in COLUMNS.items()}
        await announce_columns(tx, masters[master_id], cause_id, symbol, columns, now=now)


async def announce_columns(
    tx: AsyncConnection,
    master: Master,
    cause_id: UUID,
    symbol: str,
    columns: Mapping[str, Sequence[int] | Int64Array],
    *,
    now: datetime,
) -> None:
    """ChildTradesClosed of one master and symbol, in chunks; their ids follow from that of the cause."""
    for first in range(0, len(columns["child_trade_ids"]), CHUNK_ROWS):
        await append_event(
            tx,
            label=master.label,
            aggregate_type=CHILDREN,
            aggregate_id=str(master.master_id),
            partition=partition_of(master.account_id),
            type=CLOSED,
            payload=closed_payload(
                master, symbol, {name: values[first : first + CHUNK_ROWS] for name, values in columns.items()}
            ),
            now=now,
            event_id=uuid5(cause_id, f"{master.master_id}/{symbol}/{first}"),
        )
