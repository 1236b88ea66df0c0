"""The decisions of a span of time, bounded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.fairness_totals import MOST_DECISIONS, MOST_ROWS, Span
from apportion.storage import fetch_arrays

# First decisions on opening trades; artificial records are no volumes.
DECISIONS = """
    WITH span AS (
        SELECT allocation_id, decide_time, row_count,
               row_number() OVER (ORDER BY decide_time, allocation_id) AS number,
               sum(row_count) OVER (ORDER BY decide_time, allocation_id) AS rows
        FROM allocations
        WHERE master_id = $1 AND kind = 1 AND wave = 0 AND mode = 1 AND octet_length(child_trade_ids) = 0
          AND decide_time >= $2 AND decide_time < $3
        ORDER BY decide_time, allocation_id LIMIT $4 + 1
    )
    SELECT coalesce(array_agg(allocation_id ORDER BY number) FILTER (WHERE number <= $4 AND rows <= $5), '{}') AS ids,
           min(decide_time) FILTER (WHERE number > $4 OR rows > $5) AS end_time
    FROM span
"""


@dataclass(frozen=True, slots=True)
class SpannedDecisions:
    allocation_ids: list[int]
    end_time: datetime | None
    """Before it is what one report may be computed from; None: that is all of the span."""


async def list_spanned(tx: AsyncConnection, master_id: int, span: Span) -> SpannedDecisions:
    """In the order of their times."""
    (row,) = await fetch_arrays(tx, DECISIONS, master_id, span.start_time, span.end_time, MOST_DECISIONS, MOST_ROWS)
    return SpannedDecisions(row["ids"], row["end_time"])
