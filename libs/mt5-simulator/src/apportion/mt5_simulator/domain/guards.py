"""Stop losses and take profits by price, so that a new price touches only the positions whose stop it has reached."""

from __future__ import annotations

import heapq
from collections import defaultdict

from apportion.mt5_simulator.codes import Side
from apportion.mt5_simulator.domain.records import Position

_SPARE = 64


class _Book:
    """The stops of one side of one symbol. Heaps keep what has been changed or removed until it comes up."""

    def __init__(self) -> None:
        self.stops: dict[int, tuple[int, int]] = {}
        """By ticket: the price at or below which it closes, and that at or above which; 0 is none."""
        self._below: list[tuple[int, int]] = []
        self._above: list[tuple[int, int]] = []

    def put(self, ticket: int, stops: tuple[int, int]) -> None:
        if self.stops.get(ticket) == stops:
            return
        self.stops[ticket] = stops
        if len(self._below) + len(self._above) > _SPARE + 4 * len(self.stops):
            self._rebuild()
        else:
            self._push(ticket, stops)

    def _push(self, ticket: int, stops: tuple[int, int]) -> None:
        if stops[0]:
            heapq.heappush(self._below, (-stops[0], ticket))
        if stops[1]:
            heapq.heappush(self._above, (stops[1], ticket))

    def _rebuild(self) -> None:
        self._below.clear()
        self._above.clear()
        for ticket, stops in self.stops.items():
            self._push(ticket, stops)

    def reached(self, price_e8: int) -> set[int]:
        tickets = set()
        while self._below and -self._below[0][0] >= price_e8:
            below, ticket = heapq.heappop(self._below)
            if self.stops.get(ticket, (0, 0))[0] == -below:
                tickets.add(ticket)
        while self._above and self._above[0][0] <= price_e8:
            above, ticket = heapq.heappop(self._above)
            if self.stops.get(ticket, (0, 0))[1] == above:
                tickets.add(ticket)
        return tickets


class Guards:
    def __init__(self) -> None:
        self._books: defaultdict[tuple[str, Side], _Book] = defaultdict(_Book)

    def put(self, position: Position) -> None:
        """Watch a position's stops as they are now."""
        stops = (position.price_sl_e8, position.price_tp_e8)
        if stops == (0, 0):
            self.remove(position)
        else:
            book = self._books[position.symbol, position.side]
            book.put(position.position, stops if position.side is Side.BUY else (stops[1], stops[0]))

    def remove(self, position: Position) -> None:
        self._books[position.symbol, position.side].stops.pop(position.position, None)

    def reached(self, symbol: str, bid_e8: int, ask_e8: int) -> list[int]:
        """Tickets in order whose stop the price has reached: longs close at the bid, shorts at the ask. Each is told
        once."""
        longs, shorts = self._books[symbol, Side.BUY], self._books[symbol, Side.SELL]
        return sorted(longs.reached(bid_e8) | shorts.reached(ask_e8))
