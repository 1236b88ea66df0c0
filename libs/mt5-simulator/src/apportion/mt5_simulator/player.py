"""A seeded trader: opens, partly closes and closes positions at a terminal, with random holding times."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass

from apportion.mt5_simulator.domain.figures import E8, format_scaled, parse_scaled
from apportion.mt5_simulator.process import AdminClient, AdminRefused

Wait = Callable[[float], Awaitable[object]]
LOT_STEP_E8 = E8 // 100


@dataclass(frozen=True, slots=True)
class Strategy:
    symbols: Sequence[str] = ("EURUSD", "GBPUSD", "USDJPY")
    smallest_volume: str = "0.10"
    largest_volume: str = "2.00"
    open_positions: int = 3
    """At most, per account."""
    holding_seconds: float = 600.0
    """Mean time between two trades of an account."""
    partial_close_part: float = 0.3
    """How many of the closings are partial."""


@dataclass(slots=True)
class Summary:
    opened: int = 0
    """Buys and sells; on a netting account some of them reduce a position."""
    partly_closed: int = 0
    closed: int = 0
    refused: int = 0

    @property
    def trades(self) -> int:
        return self.opened + self.partly_closed + self.closed


@dataclass(frozen=True, slots=True)
class _Held:
    position: str
    volume_e8: int


class StrategyPlayer:
    """Plays one account. All its decisions come from the seed, the login, and what its own orders returned."""

    def __init__(self, terminal: AdminClient, login: int, strategy: Strategy, seed: int) -> None:
        self.login = login
        self.summary = Summary()
        self._terminal = terminal
        self._strategy = strategy
        self._random = random.Random(f"{seed}:{login}")  # noqa: S311 - must be repeatable

    async def play(self, wait: Wait, *, trades: int | None = None, until: Callable[[], bool] | None = None) -> Summary:
        """Trade until `trades` attempts were made or `until` says so. `wait` passes the holding times, in seconds."""
        attempts = 0
        while (trades is None or attempts < trades) and not (until is not None and until()):
            await wait(self._random.expovariate(1 / self._strategy.holding_seconds))
            await self._trade()
            attempts += 1
        return self.summary

    async def close_all(self) -> None:
        """Go flat, as far as the server lets us."""
        for held in await self._positions():
            await self._close(held, held.volume_e8)

    async def _positions(self) -> list[_Held]:
        """What the account holds now: the server, a dealer or another of our trades may have changed it."""
        found = await self._terminal.positions(self.login)
        return [_Held(position["Position"], int(position["VolumeExt"])) for position in found]

    async def _trade(self) -> None:
        positions = await self._positions()
        full = len(positions) >= self._strategy.open_positions
        if not positions or (not full and self._random.random() < 0.5):
            await self._open()
            return
        held = self._random.choice(positions)
        volume_e8 = held.volume_e8
        if volume_e8 > LOT_STEP_E8 and self._random.random() < self._strategy.partial_close_part:
            volume_e8 = self._random.randrange(LOT_STEP_E8, volume_e8, LOT_STEP_E8)
        await self._close(held, volume_e8)

    async def _open(self) -> None:
        symbol = self._random.choice(list(self._strategy.symbols))
        send = self._random.choice((self._terminal.buy, self._terminal.sell))
        smallest = parse_scaled(self._strategy.smallest_volume, 8)
        largest = parse_scaled(self._strategy.largest_volume, 8)
        volume_e8 = self._random.randrange(smallest, largest + 1, LOT_STEP_E8)
        try:
            await send(self.login, symbol, format_scaled(volume_e8, 8))
        except AdminRefused:
            self.summary.refused += 1
            return
        self.summary.opened += 1

    async def _close(self, held: _Held, volume_e8: int) -> None:
        try:
            await self._terminal.close_position(self.login, held.position, format_scaled(volume_e8, 8))
        except AdminRefused:
            self.summary.refused += 1
            return
        if volume_e8 < held.volume_e8:
            self.summary.partly_closed += 1
        else:
            self.summary.closed += 1


def summary_document(players: Sequence[StrategyPlayer]) -> dict[str, object]:
    """Totals, and each account's own counts."""
    total = Summary()
    for player in players:
        total.opened += player.summary.opened
        total.partly_closed += player.summary.partly_closed
        total.closed += player.summary.closed
        total.refused += player.summary.refused
    by_login = {str(player.login): asdict(player.summary) for player in players}
    return {"trades": total.trades, **asdict(total), "accounts": by_login}


async def play_all(
    players: Sequence[StrategyPlayer], wait: Wait, *, trades: int | None, until: Callable[[], bool], in_turn: bool
) -> None:
    """All accounts at once, or one trade each in turn: the same order of everything in every run."""
    if not in_turn:
        await asyncio.gather(*(player.play(wait, trades=trades, until=until) for player in players))
        return
    rounds = 0
    while (trades is None or rounds < trades) and not until():
        for player in players:
            await player.play(wait, trades=1)
        rounds += 1
