"""Trip a limit: the decision, durable before anything else is done."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.risk.domain.limits import DailyLimit, LimitState
from apportion.risk.domain.trips import Evidence, Price, Trip
from apportion.risk.operations.ports import TripPayload
from apportion.risk.storage.limits import load_limit, show_trip
from apportion.risk.storage.trips import insert_trip
from apportion.storage import append_event, partition_of, transaction
from apportion.storage.leases import Lease, check_fence

TRIP_CHANGED = "apportion.api.risk.v1.TripChanged"


async def trip_limit(
    engine: AsyncEngine,
    lease: Lease,
    limit: DailyLimit,
    evidence: Evidence,
    prices: Sequence[Price],
    payload: TripPayload,
    *,
    now: datetime,
) -> Trip | None:
    """Limit, trip, evidence and event in one transaction; None when the limit changed since it was judged.

    Raises StaleEpoch when another worker watches this server by now.
    """
    async with transaction(engine) as tx:
        await check_fence(tx, lease)
        current = await load_limit(tx, limit.label, limit.master_id, for_update=True)
        if current is None or current.version != limit.version or current.state is not LimitState.ARMED:
            return None
        trip = await insert_trip(tx, limit, evidence, prices, now)
        await show_trip(tx, trip, now)
        await publish_trip(tx, trip, payload, now)
        return trip


async def publish_trip(tx: AsyncConnection, trip: Trip, payload: TripPayload, now: datetime) -> None:
    """Tells the others that the trip has a new state."""
    await append_event(
        tx,
        label=trip.label,
        aggregate_type="trips",
        aggregate_id=str(trip.master_id),
        partition=partition_of(trip.account_id),
        type=TRIP_CHANGED,
        payload=payload(trip),
        now=now,
        event_id=trip.request_id(f"event/{trip.state.name}/{trip.closing_round}"),
    )
