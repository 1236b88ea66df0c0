"""The prices the server trades at, and the conversion rates they imply."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from apportion.mt5_simulator.codes import Refused, Retcode
from apportion.mt5_simulator.domain.clock import DAY_MS
from apportion.mt5_simulator.domain.figures import E8, divide_half_up
from apportion.mt5_simulator.domain.settings import SymbolSettings


class Quote(msgspec.Struct, frozen=True):
    symbol: str
    bid_e8: int
    ask_e8: int
    time_ms: int
    change: int
    """Number of the change on this board: what `trans_id` counts."""


class DayRange(msgspec.Struct):
    """Extremes of the bid and ask in one server day."""

    day: int
    bid_high_e8: int
    bid_low_e8: int
    ask_high_e8: int
    ask_low_e8: int


class QuoteBoard:
    def __init__(self, symbols: Sequence[SymbolSettings]) -> None:
        self.symbols = {symbol.name: symbol for symbol in symbols}
        self.quotes: dict[str, Quote] = {}
        self.ranges: dict[str, DayRange] = {}
        self.pinned: set[str] = set()
        self.frozen = False
        self.change = 0
        self._rates: dict[tuple[str, str], int] = {}
        self._pairs = {(symbol.base, symbol.profit): symbol.name for symbol in symbols}
        self._currencies = sorted({code for pair in self._pairs for code in pair})

    def symbol(self, name: str) -> SymbolSettings:
        """Refused NOT_FOUND for an unknown symbol."""
        try:
            return self.symbols[name]
        except KeyError:
            raise Refused(Retcode.NOT_FOUND) from None

    def quote(self, symbol: str) -> Quote:
        """Refused NO_PRICES when the symbol has not been quoted yet."""
        try:
            return self.quotes[symbol]
        except KeyError:
            raise Refused(Retcode.NO_PRICES) from None

    def restore(self, quotes: Sequence[Quote], change: int) -> None:
        """Go on from saved quotes, and count changes on from `change`."""
        for quote in quotes:
            if quote.symbol in self.symbols:
                self.quotes[quote.symbol] = quote
                self._extend_range(quote)
        self.change = change

    def set(self, symbol: str, bid_e8: int, ask_e8: int, now_ms: int) -> float:
        """Quote a symbol; returns the relative move of the bid, 0.0 when nothing changed."""
        before = self.quotes.get(symbol)
        if before is not None and before.bid_e8 == bid_e8 and before.ask_e8 == ask_e8:
            return 0.0
        self.change += 1
        quote = Quote(symbol, bid_e8, ask_e8, now_ms, self.change)
        self.quotes[symbol] = quote
        self._rates.clear()
        self._extend_range(quote)
        if before is None:
            return 1.0
        return max(abs(bid_e8 - before.bid_e8), abs(ask_e8 - before.ask_e8)) / before.bid_e8

    def _extend_range(self, quote: Quote) -> None:
        day = quote.time_ms // DAY_MS
        seen = self.ranges.get(quote.symbol)
        if seen is None or seen.day != day:
            self.ranges[quote.symbol] = DayRange(day, quote.bid_e8, quote.bid_e8, quote.ask_e8, quote.ask_e8)
            return
        seen.bid_high_e8 = max(seen.bid_high_e8, quote.bid_e8)
        seen.bid_low_e8 = min(seen.bid_low_e8, quote.bid_e8)
        seen.ask_high_e8 = max(seen.ask_high_e8, quote.ask_e8)
        seen.ask_low_e8 = min(seen.ask_low_e8, quote.ask_e8)

    def rate_e8(self, source: str, target: str) -> int:
        """Units of `target` for one unit of `source`, in 1e-8, sold at the board's prices, through at most one
        currency between. Refused NO_PRICES when there is no way."""
        if source == target:
            return E8
        known = self._rates.get((source, target))
        if known is None:
            known = self._direct(source, target) or self._through_another(source, target)
            self._rates[source, target] = known
        return known

    def _direct(self, source: str, target: str) -> int:
        """0 when no quoted pair has these two."""
        if quote := self.quotes.get(self._pairs.get((source, target), "")):
            return quote.bid_e8
        if quote := self.quotes.get(self._pairs.get((target, source), "")):
            return divide_half_up(E8 * E8, quote.ask_e8)
        return 0

    def _through_another(self, source: str, target: str) -> int:
        for middle in self._currencies:
            if middle not in (source, target):
                first, second = self._direct(source, middle), self._direct(middle, target)
                if first and second:
                    return divide_half_up(first * second, E8)
        raise Refused(Retcode.NO_PRICES)
