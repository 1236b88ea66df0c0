"""Note what masters' and followers' accounts have now."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.operations.ports import States
from apportion.allocation.storage.equity_days import list_trading_servers
from apportion.allocation.storage.equity_days import sample_equities as save_sample
from apportion.storage import transaction
from apportion.storage.leases import Lease, check_fence


async def sample_equities(engine: AsyncEngine, states: States, lease: Lease) -> None:
    """Of every trading server that has masters, in one statement each; a silent one is skipped. Raises StaleEpoch."""
    async with transaction(engine) as tx:
        servers = await list_trading_servers(tx)
    for trading_server_id in servers:
        newest = await states.newest(trading_server_id)
        if newest is None or not newest.server_time_ms:
            continue
        async with transaction(engine) as tx:
            await check_fence(tx, lease)
            await save_sample(tx, trading_server_id, newest)
