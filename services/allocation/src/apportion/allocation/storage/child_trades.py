"""Child trades: rows made behind the decision, then moved on by order results and deals, always whole batches.

Every statement that changes several rows locks them first in the order of their ids, so that batches that meet wait for
each other instead of dying in a deadlock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.child_routes import ChildRoutes
from apportion.allocation.domain.child_trades import NO_TICKET, ChildTradeState
from apportion.allocation.domain.position_keys import PositionKey
from apportion.allocation.domain.retries import RETRYABLE
from apportion.allocation.storage.copy_settings import load_settings
from apportion.allocation.storage.packing import from_aggregate
from apportion.allocation.storage.reconciling_tables import OF_CHILD
from apportion.money import Int64Array
from apportion.storage import fetch_arrays

# By which ticket a child is closed. On a netting account where something is open in the other direction, or on its way,
# by none: the close may enlarge what the account holds, or turn it. Where nothing is, the ticket keeps it from that.
TICKET = f"""
    CASE WHEN nets AND position_ticket <> 0 AND (
        EXISTS (SELECT FROM child_trades AS o
                WHERE o.nets AND o.account_id = ordered.account_id AND o.symbol = ordered.symbol
                  AND o.direction = -ordered.direction AND (o.open_volume_e8 > 0 OR o.state = 1))
        OR ordered.direction * (SELECT sum(volume_e8) FROM net_deals AS n
                                WHERE n.account_id = ordered.account_id AND n.symbol = ordered.symbol
                                  AND n.child_trade_id = 0) < 0)
    THEN {NO_TICKET} ELSE position_ticket END
"""
# What a child still has to follow with: what is open, but not more than what it should have; all that was decided
# while its open order has no result.
FOLLOWING = text(
    f"""
    SELECT string_agg(int8send(child_trade_id), '') AS child_trade_ids,
           string_agg(int8send({TICKET}), '') AS position_tickets,
           string_agg(int8send(CASE state WHEN 1 THEN target_volume_e8
                               ELSE least(open_volume_e8, target_volume_e8) END), '') AS volumes_e8
    FROM (
        SELECT * FROM child_trades
        WHERE master_id = :master_id AND master_position_ticket = :position_ticket AND state IN (1, 3, 4)
        ORDER BY child_trade_id FOR UPDATE
    ) AS ordered
    """
)
# Gone on the server, confirmed: there is nothing to close; its closing deal will book it, or somebody by hand.
GONE = f"""
    EXISTS (SELECT FROM deviations AS d
            WHERE {OF_CHILD} AND d.server_volume_e8 = 0 AND d.confirmed)
"""
# Filled after, or in spite of, a close of the master; nothing is on its way to close it.
EXCESS = text(
    f"""
    SELECT string_agg(int8send(child_trade_id), '') AS child_trade_ids,
           string_agg(int8send({TICKET}), '') AS position_tickets,
           string_agg(int8send(open_volume_e8 - target_volume_e8), '') AS volumes_e8
    FROM (
        SELECT * FROM child_trades AS c
        WHERE master_id = :master_id AND master_position_ticket = :position_ticket
          AND open_volume_e8 > target_volume_e8 AND closing_volume_e8 = 0 AND NOT {GONE}
        ORDER BY child_trade_id FOR UPDATE
    ) AS ordered
    """
)
EXCESS_POSITIONS = text(
    f"""
    SELECT DISTINCT label, master_id, master_position_ticket FROM child_trades AS c
    WHERE open_volume_e8 > target_volume_e8 AND closing_volume_e8 = 0 AND NOT {GONE}
    ORDER BY label, master_id, master_position_ticket LIMIT :limit
    """
)
LOCK = "SELECT FROM child_trades WHERE child_trade_id = ANY($1::bigint[]) ORDER BY child_trade_id FOR UPDATE"
RETARGET = """
    UPDATE child_trades AS c
    SET target_volume_e8 = n.target_e8, closing_volume_e8 = c.closing_volume_e8 + n.ordered_e8
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS n (child_trade_id, target_e8, ordered_e8)
    WHERE c.child_trade_id = n.child_trade_id
"""
# A partial fill scales the target: the child keeps the master's ratio on what it really got, half up to the step. That
# nothing was filled counts only for the order that the child waits for, not for one that a new order has replaced.
# Fills on netting accounts are told by deals, in their order among all others; all other fills by results.
FILL = """
    UPDATE child_trades AS c
    SET state = r.state,
        reason = r.reason,
        retry_time = NULL,
        position_ticket = r.position_ticket,
        open_price_e8 = r.price_e8,
        filled_volume_e8 = r.filled_e8,
        open_volume_e8 = c.open_volume_e8 + r.filled_e8 - c.filled_volume_e8,
        target_volume_e8 = CASE
            WHEN r.filled_e8 >= c.volume_e8 THEN c.target_volume_e8
            ELSE least(r.filled_e8, a.volume_step_e8 * div(
                2 * c.target_volume_e8::numeric * r.filled_e8 + c.volume_e8 * a.volume_step_e8,
                2 * c.volume_e8::numeric * a.volume_step_e8)) END
    FROM unnest($2::bigint[], $3::smallint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[])
         AS r (child_trade_id, state, reason, filled_e8, price_e8, position_ticket),
         allocations AS a
    WHERE c.child_trade_id = r.child_trade_id AND c.label = $1 AND a.allocation_id = c.allocation_id
      AND ((r.filled_e8 > c.filled_volume_e8 AND c.nets = $9)
           OR (c.state = 1 AND r.filled_e8 = 0 AND c.retry_time IS NULL
               AND coalesce(nullif(c.follow_up_id, 0), c.allocation_id) = $8))
    RETURNING c.account_id, c.position_ticket
"""
# What a close order did not do is no longer on its way; what it did is told by its deals.
RELEASE = """
    UPDATE child_trades AS c
    SET closing_volume_e8 = greatest(0, c.closing_volume_e8 - r.undone_e8), reason = r.reason
    FROM unnest($2::bigint[], $3::bigint[], $4::text[]) AS r (child_trade_id, undone_e8, reason)
    WHERE c.child_trade_id = r.child_trade_id AND c.label = $1 AND r.undone_e8 > 0
"""
ORDER_CLOSE = """
    UPDATE child_trades AS c SET closing_volume_e8 = c.closing_volume_e8 + n.ordered_e8
    FROM unnest($1::bigint[], $2::bigint[]) AS n (child_trade_id, ordered_e8)
    WHERE c.child_trade_id = n.child_trade_id
"""
CANCEL = """
    UPDATE child_trades SET state = 6, reason = $2, target_volume_e8 = 0
    WHERE child_trade_id = ANY($1::bigint[]) AND state = 1 AND retry_time IS NULL
"""
ROUTES = """
    WITH routed AS (
        SELECT n.ordinal, c.subscription_id, c.account_id, c.direction, c.symbol, s.account_login, s.copy_settings_id
        FROM unnest($1::bigint[]) WITH ORDINALITY AS n (child_trade_id, ordinal)
        JOIN child_trades AS c USING (child_trade_id) JOIN subscriptions AS s USING (subscription_id)
    ), names AS (SELECT array_agg(DISTINCT symbol) AS symbols FROM routed)
    SELECT symbols,
           string_agg(int8send(subscription_id), '' ORDER BY ordinal) AS subscription_ids,
           string_agg(int8send(account_id), '' ORDER BY ordinal) AS account_ids,
           string_agg(int8send(account_login), '' ORDER BY ordinal) AS logins,
           string_agg(int8send(array_position(symbols, symbol) - 1), '' ORDER BY ordinal) AS symbol_rows,
           string_agg(int8send(direction), '' ORDER BY ordinal) AS directions,
           string_agg(int8send(copy_settings_id), '' ORDER BY ordinal) AS settings_ids
    FROM routed, names GROUP BY symbols
"""
ROUTE_COLUMNS = ("subscription_ids", "account_ids", "logins", "symbol_rows", "directions", "settings_ids")


@dataclass(frozen=True, slots=True)
class FollowingChildren:
    """Columns of one length in the order of the ids, the rows locked."""

    child_trade_ids: Int64Array
    position_tickets: Int64Array
    """0 while its open order has no result: there is nothing to close yet; NO_TICKET: closed without one."""
    volumes_e8: Int64Array

    def of(self, rows: NDArray[np.intp]) -> FollowingChildren:
        """Some of them."""
        return FollowingChildren(self.child_trade_ids[rows], self.position_tickets[rows], self.volumes_e8[rows])


@dataclass(frozen=True, slots=True)
class OrderResults:
    """Final results of child orders: columns of one length, volumes as magnitudes."""

    child_trade_ids: Int64Array
    states: NDArray[np.int8]
    """Values of ChildTradeState."""
    reasons: list[str]
    volumes_e8: Int64Array
    filled_volumes_e8: Int64Array
    prices_e8: Int64Array
    position_tickets: Int64Array
    order_ids: Int64Array

    def without(self, child_trade_ids: Int64Array) -> OrderResults:
        """The results of all other children."""
        rows = np.flatnonzero(~np.isin(self.child_trade_ids, child_trade_ids))
        return OrderResults(
            self.child_trade_ids[rows],
            self.states[rows],
            [self.reasons[row] for row in rows],
            self.volumes_e8[rows],
            self.filled_volumes_e8[rows],
            self.prices_e8[rows],
            self.position_tickets[rows],
            self.order_ids[rows],
        )

    @property
    def not_executed(self) -> NDArray[np.intp]:
        """Rows of open orders that a new order may replace: refused for a passing reason, or ended without a trace."""
        passing = (self.states == ChildTradeState.EXPIRED) | np.isin(self.reasons, sorted(RETRYABLE))
        return np.flatnonzero(passing & (self.filled_volumes_e8 == 0))


async def load_following(tx: AsyncConnection, master_id: int, position_ticket: int) -> FollowingChildren:
    """The children of a master position that a close of it concerns."""
    return await _load_children(tx, FOLLOWING, master_id, position_ticket)


async def load_excess(tx: AsyncConnection, master_id: int, position_ticket: int) -> FollowingChildren:
    """The children of a master position that have more open than they should; volumes are what is too much."""
    return await _load_children(tx, EXCESS, master_id, position_ticket)


async def list_excess_positions(tx: AsyncConnection, *, limit: int) -> list[PositionKey]:
    """Master positions where children have more open than they should."""
    return [PositionKey(*row) for row in await tx.execute(EXCESS_POSITIONS, {"limit": limit})]


async def load_routes(tx: AsyncConnection, child_trade_ids: Int64Array) -> ChildRoutes:
    """In the order of the ids given, which must exist; settings are those of now."""
    rows = await fetch_arrays(tx, ROUTES, child_trade_ids)
    columns = {name: from_aggregate(rows[0][name] if rows else None) for name in ROUTE_COLUMNS}
    settings_ids, profile_rows = np.unique(columns.pop("settings_ids"), return_inverse=True)
    settings = await load_settings(tx, settings_ids.tolist())
    return ChildRoutes(
        **columns,
        symbols=tuple(rows[0]["symbols"]) if rows else (),
        profiles=tuple(settings[settings_id] for settings_id in settings_ids.tolist()),
        profile_rows=profile_rows,
    )


async def retarget(
    tx: AsyncConnection, child_trade_ids: Int64Array, targets_e8: Int64Array, ordered_e8: Int64Array
) -> None:
    """Sets what is to stay open of children whose rows are locked, and adds to what is on its way to be closed."""
    await fetch_arrays(tx, RETARGET, child_trade_ids, targets_e8, ordered_e8)


async def add_closing(tx: AsyncConnection, child_trade_ids: Int64Array, ordered_e8: Int64Array) -> None:
    """Adds to what is on its way to be closed of children whose rows are locked."""
    await fetch_arrays(tx, ORDER_CLOSE, child_trade_ids, ordered_e8)


async def apply_open_results(
    tx: AsyncConnection, label: int, allocation_id: int, results: OrderResults, *, by_deals: bool = False
) -> list[tuple[int, int]]:
    """Moves children on by the results of the open orders of a decision; repeats change nothing.

    `by_deals`: these are fills on netting accounts, which other results do not change.
    Returns (account, position ticket) of those that changed and have a position.
    """
    await fetch_arrays(tx, LOCK, results.child_trade_ids)
    rows = await fetch_arrays(
        tx,
        FILL,
        label,
        results.child_trade_ids,
        results.states,
        results.reasons,
        results.filled_volumes_e8,
        results.prices_e8,
        results.position_tickets,
        allocation_id,
        by_deals,
    )
    return [(row["account_id"], row["position_ticket"]) for row in rows if row["position_ticket"]]


async def apply_close_results(tx: AsyncConnection, label: int, results: OrderResults) -> None:
    """Takes what close orders did not do off what is on its way."""
    await fetch_arrays(tx, LOCK, results.child_trade_ids)
    undone = np.maximum(results.volumes_e8 - results.filled_volumes_e8, 0)
    await fetch_arrays(tx, RELEASE, label, results.child_trade_ids, undone, results.reasons)


async def cancel_pending(tx: AsyncConnection, child_trade_ids: Int64Array, reason: str) -> None:
    """Gives up children whose orders will not be sent."""
    await fetch_arrays(tx, LOCK, child_trade_ids)
    await fetch_arrays(tx, CANCEL, child_trade_ids, reason)


async def _load_children(tx: AsyncConnection, query: Any, master_id: int, position_ticket: int) -> FollowingChildren:
    row = (await tx.execute(query, {"master_id": master_id, "position_ticket": position_ticket})).one()
    return FollowingChildren(
        from_aggregate(row.child_trade_ids), from_aggregate(row.position_tickets), from_aggregate(row.volumes_e8)
    )
