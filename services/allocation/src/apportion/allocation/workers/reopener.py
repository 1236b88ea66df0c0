"""Orders anew what was provably not executed."""

from __future__ import annotations

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.retries import Retries
from apportion.allocation.operations.modify_stops import repeat_stops
from apportion.allocation.operations.reopen_children import reopen_children
from apportion.allocation.workers.dispatcher import Dispatcher
from apportion.runtime import Clock


class Reopener:
    """Orders again what was not opened, and stops that were refused, each child's after a pause."""

    def __init__(self, engine: AsyncEngine, dispatcher: Dispatcher, clock: Clock, retries: Retries) -> None:
        self._engine = engine
        self._dispatcher = dispatcher
        self._clock = clock
        self._retries = retries

    async def run(self) -> None:
        while True:
            self._dispatcher.dispatch(await reopen_children(self._engine, self._retries, now=self._clock.now()))
            self._dispatcher.dispatch(await repeat_stops(self._engine, now=self._clock.now()))
            await asyncio.sleep(self._retries.pause_seconds)
