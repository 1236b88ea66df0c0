"""How much does not add up on a trading server, counted from what may be wrong instead of from all that is open.

Indexes know what may be: children of which more is open than is wanted or not all was opened, deviations, accounts that
have left. Only the sums of divided positions must be added up anew each time.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.storage.master_trades import ALARMING, TRADES
from apportion.allocation.storage.reconciling_tables import OF_CHILD
from apportion.money import INT64_MAX

# Of the server: children that a deviation is about, once for each of the two ways to name them, so that each has its
# index.
DEVIATING = """
    SELECT c.* FROM deviations AS d JOIN child_trades AS c
        ON c.account_id = d.account_id AND c.position_ticket = d.position_ticket AND c.position_ticket <> 0
    WHERE d.label = :label AND d.trading_server_id = :trading_server_id AND d.confirmed AND NOT c.nets
      AND c.label = d.label
    UNION ALL
    SELECT c.* FROM deviations AS d JOIN child_trades AS c
        ON c.account_id = d.account_id AND c.open_volume_e8 > 0
    WHERE d.label = :label AND d.trading_server_id = :trading_server_id AND d.confirmed AND c.nets
      AND d.position_ticket = 0 AND c.symbol = d.symbol AND c.label = d.label
"""
# Positions that may have a mismatch. Of methods that do not divide, none has without such a child.
SUSPECTS = f"""
    (
        SELECT p.master_id, p.position_ticket
        FROM master_positions AS p JOIN masters AS m USING (master_id)
        WHERE p.open_volume_e8 <> 0 AND m.label = :label AND m.trading_server_id = :trading_server_id AND (
            EXISTS (
                SELECT FROM allocations AS a
                WHERE a.master_id = p.master_id AND a.position_ticket = p.position_ticket
                  AND a.kind = 1 AND a.wave = 0 AND a.method <= 5)
            OR EXISTS (
                SELECT FROM child_trades AS c
                WHERE c.master_id = p.master_id AND c.master_position_ticket = p.position_ticket
                  AND c.filled_volume_e8 < c.volume_e8 AND c.state NOT IN (1, 8)))
        UNION
        SELECT c.master_id, c.master_position_ticket
        FROM child_trades AS c JOIN masters AS m USING (master_id)
        WHERE c.open_volume_e8 > c.target_volume_e8 AND c.closing_volume_e8 = 0
          AND m.label = :label AND m.trading_server_id = :trading_server_id
        UNION
        SELECT c.master_id, c.master_position_ticket FROM ({DEVIATING}) AS c
    )
"""
# From one position with open children to the next, without a look at all of them.
FOLLOWED = """
    WITH RECURSIVE followed AS (
        (
            SELECT master_id, master_position_ticket FROM child_trades
            WHERE open_volume_e8 > 0 ORDER BY 1, 2 LIMIT 1
        )
        UNION ALL
        SELECT n.* FROM followed AS f CROSS JOIN LATERAL (
            SELECT master_id, master_position_ticket FROM child_trades
            WHERE open_volume_e8 > 0
              AND (master_id, master_position_ticket) > (f.master_id, f.master_position_ticket)
            ORDER BY 1, 2 LIMIT 1
        ) AS n
    )
"""
CHILDREN = f"""
    SELECT c.child_trade_id
    FROM followed AS f
    JOIN masters AS m ON m.master_id = f.master_id AND m.label = :label AND m.trading_server_id = :trading_server_id
    LEFT JOIN master_positions AS p ON p.master_id = f.master_id AND p.position_ticket = f.master_position_ticket
    JOIN child_trades AS c ON c.master_id = f.master_id AND c.master_position_ticket = f.master_position_ticket
    WHERE coalesce(p.open_volume_e8, 0) = 0 AND c.open_volume_e8 > 0 AND c.state <> 8
    UNION
    SELECT c.child_trade_id
    FROM left_accounts AS l JOIN child_trades AS c ON c.account_id = l.account_id AND c.label = l.label
    WHERE l.label = :label AND l.trading_server_id = :trading_server_id AND c.open_volume_e8 > 0
    UNION
    SELECT c.child_trade_id FROM ({DEVIATING}) AS c WHERE c.open_volume_e8 > 0
"""
SUSPECT_TRADES = TRADES.format(shown=SUSPECTS, alarming=ALARMING, of_child=OF_CHILD)
COUNT = text(
    f"""
    {FOLLOWED}
    SELECT (SELECT count(*) FROM ({SUSPECT_TRADES}) AS alarming) AS master_trades,
           (SELECT count(*) FROM ({CHILDREN}) AS alarming) AS child_trades,
           (
               SELECT count(*) FROM deviations
               WHERE label = :label AND trading_server_id = :trading_server_id AND book_volume_e8 = 0 AND confirmed
           ) AS foreign_positions
    """
)


async def count_alarming(tx: AsyncConnection, label: int, trading_server_id: int) -> dict[str, int]:
    """Rows with a mismatch that is not normal, by their kind; children that were not opened count with their master."""
    values = {"label": label, "trading_server_id": trading_server_id, "only_mismatched": True}
    row = (await tx.execute(COUNT, values | {"before": INT64_MAX, "limit": INT64_MAX})).one()
    return {str(kind): count for kind, count in row._mapping.items()}
