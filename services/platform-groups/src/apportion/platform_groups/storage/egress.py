"""The bell of the workers that write to trading servers."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.storage import fetch_arrays

CHANNEL = "egress"


async def ring_egress(tx: AsyncConnection, trading_server_ids: Iterable[int]) -> None:
    """Wakes the workers of these servers when the transaction commits: a hint, they also look by themselves."""
    for trading_server_id in sorted(set(trading_server_ids)):
        await fetch_arrays(tx, "SELECT pg_notify($1, $2)", CHANNEL, str(trading_server_id))
