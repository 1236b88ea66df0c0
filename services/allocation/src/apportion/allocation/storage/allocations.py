"""Allocations: one columnar row for each decision."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Row, Select, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.allocations import (
    Allocation,
    AllocationColumns,
    AllocationFilter,
    AllocationKind,
    DispatchState,
    MasterTrade,
)
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.methods import AllocationMethod, AllocationMode, RoundingPolicy
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.storage import tables
from apportion.allocation.storage.figures import pack_figures, unpack_figures
from apportion.allocation.storage.packing import WIDE_BYTES, pack, pack_sparse, unpack, unpack_sparse
from apportion.errors import NotFound
from apportion.storage import NewEvent, event_arguments, event_clause, fetch_arrays

ROWS = tables.allocations
COLUMNAR = frozenset({"volumes", "reasons", "bases", "figures", "child_trade_ids", "position_tickets"})
HEADER = tuple(column for column in ROWS.columns if column.name not in COLUMNAR)
PACKED = (
    *(column for column in ROWS.columns if column.name in COLUMNAR),
    ROWS.c.volume_bytes,
    ROWS.c.reason_bytes,
    ROWS.c.basis_bytes,
)
# As `Allocation.unallocated_volume_e8` is above 0.
UNALLOCATED = text(
    "kind = 1 AND wave = 0 AND mode = 1 AND method <= 5 AND unit_sum * volume_unit_e8 < abs(master_volume_e8)"
)
GIVEN = tuple(column.name for column in ROWS.columns if column.name != "projected_time")
SEQUENCE = "allocations_allocation_id_seq"
DRAW = f"SELECT nextval('{SEQUENCE}') AS allocation_id"
# A position has the stops of the deal that opened it; one that adds to it replaces those it names.
NEWEST = """CASE WHEN excluded.last_closing_deal_ticket <> 0 THEN p.{0}
                           WHEN p.open_volume_e8 = 0 OR excluded.{0} <> 0 THEN excluded.{0} ELSE p.{0} END"""
# On the path of every deal: the decision, the master's position and the event in one round trip, as the driver takes
# it. A decision that is there already changes no position and is not told again.
STORE = f"""
    WITH stored AS (
        INSERT INTO allocations ({", ".join(GIVEN)}) OVERRIDING SYSTEM VALUE
        VALUES ({", ".join(f"${number}" for number in range(1, len(GIVEN) + 1))})
        ON CONFLICT ON CONSTRAINT allocations_deal_key DO NOTHING
        RETURNING allocation_id, master_id, position_ticket, CASE kind WHEN 2 THEN deal_ticket ELSE 0 END AS closing,
                  stop_loss_e8, take_profit_e8
    ), moved AS (
        INSERT INTO master_positions AS p
            (master_id, position_ticket, open_volume_e8, last_closing_deal_ticket, stop_loss_e8, take_profit_e8)
        SELECT master_id, position_ticket, ${len(GIVEN) + 1}::bigint, closing, stop_loss_e8, take_profit_e8 FROM stored
        WHERE ${len(GIVEN) + 1} IS NOT NULL
        ON CONFLICT ON CONSTRAINT master_positions_pkey DO UPDATE
        SET open_volume_e8 = p.open_volume_e8 + excluded.open_volume_e8,
            last_closing_deal_ticket = greatest(p.last_closing_deal_ticket, excluded.last_closing_deal_ticket),
            stop_loss_e8 = {NEWEST.format("stop_loss_e8")},
            take_profit_e8 = {NEWEST.format("take_profit_e8")}
    ), {event_clause(len(GIVEN) + 2, "stored")}
    SELECT FROM stored
"""


class AllocationIds:
    """Ids for decisions, drawn in the transactions that store them, so that they grow in a master's order of time.

    Known before the decision is stored, so that it is stored in one statement with the event that names it.
    """

    def __init__(self, drawn: Iterable[int] = ()) -> None:
        self._drawn = list(drawn)

    async def next(self, tx: AsyncConnection) -> int:
        """One that a statement has brought along, or else drawn now."""
        if self._drawn:
            return self._drawn.pop(0)
        (row,) = await fetch_arrays(tx, DRAW)
        allocation_id: int = row["allocation_id"]
        return allocation_id


async def store_allocation(
    tx: AsyncConnection,
    allocation: Allocation,
    columns: AllocationColumns,
    event: NewEvent,
    *,
    unit_e8: int,
    position_change_e8: int | None,
) -> bool:
    """False when a decision on this deal was stored before: nothing is written. Volumes are counted in `unit_e8`.

    Appends the event. Adds a signed volume to what the master has open; None for a follow-up, which is no deal of the
    master.
    """
    values = _header_values(allocation) | _column_values(columns, unit_e8)
    given = (values[name] for name in GIVEN)
    return bool(await fetch_arrays(tx, STORE, *given, position_change_e8, *event_arguments(event)))


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
    """The newest opening decision on a deal of a master's position."""
    query = (
        _headers()
        .where(
            ROWS.c.master_id == master_id,
            ROWS.c.position_ticket == position_ticket,
            ROWS.c.kind == AllocationKind.OPEN,
            ROWS.c.wave == 0,
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
    query = select(ROWS.c.row_count, ROWS.c.volume_unit_e8, *PACKED).where(ROWS.c.allocation_id == allocation_id)
    return _columns((await tx.execute(query)).one())


async def load_decisions(
    tx: AsyncConnection, allocation_ids: Iterable[int]
) -> list[tuple[Allocation, AllocationColumns]]:
    """Several allocations with their columns, in the order of their ids."""
    query = select(ROWS).where(ROWS.c.allocation_id.in_(list(allocation_ids))).order_by(ROWS.c.allocation_id)
    return [(_allocation(row), _columns(row)) for row in await tx.execute(query)]


def _columns(row: Row[Any]) -> AllocationColumns:
    return AllocationColumns(
        volumes_e8=unpack(row.volume_bytes, row.volumes) * row.volume_unit_e8,
        reasons=unpack_sparse(row.reason_bytes, row.reasons, row.row_count),
        bases=unpack(row.basis_bytes, row.bases),
        child_trade_ids=unpack(WIDE_BYTES, row.child_trade_ids),
        position_tickets=unpack(WIDE_BYTES, row.position_tickets),
        **unpack_figures(row.figures),
    )


async def list_allocations(
    tx: AsyncConnection, label: int, wanted: AllocationFilter, *, before: int, limit: int
) -> list[Allocation]:
    """Newest first, those with an id below `before`."""
    query = _headers().where(ROWS.c.label == label, ROWS.c.allocation_id < before)
    if wanted.skip_reason is not SkipReason.NONE:
        query = query.where(ROWS.c.reason_mask.op("&")(1 << wanted.skip_reason) != 0)
    if wanted.only_unallocated:
        query = query.where(UNALLOCATED)
    if not wanted.with_follow_ups:
        query = query.where(ROWS.c.wave == 0)
    if wanted.master_id:
        query = query.where(ROWS.c.master_id == wanted.master_id)
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


def _headers() -> Select[Any]:
    return select(*HEADER)


def _header_values(allocation: Allocation) -> dict[str, Any]:
    trade, grid = allocation.trade, allocation.grid
    return {
        "allocation_id": allocation.allocation_id,
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
        "contract_size_e8": allocation.contract_size_e8,
        "conversion_e8": allocation.conversion_e8,
        "currency_digits": allocation.currency_digits,
        "point_e8": allocation.point_e8,
        "age_ms": allocation.age_ms,
        "mode": allocation.mode,
        "stop_loss_e8": trade.stop_loss_e8,
        "take_profit_e8": trade.take_profit_e8,
        "subscription_id": allocation.subscription_id,
    }


def _column_values(columns: AllocationColumns, unit_e8: int) -> dict[str, Any]:
    units = columns.volumes_e8 // unit_e8
    volume_bytes, volumes = pack(units)
    basis_bytes, bases = pack(columns.bases) if columns.bases.size else (0, b"")
    reason_bytes, reasons = pack_sparse(columns.reasons)
    return {
        "volume_unit_e8": unit_e8,
        "unit_sum": int(units.sum()),
        "volume_bytes": volume_bytes,
        "volumes": volumes,
        "reason_bytes": reason_bytes,
        "reasons": reasons,
        "basis_bytes": basis_bytes,
        "bases": bases,
        "figures": pack_figures(columns),
        "reason_mask": int(np.bitwise_or.reduce(1 << columns.reasons.astype(np.int32))) & ~1,
        "child_trade_ids": columns.child_trade_ids.astype("<i8").tobytes(),
        "position_tickets": columns.position_tickets.astype("<i8").tobytes(),
    }


def _allocation(row: Row[Any]) -> Allocation:
    trade = MasterTrade(
        row.deal_ticket,
        row.position_ticket,
        row.symbol,
        row.master_volume_e8,
        row.price_e8,
        row.server_time_ms,
        row.stop_loss_e8,
        row.take_profit_e8,
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
        contract_size_e8=row.contract_size_e8,
        conversion_e8=row.conversion_e8,
        currency_digits=row.currency_digits,
        point_e8=row.point_e8,
        age_ms=row.age_ms,
        subscription_id=row.subscription_id,
        mode=AllocationMode(row.mode),
    )
