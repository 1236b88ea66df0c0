"""Where prices come from."""

from __future__ import annotations

from typing import Protocol

from apportion.mt5_simulator.domain.settings import SymbolSettings


class Feed(Protocol):
    """A source of quotes. The same seed and time always give the same quote, so nothing of it needs to be saved."""

    def quote(self, symbol: SymbolSettings, server_ms: int) -> tuple[int, int] | None:
        """Bid and ask in 1e-8 at a server time; None when the source does not know the symbol then."""


def around_mid(symbol: SymbolSettings, mid: float) -> tuple[int, int]:
    """Bid and ask on the symbol's grid, the configured spread apart, around a mid price."""
    bid_points = round(mid * 10**symbol.digits - symbol.spread_points / 2)
    return bid_points * symbol.point_e8, (bid_points + symbol.spread_points) * symbol.point_e8
