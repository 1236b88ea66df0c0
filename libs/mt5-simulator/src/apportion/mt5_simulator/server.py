"""The running server: engine, clock, state on disk. What changes the engine is saved before it is answered."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from apportion.mt5_simulator.domain.clock import ServerClock
from apportion.mt5_simulator.domain.engine import Engine
from apportion.mt5_simulator.domain.feed import Feed
from apportion.mt5_simulator.domain.settings import ServerSettings
from apportion.mt5_simulator.faults import Faults
from apportion.mt5_simulator.storage import Moment, Store

PRICE_INTERVAL_SECONDS = 0.1
_LARGEST_STEP_MS = 60_000
"""Server time between two looks at the prices, so that a fast clock does not jump over stops."""
_SAVE_ALLOWANCE_SECONDS = 0.5
"""A running clock is saved with every look at the prices, so that even a late one is within this."""
_STEPS_BETWEEN_PAUSES = 200
_REQUEST_ID_GAP = 10_000

Execution = Callable[[], Callable[[], None]]
"""Does something to the engine; returns what tells of it, to be called once all is saved."""


class Server:
    def __init__(
        self,
        settings: ServerSettings,
        feed: Feed,
        *,
        start_utc_ms: int,
        speed: float | None = None,
        paused: bool | None = None,
        data_folder: Path | None = None,
        execution_delay_seconds: float = 0.002,
    ) -> None:
        """With state on disk the clock goes on from where it was, unless `speed` or `paused` say otherwise;
        `start_utc_ms` is for a new server."""
        self.settings = settings
        self.engine = Engine(settings, feed)
        self.faults = Faults()
        self.execution_delay_seconds = execution_delay_seconds
        self.next_request = 1
        self._store = None if data_folder is None else Store(data_folder)
        moment = self._store.load(self.engine.ledger) if self._store else None
        self.clock = ServerClock(
            settings.zone, start_utc_ms, 1.0 if speed is None else speed, bool(paused), time.monotonic()
        )
        if moment is not None:
            self._restore(moment, speed, paused)
        self._stepping = asyncio.Lock()
        self._queue: deque[tuple[float, Execution]] = deque()
        self._last_ms = self.now_ms()
        self.engine.step(self._last_ms)
        self.save()

    def now_ms(self) -> int:
        """Server time: milliseconds since 1970 on its civil clock."""
        return self.clock.server_ms(time.monotonic())

    def utc_ms(self) -> int:
        return self.clock.utc_ms(time.monotonic())

    def _restore(self, moment: Moment, speed: float | None, paused: bool | None) -> None:
        # A running clock may have been read after its last save: go on from beyond that, never from before it.
        unsaved = 0.0 if moment.paused else 1000 * moment.speed * _SAVE_ALLOWANCE_SECONDS
        self.clock = ServerClock(
            self.settings.zone,
            moment.utc_ms + round(unsaved),
            moment.speed if speed is None else speed,
            moment.paused if paused is None else paused,
            time.monotonic(),
        )
        engine, board = self.engine, self.engine.board
        engine.day = moment.day
        engine.ledger.next_login = max(engine.ledger.next_login, moment.next_login)
        # Ids given out after the last save must not come back: their results may still be asked for.
        self.next_request = moment.next_request + _REQUEST_ID_GAP
        board.restore(moment.quotes, moment.change)
        board.frozen = moment.frozen
        board.pinned = set(moment.pinned)
        for symbol, mode in moment.trade_modes.items():
            if symbol in board.symbols:
                board.symbols[symbol].trade_mode = mode
        engine.watch.watch_all()

    def _moment(self) -> Moment:
        board = self.engine.board
        return Moment(
            utc_ms=self.utc_ms(),
            speed=self.clock.speed,
            paused=self.clock.paused,
            day=self.engine.day,
            quotes=list(board.quotes.values()),
            change=board.change,
            pinned=sorted(board.pinned),
            frozen=board.frozen,
            trade_modes={name: symbol.trade_mode for name, symbol in board.symbols.items()},
            next_login=self.engine.ledger.next_login,
            next_request=self.next_request,
        )

    def save(self, *, always: bool = False) -> None:
        """Write what changed. Called before anything that changed the engine is answered."""
        changes = self.engine.ledger.take_changes()
        if self._store is not None and (changes or always):
            self._store.save(changes, self._moment())

    def execute(self, execution: Execution, *, now: bool = False) -> None:
        """Run it after the execution delay, or at once; those that are due together share one save."""
        if now:
            publish = execution()
            self.save()
            publish()
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + self.execution_delay_seconds
        self._queue.append((due, execution))
        if len(self._queue) == 1:
            loop.call_at(due, self._execute_due)

    def _execute_due(self) -> None:
        loop = asyncio.get_running_loop()
        executed: list[Callable[[], None]] = []
        try:
            while self._queue and self._queue[0][0] <= loop.time():
                _, execution = self._queue.popleft()
                executed.append(execution())
        finally:
            self.save()
            for publish in executed:
                publish()
            if self._queue:
                loop.call_at(self._queue[0][0], self._execute_due)

    def close(self) -> None:
        self.save(always=True)
        if self._store is not None:
            self._store.close()

    async def keep_prices(self) -> None:
        """For ever: bring prices to the server's time."""
        while True:
            async with self._stepping:
                await self._step_to_now()
            self.save(always=not self.clock.paused)
            await asyncio.sleep(PRICE_INTERVAL_SECONDS)

    async def _step_to_now(self) -> None:
        steps = 0
        while True:
            now_ms = self.now_ms()
            self._last_ms = now_ms = min(now_ms, self._last_ms + _LARGEST_STEP_MS)
            self.engine.step(now_ms)
            if now_ms >= self.now_ms():
                return
            steps += 1
            if steps % _STEPS_BETWEEN_PAUSES == 0:
                await asyncio.sleep(0)

    async def advance(self, milliseconds: int) -> None:
        """Move the clock forward step by step. ValueError for a negative distance."""
        if milliseconds < 0:
            raise ValueError("the clock only moves forward")
        async with self._stepping:
            left, steps = milliseconds, 0
            while left > 0:
                step = min(left, _LARGEST_STEP_MS)
                self.clock.change(time.monotonic(), advance_ms=step)
                left -= step
                await self._step_to_now()
                steps += 1
                if steps % _STEPS_BETWEEN_PAUSES == 0:
                    await asyncio.sleep(0)
        self.save(always=True)
