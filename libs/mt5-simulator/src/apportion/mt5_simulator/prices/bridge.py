"""Prices between two daily fixings: a seeded Brownian bridge, one point a second."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apportion.mt5_simulator.domain.feed import around_mid
from apportion.mt5_simulator.domain.settings import SymbolSettings
from apportion.mt5_simulator.prices.fixings import DAILY_VOLATILITY, Fixings

DAY_SECONDS = 86_400
FIXING_SECOND = 15 * 3600 + 15 * 60
"""The ECB fixes at 14:15 in Frankfurt, which is 15:15 on a server in Eastern European time."""

_KEPT_SPANS = 64


class BridgeFeed:
    """Walks every currency's euro rate from fixing to fixing; pairs are the quotient of two such rates."""

    def __init__(self, fixings: Fixings, seed: int) -> None:
        self._fixings = fixings
        self._seed = seed
        self._spans: dict[tuple[str, int], NDArray[np.float64]] = {}

    def quote(self, symbol: SymbolSettings, server_ms: int) -> tuple[int, int] | None:
        base, profit = self.euro_rate(symbol.base, server_ms), self.euro_rate(symbol.profit, server_ms)
        return None if base is None or profit is None else around_mid(symbol, profit / base)

    def euro_rate(self, currency: str, server_ms: int) -> float | None:
        """Units of a currency for one euro."""
        if currency == "EUR":
            return 1.0
        second = server_ms // 1000 - FIXING_SECOND
        around = self._fixings.around(currency, second // DAY_SECONDS)
        if around is None:
            return None
        (first_day, first_rate), (last_day, last_rate) = around
        span = self._spans.get((currency, first_day))
        if span is None:
            span = self._span(currency, first_day, first_rate, last_day, last_rate)
        return float(span[min(max(second - first_day * DAY_SECONDS, 0), len(span) - 1)])

    def _span(
        self, currency: str, first_day: int, first_rate: float, last_day: int, last_rate: float
    ) -> NDArray[np.float64]:
        count = (last_day - first_day) * DAY_SECONDS
        generator = np.random.default_rng([self._seed & 0xFFFF_FFFF, *currency.encode(), first_day & 0xFFFF_FFFF])
        path = np.cumsum(generator.standard_normal(count)) * (DAILY_VOLATILITY / DAY_SECONDS**0.5)
        along = np.arange(1, count + 1) / count
        span: NDArray[np.float64] = np.exp(
            path - along * path[-1] + np.log(first_rate) * (1 - along) + np.log(last_rate) * along
        )
        if len(self._spans) >= _KEPT_SPANS:
            self._spans.pop(next(iter(self._spans)))
        self._spans[currency, first_day] = span
        return span
