"""The facts this service tells others, as the messages they travel in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import NAMESPACE_URL, UUID, uuid5

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.allocations import Allocation, AllocationColumns, AllocationKind
from apportion.allocation.domain.child_routes import ChildRoutes
from apportion.allocation.domain.masters import Master
from apportion.api.allocation.v1 import allocations_pb2, events_pb2
from apportion.money import Int64Array
from apportion.rpc import CHUNK_ROWS, set_column, to_timestamp
from apportion.storage import NewEvent, partition_of

ALLOCATIONS = "allocations"
CHILDREN = "children"
DECIDED = events_pb2.AllocationDecided.DESCRIPTOR.full_name
CLOSED = events_pb2.ChildTradesClosed.DESCRIPTOR.full_name


def decided_id(allocation_id: int) -> UUID:
    """The event of a decision has the same id however often its transaction is tried."""
    return uuid5(NAMESPACE_URL, f"apportion/allocation/{allocation_id}/decided")


def decision_event(master: Master, allocation: Allocation, routes: ChildRoutes, columns: AllocationColumns) -> NewEvent:
    """AllocationDecided; the columns, which are in the order of the routes, only where they fit into one message."""
    message = events_pb2.AllocationDecided(allocation=allocation_message(allocation))
    if allocation.row_count <= CHUNK_ROWS:
        message.children.CopyFrom(children_message(allocation, routes, columns.volumes_e8, columns.reasons))
    return NewEvent(
        label=master.label,
        aggregate_type=ALLOCATIONS,
        aggregate_id=str(master.master_id),
        partition=partition_of(master.account_id),
        event_id=decided_id(allocation.allocation_id),
        type=DECIDED,
        now=allocation.decide_time,
        payload=message.SerializeToString(),
    )


def closed_payload(master: Master, symbol: str, columns: Mapping[str, Sequence[int] | Int64Array]) -> bytes:
    """ChildTradesClosed, by the names of its columns."""
    event = events_pb2.ChildTradesClosed(master_id=master.master_id, currency_code=master.currency_code, symbol=symbol)
    for name, values in columns.items():
        set_column(event, name, values)
    return event.SerializeToString()


def allocation_message(allocation: Allocation) -> allocations_pb2.Allocation:
    """An allocation without its columns."""
    trade = allocation.trade
    message = allocations_pb2.Allocation(
        allocation_id=allocation.allocation_id,
        master_id=allocation.master_id,
        kind=allocations_pb2.AllocationKind.ValueType(allocation.kind),
        deal_ticket=trade.deal_ticket,
        position_ticket=trade.position_ticket,
        symbol=trade.symbol,
        master_volume_e8=allocation.master_volume_e8,
        requested_volume_e8=0 if allocation.master_volume_e8 == trade.volume_e8 else trade.volume_e8,
        unallocated_volume_e8=allocation.unallocated_volume_e8,
        price_e8=trade.price_e8,
        method=allocation.method,  # type: ignore[arg-type]  # the numbers are the same
        rounding=allocation.rounding,  # type: ignore[arg-type]
        child_count=allocation.child_count,
        child_volume_sum_e8=allocation.volume_sum_e8,
        skipped_count=allocation.skipped_count,
        subscription_set_version=allocation.set_version,
        decide_time=to_timestamp(allocation.decide_time),
        server_time_ms=trade.server_time_ms,
        allocation_mode=allocation.mode,  # type: ignore[arg-type]
        wave=allocation.wave,
        stop_loss_e8=trade.stop_loss_e8,
        take_profit_e8=trade.take_profit_e8,
    )
    if allocation.dispatch_time is not None:
        message.dispatch_time.CopyFrom(to_timestamp(allocation.dispatch_time))
    return message


def children_message(
    allocation: Allocation, routes: ChildRoutes, volumes_e8: Int64Array, reasons: NDArray[np.int8]
) -> allocations_pb2.ChildColumns:
    """Columns of children; `volumes_e8` are magnitudes, the message has them signed: above 0 buys."""
    signs = -routes.directions if allocation.kind is AllocationKind.CLOSE else routes.directions
    message = allocations_pb2.ChildColumns()
    set_column(message, "subscription_ids", routes.subscription_ids)
    set_column(message, "account_ids", routes.account_ids)
    set_column(message, "volumes_e8", signs * volumes_e8)
    set_column(message, "skip_reasons", reasons.astype(np.int32))
    return message
