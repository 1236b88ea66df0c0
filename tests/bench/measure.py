"""Measuring by ratio: our path and its bare floor in turn, in one run, medians of rounds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

ROUNDS = 5


@dataclass(frozen=True)
class Row:
    """One line of the table. `ratio` is ours to the floor; `good` and `fail` say which side is wanted."""

    headline: str
    ours: str
    floor: str
    ratio: float
    good: float
    fail: float

    @property
    def verdict(self) -> str:
        """very good, between, or below the gate; a `good` above `fail` means that more is better."""
        more_is_better = self.good > self.fail
        if (self.ratio >= self.good) if more_is_better else (self.ratio <= self.good):
            return "very good"
        if (self.ratio < self.fail) if more_is_better else (self.ratio > self.fail):
            return "FAIL"
        return "between"


def seconds(work: Callable[[], object], repeat: int) -> float:
    """Median seconds of one call."""
    taken = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


async def latency(work: Callable[[], Awaitable[object]], repeat: int) -> float:
    """Median seconds of one awaited call, one in flight."""
    taken = []
    for _ in range(repeat):
        start = time.perf_counter()
        await work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def in_turn(ours: Callable[[], float], floor: Callable[[], float], rounds: int = ROUNDS) -> tuple[float, float, float]:
    """(median of ours, median of the floor, median of the ratios); both warmed up first."""
    ours(), floor()
    pairs = [(ours(), floor()) for _ in range(rounds)]
    return _medians(pairs)


async def in_turn_async(
    ours: Callable[[], Awaitable[float]], floor: Callable[[], Awaitable[float]], rounds: int = ROUNDS
) -> tuple[float, float, float]:
    """`in_turn` for awaited measurements."""
    await ours(), await floor()
    pairs = [(await ours(), await floor()) for _ in range(rounds)]
    return _medians(pairs)


def _medians(pairs: list[tuple[float, float]]) -> tuple[float, float, float]:
    return (
        statistics.median(ours for ours, _ in pairs),
        statistics.median(floor for _, floor in pairs),
        statistics.median(ours / floor for ours, floor in pairs),
    )


def duration(value: float) -> str:
    return f"{value * 1e6:,.0f} µs" if value < 0.01 else f"{value * 1e3:,.1f} ms"


def rate(value: float) -> str:
    return f"{value:,.0f}/s"
