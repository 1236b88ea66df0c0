"""Closes what children have open and should not."""

from __future__ import annotations

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.operations.follow_up_positions import follow_up_positions
from apportion.allocation.workers.dispatcher import Dispatcher
from apportion.runtime import Clock


class FollowUp:
    """Compares what is open with what should be, now and then, and closes what is too much."""

    def __init__(self, engine: AsyncEngine, dispatcher: Dispatcher, clock: Clock, *, pause_seconds: float) -> None:
        self._engine = engine
        self._dispatcher = dispatcher
        self._clock = clock
        self._pause_seconds = pause_seconds

    async def run(self) -> None:
        while True:
            self._dispatcher.dispatch(await follow_up_positions(self._engine, now=self._clock.now()))
            await asyncio.sleep(self._pause_seconds)
