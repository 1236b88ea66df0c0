"""Allocations: one columnar row for each decision."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Row, Select, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.allocations import (
    Allocation,
    AllocationColumns,
    AllocationKind,
    DispatchState,
    MasterTrade,
)
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.methods import AllocationMethod, RoundingPolicy
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.storage import tables
from apportion.allocation.storage.packing import WIDE_BYTES, pack, unpack
from apportion.errors import NotFound
from apportion.storage import fetch_arrays

ROWS = tables.allocations
COLUMNAR = frozenset({"volumes", "reasons", "bases", "child_trade_ids", "position_tickets"})
HEADER = tuple(column for column in ROWS.columns if column.name not in COLUMNAR)
GIVEN = tuple(c.name for c in ROWS.columns if c.name not in {"allocation_id", "projected_time"})
# On the path of every deal: the decision and the master's position in one round trip, as the driver takes it.
# A decision that is there already changes no position.
STORE = f"""
    WITH stored AS (
        INSERT INTO allocations ({", ".join(GIVEN)})
        VALUES ({", ".join(f"${number}" for number in range(1, len(GIVEN) + 1))})
        ON CONFLICT ON CONSTRAINT allocations_deal_key DO NOTHING
        RETURNING allocation_id, master_id, position_ticket, CASE kind WHEN 2 THEN deal_ticket ELSE 0 END AS closing
    ), moved AS (
        INSERT INTO master_positions AS p (master_id, position_ticket, open_volume_e8, last_closing_deal_ticket)
        SELECT master_id, position_ticket, ${len(GIVEN) + 1}::bigint, closing FROM stored
        WHERE ${len(GIVEN) + 1} IS NOT NULL
        ON CONFLICT ON CONSTRAINT master_positions_pkey DO UPDATE
        SET open_volume_e8 = p.open_volume_e8 + excluded.open_volume_e8,
            last_closing_deal_ticket = greatest(p.last_closing_deal_ticket, excluded.last_closing_deal_ticket)
    )
    SELECT allocation_id FROM stored
"""


async def store_allocation(
    tx: AsyncConnection,
    allocation: Allocation,
    columns: AllocationColumns,
    *,
    unit_e8: int,
    position_change_e8: int | None,
) -> Allocation | None:
    """The allocation with its new id; None when this decision was stored before. Volumes are counted in `unit_e8`.

    Adds a signed volume to what the master has open; None for a follow-up, which is no deal of the master.
    """
    values = _header_values(allocation) | _column_values(columns, unit_e8)
    rows = await fetch_arrays(tx, STORE, *(values[name] for name in GIVEN), position_change_e8)
    return replace(allocation, allocation_id=rows[0]["allocation_id"]) if rows else None


async def load_allocation(
    tx: AsyncConnection, label: int, allocation_id: int, *, for_update: bool = False
) -> Allocation:
    """Raises NotFound."""
    query = _headers().where(ROWS.c.label == label, ROWS.c.allocation_id == allocation_id)
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    if row is None:
        raise NotFound("allocation", allocation_id)
    return _allocation(row)


async def find_allocation(
    tx: AsyncConnection, master_id: int, deal_ticket: int, kind: AllocationKind
) -> Allocation | None:
    """The decision on a deal, if there was one."""
    query = _headers().where(
        ROWS.c.master_id == master_id, ROWS.c.deal_ticket == deal_ticket, ROWS.c.kind == kind, ROWS.c.wave == 0
    )
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _allocation(row)


async def find_opening(tx: AsyncConnection, master_id: int, position_ticket: int) -> Allocation | None:
    """The newest opening decision on a master's position."""
    query = (
        _headers()
        .where(
            ROWS.c.master_id == master_id,
            ROWS.c.position_ticket == position_ticket,
            ROWS.c.kind == AllocationKind.OPEN,
        )
        .order_by(ROWS.c.allocation_id.desc())
        .limit(1)
    )
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _allocation(row)


async def next_wave(tx: AsyncConnection, master_id: int, deal_ticket: int, kind: AllocationKind) -> int:
    """The number of the next decision that follows up on a deal; the position or the children must be locked."""
    query = (
        select(ROWS.c.wave)
        .where(ROWS.c.master_id == master_id, ROWS.c.deal_ticket == deal_ticket, ROWS.c.kind == kind)
        .order_by(ROWS.c.wave.desc())
        .limit(1)
    )
    last = (await tx.execute(query)).scalar_one_or_none()
    return 1 if last is None else last + 1


async def load_columns(tx: AsyncConnection, allocation_id: int) -> AllocationColumns:
    """The columns of an allocation."""
    query = select(
        ROWS.c.row_count,
        ROWS.c.volume_unit_e8,
        ROWS.c.volume_bytes,
        ROWS.c.volumes,
        ROWS.c.reasons,
        ROWS.c.basis_bytes,
        ROWS.c.bases,
        ROWS.c.child_trade_ids,
        ROWS.c.position_tickets,
    ).where(ROWS.c.allocation_id == allocation_id)
    row = (await tx.execute(query)).one()
    reasons = np.frombuffer(row.reasons, dtype=np.int8)
    return AllocationColumns(
        volumes_e8=unpack(row.volume_bytes, row.volumes) * row.volume_unit_e8,
        reasons=reasons if reasons.size else np.zeros(row.row_count, dtype=np.int8),
        bases=unpack(row.basis_bytes, row.bases),
        child_trade_ids=unpack(WIDE_BYTES, row.child_trade_ids),
        position_tickets=unpack(WIDE_BYTES, row.position_tickets),
    )


async def list_allocations(
    tx: AsyncConnection, label: int, *, master_id: int, with_follow_ups: bool, before: int, limit: int
) -> list[Allocation]:
    """Newest first, from the one older than `before`; master 0: of all masters."""
    query = _headers().where(ROWS.c.label == label, ROWS.c.allocation_id < before)
    if not with_follow_ups:
        query = query.where(ROWS.c.wave == 0)
    if master_id:
        query = query.where(ROWS.c.master_id == master_id)
    result = await tx.execute(query.order_by(ROWS.c.allocation_id.desc()).limit(limit))
    return [_allocation(row) for row in result]


async def list_undispatched(tx: AsyncConnection, *, before: datetime, limit: int) -> list[tuple[int, int]]:
    """(label, id) of the oldest decisions whose orders are not all on their way."""
    query = (
        select(ROWS.c.label, ROWS.c.allocation_id)
        .where(ROWS.c.dispatch_state < DispatchState.DONE, ROWS.c.decide_time < before)
        .order_by(ROWS.c.allocation_id)
        .limit(limit)
    )
    return [(row.label, row.allocation_id) for row in await tx.execute(query)]


async def list_unprojected(tx: AsyncConnection, *, limit: int) -> list[tuple[int, int]]:
    """(label, id) of the oldest opening decisions without child trade rows."""
    query = (
        select(ROWS.c.label, ROWS.c.allocation_id)
        .where(ROWS.c.projected_time.is_(None), ROWS.c.kind == AllocationKind.OPEN)
        .order_by(ROWS.c.allocation_id)
        .limit(limit)
    )
    return [(row.label, row.allocation_id) for row in await tx.execute(query)]


async def list_unprojected_of(tx: AsyncConnection, master_id: int, position_ticket: int) -> list[int]:
    """Ids of the opening decisions on a position that have no child trade rows yet."""
    query = select(ROWS.c.allocation_id).where(
        ROWS.c.master_id == master_id,
        ROWS.c.position_ticket == position_ticket,
        ROWS.c.kind == AllocationKind.OPEN,
        ROWS.c.projected_time.is_(None),
    )
    return list((await tx.execute(query)).scalars())


async def list_unprojected_of_master(tx: AsyncConnection, master_id: int) -> list[int]:
    """Ids of a master's opening decisions that have no child trade rows yet, in their order."""
    query = (
        select(ROWS.c.allocation_id)
        .where(ROWS.c.master_id == master_id, ROWS.c.kind == AllocationKind.OPEN, ROWS.c.projected_time.is_(None))
        .order_by(ROWS.c.allocation_id)
    )
    return list((await tx.execute(query)).scalars())


async def claim_projection(tx: AsyncConnection, allocation_id: int, now: datetime) -> bool:
    """Whether the rows of this allocation are ours to make, in this transaction; others wait for its end."""
    statement = (
        update(ROWS)
        .where(ROWS.c.allocation_id == allocation_id, ROWS.c.projected_time.is_(None))
        .values(projected_time=now)
    )
    return (await tx.execute(statement)).rowcount == 1


async def save_dispatch(
    tx: AsyncConnection, allocation_id: int, state: DispatchState, dispatch_time: datetime | None = None
) -> None:
    """How far the orders of an allocation are."""
    await tx.execute(
        update(ROWS)
        .where(ROWS.c.allocation_id == allocation_id)
        .values(dispatch_state=state, dispatch_time=dispatch_time)
    )


def _headers() -> Select[Any]:
    return select(*HEADER)


def _header_values(allocation: Allocation) -> dict[str, Any]:
    trade, grid = allocation.trade, allocation.grid
    return {
        "label": allocation.label,
        "master_id": allocation.master_id,
        "kind": allocation.kind,
        "deal_ticket": trade.deal_ticket,
        "wave": allocation.wave,
        "position_ticket": trade.position_ticket,
        "symbol": trade.symbol,
        "master_volume_e8": trade.volume_e8,
        "before_volume_e8": allocation.before_volume_e8,
        "price_e8": trade.price_e8,
        "server_time_ms": trade.server_time_ms,
        "method": allocation.method,
        "rounding": allocation.rounding,
        "volume_step_e8": grid.step_e8,
        "min_volume_e8": grid.min_e8,
        "max_volume_e8": grid.max_e8,
        "master_basis": allocation.master_basis,
        "blanket_reason": allocation.blanket_reason,
        "set_version": allocation.set_version,
        "halt_epoch": allocation.halt_epoch,
        "row_count": allocation.row_count,
        "child_count": allocation.child_count,
        "skipped_count": allocation.skipped_count,
        "decide_time": allocation.decide_time,
        "not_after_time": allocation.not_after_time,
        "dispatch_state": allocation.dispatch_state,
        "dispatch_time": allocation.dispatch_time,
    }


def _column_values(columns: AllocationColumns, unit_e8: int) -> dict[str, Any]:
    units = columns.volumes_e8 // unit_e8
    volume_bytes, volumes = pack(units)
    basis_bytes, bases = pack(columns.bases) if columns.bases.size else (0, b"")
    return {
        "volume_unit_e8": unit_e8,
        "unit_sum": int(units.sum()),
        "volume_bytes": volume_bytes,
        "volumes": volumes,
        "reasons": columns.reasons.tobytes() if columns.reasons.any() else b"",
        "basis_bytes": basis_bytes,
        "bases": bases,
        "child_trade_ids": columns.child_trade_ids.astype("<i8").tobytes(),
        "position_tickets": columns.position_tickets.astype("<i8").tobytes(),
    }


def _allocation(row: Row[Any]) -> Allocation:
    trade = MasterTrade(
        row.deal_ticket, row.position_ticket, row.symbol, row.master_volume_e8, row.price_e8, row.server_time_ms
    )
    sign = 1 if row.master_volume_e8 > 0 else -1
    return Allocation(
        allocation_id=row.allocation_id,
        label=row.label,
        master_id=row.master_id,
        kind=AllocationKind(row.kind),
        trade=trade,
        wave=row.wave,
        before_volume_e8=row.before_volume_e8,
        method=AllocationMethod(row.method),
        rounding=RoundingPolicy(row.rounding),
        grid=SymbolGrid(row.volume_step_e8, row.min_volume_e8, row.max_volume_e8),
        master_basis=row.master_basis,
        blanket_reason=SkipReason(row.blanket_reason),
        set_version=row.set_version,
        halt_epoch=row.halt_epoch,
        row_count=row.row_count,
        child_count=row.child_count,
        skipped_count=row.skipped_count,
        volume_sum_e8=sign * row.unit_sum * row.volume_unit_e8,
        decide_time=row.decide_time,
        not_after_time=row.not_after_time,
        dispatch_state=DispatchState(row.dispatch_state),
        dispatch_time=row.dispatch_time,
    )
