"""Masters' positions with their children summed up, in one statement."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.master_trades import MasterTradeFilter, MasterTradeRow
from apportion.allocation.domain.methods import AllocationMethod
from apportion.allocation.domain.mismatch import MasterTradeFacts
from apportion.allocation.storage.reconciling_tables import OF_CHILD

# Where anything is open; or all, from the newest opening on, so that a page ends the search.
OPEN = """
    (
        SELECT master_id, position_ticket FROM master_positions
        WHERE open_volume_e8 <> 0 AND (:master_id = 0 OR master_id = :master_id)
        UNION
        SELECT master_id, master_position_ticket FROM child_trades
        WHERE open_volume_e8 > 0 AND state <> 8 AND (:master_id = 0 OR master_id = :master_id)
    )
"""
ALL = """
    (
        SELECT master_id, position_ticket FROM allocations AS a
        WHERE label = :label AND kind = 1 AND wave = 0 AND (:master_id = 0 OR master_id = :master_id)
          AND allocation_id < :before
          AND NOT EXISTS (
              SELECT FROM allocations AS b
              WHERE b.master_id = a.master_id AND b.position_ticket = a.position_ticket AND b.kind = 1 AND b.wave = 0
                AND b.allocation_id < a.allocation_id)
        ORDER BY allocation_id DESC
    )
"""
# Volumes as magnitudes. What a child of which not all was opened should have by now is its part of what the master has
# open; that of others is their target. After a reversal only openings in the new direction count. What a close did too
# much is no child of his trade; it is extra while nothing is on its way to close it.
TRADES = """
    SELECT p.master_id, p.position_ticket, o.*, k.*, abs(p.open_volume_e8) AS open_volume_e8
    FROM {shown} AS shown
    JOIN master_positions AS p USING (master_id, position_ticket)
    JOIN masters AS m ON m.master_id = p.master_id AND m.label = :label
    CROSS JOIN LATERAL (
        SELECT min(a.allocation_id) AS first_id, min(a.decide_time) AS open_time,
               (array_agg(sign(a.master_volume_e8)::int ORDER BY a.allocation_id DESC))[1] AS direction,
               (array_agg(a.symbol ORDER BY a.allocation_id DESC))[1] AS symbol,
               (array_agg(a.method ORDER BY a.allocation_id DESC))[1] AS method,
               (array_agg(a.mode ORDER BY a.allocation_id DESC))[1] = 2 AS distributes_profit,
               (array_agg(a.volume_step_e8 ORDER BY a.allocation_id DESC))[1] AS step_e8,
               bool_and(a.projected_time IS NOT NULL) AS has_all_children,
               coalesce(sum(abs(a.master_volume_e8)) FILTER (
                   WHERE sign(a.master_volume_e8) = sign(p.open_volume_e8)), 0) AS opened_e8,
               coalesce(min(a.allocation_id) FILTER (
                   WHERE sign(a.master_volume_e8) = sign(p.open_volume_e8)), 0) AS book_id
        FROM allocations AS a
        WHERE a.master_id = p.master_id AND a.position_ticket = p.position_ticket AND a.kind = 1 AND a.wave = 0
    ) AS o
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE NOT c.is_excess) AS child_count,
               count(*) FILTER (WHERE c.open_volume_e8 > 0 AND NOT c.is_excess) AS open_child_count,
               count(*) FILTER (WHERE c.state IN (5, 6)) AS rejected_child_count,
               coalesce(sum(c.open_volume_e8) FILTER (WHERE NOT c.is_excess), 0)::bigint AS actual_volume_e8,
               coalesce(sum(CASE
                   WHEN c.is_short AND c.allocation_id >= o.book_id AND o.opened_e8 > 0
                   THEN div(c.volume_e8::numeric * abs(p.open_volume_e8), o.opened_e8)
                   WHEN c.is_short THEN 0 ELSE c.target_volume_e8 END), 0)::bigint AS expected_volume_e8,
               count(*) FILTER (WHERE c.is_short AND c.allocation_id >= o.book_id) AS short_child_count,
               count(*) FILTER (
                   WHERE c.state IN (3, 4, 7) AND c.open_volume_e8 < c.target_volume_e8) AS early_child_count,
               count(*) FILTER (
                   WHERE c.open_volume_e8 > 0
                     AND c.direction * d.server_volume_e8 < c.direction * d.book_volume_e8) AS missing_child_count,
               count(*) FILTER (
                   WHERE c.direction * d.server_volume_e8 > c.direction * d.book_volume_e8
                      OR (c.open_volume_e8 > c.target_volume_e8 AND c.closing_volume_e8 = 0)) AS extra_child_count
        FROM (
            SELECT *, filled_volume_e8 < volume_e8 AND state <> 1 AS is_short, nets AND volume_e8 = 0 AS is_excess
            FROM child_trades
            WHERE master_id = p.master_id AND master_position_ticket = p.position_ticket AND state <> 8
        ) AS c
        LEFT JOIN deviations AS d ON {of_child} AND d.confirmed
    ) AS k
    WHERE o.first_id < :before AND (NOT :only_mismatched OR ({alarming}))
    ORDER BY o.first_id DESC LIMIT :limit
"""
# As `master_mismatches` finds anything that is not normal.
ALARMING = """
    NOT o.distributes_profit AND (
        k.missing_child_count > 0 OR k.extra_child_count > 0
        OR (p.open_volume_e8 <> 0 AND (k.short_child_count > 0 OR (o.method <= 5 AND k.early_child_count > 0)))
        OR (o.method <= 5 AND o.has_all_children AND abs(p.open_volume_e8) - k.expected_volume_e8 >= o.step_e8)
        OR (o.method <= 5 AND k.short_child_count = 0 AND k.early_child_count = 0
            AND k.expected_volume_e8 - abs(p.open_volume_e8) >= o.step_e8))
"""
FACTS = tuple(name for name in MasterTradeFacts.__slots__ if name != "method")
LIST_OPEN, LIST_ALL = (text(TRADES.format(shown=shown, alarming=ALARMING, of_child=OF_CHILD)) for shown in (OPEN, ALL))


async def list_master_trades(
    tx: AsyncConnection, label: int, wanted: MasterTradeFilter, *, before: int, limit: int
) -> list[MasterTradeRow]:
    """Newest first, those whose first opening has an id below `before`."""
    rows = await tx.execute(
        LIST_ALL if wanted.with_closed else LIST_OPEN,
        {
            "label": label,
            "master_id": wanted.master_id,
            "only_mismatched": wanted.only_mismatched,
            "before": before,
            "limit": limit,
        },
    )
    return [_trade(row) for row in rows]


def _trade(row: Row[Any]) -> MasterTradeRow:
    method = AllocationMethod(row.method)
    return MasterTradeRow(
        first_allocation_id=row.first_id,
        master_id=row.master_id,
        position_ticket=row.position_ticket,
        symbol=row.symbol,
        direction=row.direction,
        child_count=row.child_count,
        open_child_count=row.open_child_count,
        rejected_child_count=row.rejected_child_count,
        open_time=row.open_time,
        facts=MasterTradeFacts(method=method, **{name: getattr(row, name) for name in FACTS}),
    )
