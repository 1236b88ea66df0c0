from __future__ import annotations

import sys
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

sys.path.insert(0, str(Path(__file__).parent))  # for risk_world, the snapshots and stubs of these tests

from risk_world import StubAccounts, StubMasters

from apportion.risk.operations.advance_trip import TripWork
from apportion.risk.wire import trip_changed_payload
from apportion.risk.workers.shards import shard_keeper
from apportion.storage.leases import Lease


@pytest.fixture
async def engine(engine_for) -> AsyncEngine:
    return await engine_for("apportion.risk.storage")


@pytest.fixture
async def lease(engine, clock) -> Lease:
    """Of the shard of trading server 1."""
    keeper = shard_keeper(engine, "worker", clock)
    await keeper.refresh()
    return keeper.held["1"]


@pytest.fixture
def masters() -> StubMasters:
    return StubMasters()


@pytest.fixture
def accounts(clock) -> StubAccounts:
    return StubAccounts(clock)


@pytest.fixture
def work(engine, masters, accounts, clock) -> TripWork:
    return TripWork(engine, masters, accounts, accounts, trip_changed_payload, clock)
