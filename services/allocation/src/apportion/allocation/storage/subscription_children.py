"""The children of one subscription, when it ends."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

POSITIONS = text(
    """
    SELECT DISTINCT master_position_ticket FROM child_trades
    WHERE subscription_id = :subscription_id AND state IN (1, 3, 4) ORDER BY master_position_ticket
    """
)
RECORDS = text(
    """
    SELECT EXISTS (
        SELECT FROM child_trades WHERE subscription_id = :subscription_id AND state = 3 AND proportion_e9 > 0)
    """
)
# Rows are locked in the order of their ids, as by every statement that changes several.
LOCK = text(
    """
    SELECT FROM child_trades WHERE subscription_id = :subscription_id AND state IN (1, 3, 4)
    ORDER BY child_trade_id FOR UPDATE
    """
)
WANT_CLOSED = text(
    """
    UPDATE child_trades SET target_volume_e8 = 0
    WHERE subscription_id = :subscription_id AND state IN (1, 3, 4)
    """
)
# What a close did too much is nobody's wish, and stays ours to close.
DETACH = text(
    """
    UPDATE child_trades
    SET state = CASE state WHEN 1 THEN 1 ELSE 8 END,
        target_volume_e8 = CASE state WHEN 1 THEN 0 ELSE open_volume_e8 END
    WHERE subscription_id = :subscription_id AND state IN (1, 3, 4) AND (volume_e8 > 0 OR NOT nets)
    """
)
END_LEAVING = text(
    """
    UPDATE subscriptions AS s SET state = 3, version = version + 1
    WHERE s.state = 2 AND NOT EXISTS (
        SELECT FROM child_trades AS c WHERE c.subscription_id = s.subscription_id AND c.state IN (1, 3, 4))
      AND NOT EXISTS (
        SELECT FROM allocations AS a WHERE a.master_id = s.master_id AND a.kind = 1 AND a.projected_time IS NULL)
    """
)


async def list_followed_positions(tx: AsyncConnection, subscription_id: int) -> list[int]:
    """Tickets of the master's positions that children of the subscription follow."""
    return list((await tx.execute(POSITIONS, {"subscription_id": subscription_id})).scalars())


async def has_open_records(tx: AsyncConnection, subscription_id: int) -> bool:
    """Whether artificial records of the subscription wait for a close of their master."""
    found: bool = (await tx.execute(RECORDS, {"subscription_id": subscription_id})).scalar_one()
    return found


async def want_closed(tx: AsyncConnection, subscription_id: int) -> None:
    """Nothing of the subscription is to be open any more."""
    await tx.execute(LOCK, {"subscription_id": subscription_id})
    await tx.execute(WANT_CLOSED, {"subscription_id": subscription_id})


async def detach(tx: AsyncConnection, subscription_id: int) -> None:
    """What is filled follows nobody any more; what is not filled yet is not wanted."""
    await tx.execute(LOCK, {"subscription_id": subscription_id})
    await tx.execute(DETACH, {"subscription_id": subscription_id})


async def end_leaving(tx: AsyncConnection) -> None:
    """Ends the leaving subscriptions of which nothing is open any more."""
    await tx.execute(END_LEAVING)
