"""Lists of child trades, and of positions that were opened by hand, page by page.

Every row has a place that does not change: (group, number, section, id). Groups and numbers are equal for rows that
stand together; section 1 are positions opened by hand, which have ids of their own, section 0 child trades.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.child_listing import (
    ChildPlace,
    ChildTradeFilter,
    ChildTradeGrouping,
    ChildTradeRow,
)
from apportion.allocation.domain.child_trades import ChildTrade, ChildTradeState
from apportion.allocation.domain.mismatch import ChildFacts
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.storage.reconciling_tables import OF_CHILD
from apportion.money import INT64_MAX

# The group and the number of a child trade, and of a position opened by hand.
GROUPS: dict[ChildTradeGrouping, tuple[tuple[str, str], tuple[str, str]]] = {
    ChildTradeGrouping.NONE: (("''", "0::bigint"), ("''", "0::bigint")),
    ChildTradeGrouping.SYMBOL: (("c.symbol", "0::bigint"), ("d.symbol", "0::bigint")),
    ChildTradeGrouping.MASTER_POSITION: (("''", "c.master_position_ticket"), ("''", "0::bigint")),
    ChildTradeGrouping.SUBSCRIPTION: (("''", "c.subscription_id"), ("''", "0::bigint")),
}
ORDERS = {
    ChildTradeGrouping.NONE: "c.child_trade_id DESC",
    ChildTradeGrouping.SYMBOL: "c.symbol, c.child_trade_id DESC",
    ChildTradeGrouping.MASTER_POSITION: "c.master_position_ticket DESC, c.child_trade_id DESC",
    ChildTradeGrouping.SUBSCRIPTION: "c.subscription_id DESC, c.child_trade_id DESC",
}
# Behind the last row seen. Ungrouped, a bound that the index on the id knows.
BEHIND = """
    ({group} > :group OR ({group} = :group AND ({number} < :number OR ({number} = :number AND (
        {section} < :section OR ({section} = :section AND {id} < :id))))))
"""
BEHIND_CHILD = "c.child_trade_id < CASE WHEN :section = 0 THEN :id ELSE 9223372036854775807 END"
# As its index knows it.
SKIPPED = "AND c.skip_reason = :skip_reason AND c.skip_reason <> 0"
# A page is cut before anything is joined, unless what is joined decides who is on it.
CHILDREN = """
    SELECT {group} AS group_key, {number} AS group_number, 0 AS section, c.child_trade_id AS row_id,
           c.child_trade_id, c.allocation_id, c.master_id, c.subscription_id, c.account_id, s.account_login,
           c.symbol, c.reason, c.position_ticket, c.master_position_ticket, v.state,
           c.direction * c.volume_e8 AS volume_e8, c.direction * c.filled_volume_e8 AS filled_volume_e8,
           c.direction * c.open_volume_e8 AS open_volume_e8, c.open_price_e8, c.create_time, c.proportion_e9,
           CASE WHEN o.open_volume_e8 > 0 THEN round(o.floating_profit_minor::numeric * c.proportion_e9 / 1000000000)
                ELSE 0 END::bigint AS floating_profit_minor,
           c.skip_reason, false AS is_foreign, f.*
    FROM (
        SELECT * FROM child_trades AS c
        WHERE c.label = :label AND {behind}
          AND (:master_id = 0 OR c.master_id = :master_id)
          AND (:allocation_id = 0 OR c.allocation_id = :allocation_id)
          AND (:subscription_id = 0 OR c.subscription_id = :subscription_id)
          AND (:master_position_ticket = 0 OR c.master_position_ticket = :master_position_ticket)
          AND (:symbol = '' OR c.symbol = :symbol)
          {skipped}
          AND (NOT :only_open OR c.open_volume_e8 > 0)
          AND (cardinality(CAST(:stored_states AS int[])) = 0 OR c.state = ANY(CAST(:stored_states AS int[])))
          AND (CAST(:start_time AS timestamptz) IS NULL OR c.create_time >= :start_time)
          AND (CAST(:end_time AS timestamptz) IS NULL OR c.create_time < :end_time)
        ORDER BY {order} LIMIT CAST(:inner_limit AS bigint)
    ) AS c
    JOIN allocations AS a USING (allocation_id)
    JOIN subscriptions AS s ON s.subscription_id = c.subscription_id
    LEFT JOIN master_positions AS p ON p.master_id = c.master_id AND p.position_ticket = c.master_position_ticket
    LEFT JOIN deviations AS d ON {OF_CHILD} AND d.confirmed
    LEFT JOIN left_accounts AS l ON l.account_id = c.account_id
    LEFT JOIN record_openings AS o ON o.allocation_id = c.allocation_id
    CROSS JOIN LATERAL (
        SELECT CASE WHEN c.state = 1 AND c.retry_time IS NULL AND a.dispatch_time IS NOT NULL THEN 2 ELSE c.state END
               AS state
    ) AS v
    CROSS JOIN LATERAL (
        SELECT c.state IN (5, 6) AND coalesce(p.open_volume_e8, 0) <> 0 AS is_rejected,
               coalesce(c.open_volume_e8 > 0
                   AND c.direction * d.server_volume_e8 < c.direction * d.book_volume_e8, false) AS is_missing,
               coalesce(c.direction * d.server_volume_e8 > c.direction * d.book_volume_e8, false) AS is_extra,
               c.open_volume_e8 > 0 AND c.state <> 8 AND coalesce(p.open_volume_e8, 0) = 0 AS is_master_closed,
               c.open_volume_e8 > 0 AND l.account_id IS NOT NULL AS has_left
    ) AS f
    WHERE (cardinality(CAST(:states AS int[])) = 0 OR v.state = ANY(CAST(:states AS int[])))
      AND (NOT :only_mismatched OR f.is_rejected OR f.is_missing OR f.is_extra OR f.is_master_closed OR f.has_left)
    ORDER BY 1, 2 DESC, row_id DESC LIMIT :limit
"""
FOREIGN = """
    SELECT {group} AS group_key, {number} AS group_number, 1 AS section, d.deviation_id AS row_id,
           0, 0, 0, 0, d.account_id,
           (SELECT account_login FROM subscriptions AS s
            WHERE s.label = d.label AND s.account_id = d.account_id LIMIT 1) AS account_login,
           d.symbol, CASE d.order_id WHEN 0 THEN '' ELSE 'ORPHAN' END, d.position_ticket, 0, 3,
           d.server_volume_e8, d.server_volume_e8, d.server_volume_e8, d.open_price_e8, d.first_time, 0, 0,
           0, true, false, false, false, false, l.account_id IS NOT NULL
    FROM deviations AS d LEFT JOIN left_accounts AS l ON l.account_id = d.account_id
    WHERE :with_foreign AND d.label = :label AND {behind}
      AND d.book_volume_e8 = 0 AND (d.order_id = 0 OR d.confirmed)
      AND NOT EXISTS (
          SELECT FROM child_trades AS c
          WHERE c.account_id = d.account_id AND c.position_ticket = d.position_ticket AND c.position_ticket <> 0)
      AND ((:master_id = 0 AND :subscription_id = 0) OR EXISTS (
          SELECT FROM subscriptions AS s
          WHERE s.label = d.label AND s.account_id = d.account_id
            AND (:master_id = 0 OR s.master_id = :master_id)
            AND (:subscription_id = 0 OR s.subscription_id = :subscription_id)))
      AND (:symbol = '' OR d.symbol = :symbol)
      AND (CAST(:start_time AS timestamptz) IS NULL OR d.first_time >= :start_time)
      AND (CAST(:end_time AS timestamptz) IS NULL OR d.first_time < :end_time)
    ORDER BY 1, 2 DESC, row_id DESC LIMIT :limit
"""
LIST = """
    SELECT * FROM (({children}) UNION ALL ({foreign})) AS listed
    ORDER BY group_key, group_number DESC, section DESC, row_id DESC LIMIT :limit
"""
FACTS = tuple(ChildFacts.__slots__)
CHILD = tuple(name for name in ChildTrade.__slots__ if name not in ("state", "skip_reason"))


def _statement(grouping: ChildTradeGrouping, skipped: str) -> Any:
    (group, number), (foreign_group, foreign_number) = GROUPS[grouping]
    behind = BEHIND.format(group=group, number=number, section=0, id="c.child_trade_id")
    foreign_behind = BEHIND.format(group=foreign_group, number=foreign_number, section=1, id="d.deviation_id")
    if grouping is ChildTradeGrouping.NONE:
        behind = BEHIND_CHILD
    children = CHILDREN.format(
        group=group, number=number, behind=behind, order=ORDERS[grouping], OF_CHILD=OF_CHILD, skipped=skipped
    )
    foreign = FOREIGN.format(group=foreign_group, number=foreign_number, behind=foreign_behind)
    return text(LIST.format(children=children, foreign=foreign))


def stored_states(states: Sequence[ChildTradeState]) -> set[ChildTradeState]:
    """SENT is never stored: it is PENDING after its allocation was dispatched."""
    return {ChildTradeState.PENDING if state is ChildTradeState.SENT else state for state in states}


def needs_dispatch(states: Sequence[ChildTradeState]) -> bool:
    """Whether only one of the two is wanted, so that the allocation tells."""
    return (ChildTradeState.SENT in states) is not (ChildTradeState.PENDING in states)


STATEMENTS = {
    (grouping, bool(skipped)): _statement(grouping, skipped)
    for grouping in ChildTradeGrouping
    for skipped in ("", SKIPPED)
}
"""By the grouping, and whether only children with a skip reason are wanted."""
FIRST = ChildPlace("", INT64_MAX, 2, INT64_MAX)


async def list_child_trades(
    tx: AsyncConnection, label: int, wanted: ChildTradeFilter, *, behind: ChildPlace, limit: int
) -> list[ChildTradeRow]:
    """In the order of their places, from the one behind a place on (`FIRST`: all)."""
    values = {
        "label": label,
        "master_id": wanted.master_id,
        "allocation_id": wanted.allocation_id,
        "subscription_id": wanted.subscription_id,
        "master_position_ticket": wanted.master_position_ticket,
        "symbol": wanted.symbol,
        "only_open": wanted.only_open,
        "states": [int(state) for state in wanted.states],
        "stored_states": [int(state) for state in stored_states(wanted.states)],
        "inner_limit": None if wanted.only_mismatched or needs_dispatch(wanted.states) else limit,
        "start_time": wanted.start_time,
        "end_time": wanted.end_time,
        "only_mismatched": wanted.only_mismatched,
        "with_foreign": wanted.takes_foreign,
        "limit": limit,
        **behind._asdict(),
    }
    if wanted.skip_reason:
        values["skip_reason"] = int(wanted.skip_reason)
    return [_row(row) for row in await tx.execute(STATEMENTS[wanted.grouping, bool(wanted.skip_reason)], values)]


def _row(row: Row[Any]) -> ChildTradeRow:
    return ChildTradeRow(
        child=ChildTrade(
            **{name: getattr(row, name) for name in CHILD},
            state=ChildTradeState(row.state),
            skip_reason=SkipReason(row.skip_reason),
        ),
        facts=ChildFacts(**{name: getattr(row, name) for name in FACTS}),
        place=ChildPlace(row.group_key, row.group_number, row.section, row.row_id),
    )
