"""Tell others which parts of child trades were closed: each closing deal once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.operations.event_payloads import CHILDREN, CLOSED, closed
from apportion.allocation.storage.masters import load_masters
from apportion.rpc import CHUNK_ROWS
from apportion.storage import append_event, partition_of


async def announce_closes(
    tx: AsyncConnection, label: int, cause_id: UUID, deals: Sequence[Any], *, now: datetime
) -> None:
    """ChildTradesClosed for each master and symbol, in chunks; their ids follow from that of the cause.

    `deals` are records of `match_deals`, grouped so.
    """
    masters = await load_masters(tx, label, {deal["master_id"] for deal in deals}) if deals else {}
    # Aggregates are locked in the order of their ids, which are texts.
    ordered = sorted(deals, key=lambda deal: (str(deal["master_id"]), deal["symbol"]))
    for (master_id, symbol), group in groupby(ordered, key=lambda deal: (deal["master_id"], deal["symbol"])):
        rows = list(group)
        master = masters[master_id]
        for first in range(0, len(rows), CHUNK_ROWS):
            await append_event(
                tx,
                label=label,
                aggregate_type=CHILDREN,
                aggregate_id=str(master_id),
                partition=partition_of(master.account_id),
                type=CLOSED,
                payload=closed(master, symbol, rows[first : first + CHUNK_ROWS]),
                now=now,
                event_id=uuid5(cause_id, f"{master_id}/{symbol}/{first}"),
            )
