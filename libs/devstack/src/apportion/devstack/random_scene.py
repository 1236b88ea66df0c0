"""What a random day is played on: the crowd, the processes, and what was done so far."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from apportion.devstack.clients import Clients
from apportion.devstack.crowd import Crowd, CrowdMaster, Link, build_crowd
from apportion.devstack.day import START
from apportion.devstack.ledger import Json
from apportion.devstack.ports import free_port
from apportion.devstack.scene import LABEL, SETTINGS
from apportion.devstack.stack import Stack
from apportion.mt5_simulator.process import SimulatorProcess

SYMBOLS = {"AUDUSD": 66_000, "EURUSD": 109_000, "GBPUSD": 127_000}
"""Prices at the beginning, in points."""
DAY_SETTINGS = SETTINGS | {
    # Faults are many here, and the day is short.
    "ALLOCATION_FOLLOW_UP_SECONDS": "1",
    "ALLOCATION_STALE_SECONDS": "60",
    "ALLOCATION_PAYMENT_RETRY_SECONDS": "2",
}


@dataclass(frozen=True)
class DealMade:
    """A master's deal, and what was set when it was decided on."""

    master: CrowdMaster
    deal: Json
    links: tuple[Link, ...]
    """In login order; those that had ended are not among them."""
    is_halted: bool


@dataclass(frozen=True)
class Copied:
    """What a new subscription, which asked for it, found open of its master."""

    link: Link
    volumes_e8: tuple[int, ...]
    """Signed."""
    is_halted: bool
    time_ms: int
    """Of the server."""


@dataclass(frozen=True)
class Round:
    """Server time does not pass within a round."""

    time_ms: int
    prices: tuple[dict[str, int], ...]
    """In points by symbol: those of the round before, and after each symbol's change."""


@dataclass
class RandomDay:
    crowd: Crowd
    clients: Clients
    simulator: SimulatorProcess
    stack: Stack
    chance: random.Random
    announce: Callable[[str], None]
    rounds: list[Round] = field(default_factory=list)
    deals: list[DealMade] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    """What was done, how often."""
    kept: set[int] = field(default_factory=set)
    """Children that were open when their subscription was detached."""
    copied: dict[int, Copied] = field(default_factory=dict)
    """By subscription."""

    @property
    def number(self) -> int:
        return len(self.rounds)

    @property
    def prices(self) -> dict[str, int]:
        """Of now, in points: without a spread, pinned."""
        return self.rounds[-1].prices[-1] if self.rounds else SYMBOLS


@asynccontextmanager
async def open_random_day(
    folder: Path,
    *,
    master_count: int,
    investor_count: int,
    open_seconds: int,
    seed: int,
    announce: Callable[[str], None],
) -> AsyncIterator[RandomDay]:
    """The stack, a paused simulator and a crowd on it. Data and logs lie in `folder`.

    What became of an order without an answer is certain only `open_seconds` after its decision.
    """
    settings = DAY_SETTINGS | {
        "ALLOCATION_OPEN_SECONDS": str(open_seconds),
        "ALLOCATION_CATCH_UP_SECONDS": "60",
    }
    ports = ["--https-port", str(free_port()), "--admin-port", str(free_port())]
    simulator = SimulatorProcess(folder / "simulator", start=START, seed=seed, paused=True, options=ports)
    async with simulator, Stack(folder, settings) as stack:
        clients = stack.clients(LABEL)
        try:
            for symbol, points in SYMBOLS.items():
                await simulator.set_price(symbol, price_of(points), price_of(points))
            announce(f"{master_count} masters, {investor_count} investors")
            crowd = await build_crowd(
                clients, simulator, master_count=master_count, investor_count=investor_count, seed=seed
            )
            yield RandomDay(crowd, clients, simulator, stack, random.Random(seed), announce)  # noqa: S311
        finally:
            await clients.close()


def price_of(points: int) -> str:
    return f"{points / 100_000:.5f}"
