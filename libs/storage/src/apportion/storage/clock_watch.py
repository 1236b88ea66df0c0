"""Whether this machine and the database agree on the time: order deadlines and server days are told by our clock."""

from __future__ import annotations

import asyncio
from datetime import datetime

import structlog
from prometheus_client import Gauge
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import DomainError
from apportion.runtime import Clock
from apportion.storage.copy import fetch_arrays
from apportion.storage.transaction import transaction

log = structlog.get_logger()

PAUSE_SECONDS = 60.0

SKEW = Gauge("apportion_clock_skew_seconds", "Our clock minus the database's, at the middle of a round trip.")


class ClockWatch:
    """Compares once a minute; above the limit it is an alarm for a person: no program may set a clock."""

    def __init__(self, engine: AsyncEngine, clock: Clock, *, alarm_seconds: float) -> None:
        self._engine = engine
        self._clock = clock
        self._alarm_seconds = alarm_seconds

    async def run(self) -> None:
        """For ever. A database that is away is asked again a minute later."""
        while True:
            try:
                await self.look()
            except DomainError as error:
                log.warning("clock_not_compared", cause=str(error))
            await asyncio.sleep(PAUSE_SECONDS)

    async def look(self) -> float:
        """Our clock minus the database's in seconds, exact to half of the round trip, which the alarm allows for."""
        async with transaction(self._engine) as tx:
            before = self._clock.now()
            (row,) = await fetch_arrays(tx, "SELECT clock_timestamp() AS now")
            round_trip = self._clock.now() - before
        theirs: datetime = row["now"]
        skew_seconds = (before + round_trip / 2 - theirs).total_seconds()
        SKEW.set(skew_seconds)
        if abs(skew_seconds) - round_trip.total_seconds() / 2 > self._alarm_seconds:
            log.error("clock_skewed", skew_seconds=round(skew_seconds, 3), limit_seconds=self._alarm_seconds)
        return skew_seconds
