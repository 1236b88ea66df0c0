"""Tell others about a stored decision, in its transaction."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.allocations import Allocation, AllocationColumns
from apportion.allocation.domain.masters import Master
from apportion.allocation.operations.event_payloads import ALLOCATIONS, DECIDED, decided, decided_id
from apportion.money import Int64Array
from apportion.storage import append_event, partition_of


async def announce_decision(
    tx: AsyncConnection,
    master: Master,
    allocation: Allocation,
    subscription_ids: Int64Array,
    account_ids: Int64Array,
    columns: AllocationColumns,
    *,
    now: datetime,
) -> None:
    """Appends AllocationDecided; ids and columns are in the same order."""
    await append_event(
        tx,
        label=master.label,
        aggregate_type=ALLOCATIONS,
        aggregate_id=str(master.master_id),
        partition=partition_of(master.account_id),
        type=DECIDED,
        payload=decided(allocation, subscription_ids, account_ids, columns.volumes_e8, columns.reasons),
        now=now,
        event_id=decided_id(allocation.allocation_id),
    )
