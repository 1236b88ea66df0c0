"""How trading servers are shared among workers: by leases on shards."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.runtime import Clock
from apportion.storage.leases import Lease, LeaseKeeper

SHARDS = 16
LEASE_KIND = "risk"
LEASE_SECONDS = 8.0


def shard_of(trading_server_id: int) -> int:
    """The shard whose holder watches the server and closes its trips."""
    return trading_server_id % SHARDS


def shard_keeper(engine: AsyncEngine, owner: str, clock: Clock) -> LeaseKeeper:
    """Holds this worker's share of the shards."""
    keys = [str(shard) for shard in range(SHARDS)]
    return LeaseKeeper(engine, LEASE_KIND, keys, owner, clock=clock, ttl_seconds=LEASE_SECONDS)


def held_shards(keeper: LeaseKeeper) -> dict[int, Lease]:
    """The shards that are ours for sure right now."""
    return {int(key): lease for key, lease in keeper.held.items() if keeper.valid(lease)}
