"""At what price, and since when, a master's position is open."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Entry:
    """A deal of the position; a reversal is two: a close of all, and an open."""

    is_open: bool
    volume_e8: int
    """A magnitude."""
    price_e8: int
    time: datetime
    """When it happened, by our clock."""


@dataclass(frozen=True, slots=True)
class Entered:
    price_e8: int
    """As a netting server averages it: of what was added, by volume; closes leave it. 0: not known."""
    time: datetime
    """Of the oldest deal that what is open began with."""


def entered(entries: Iterable[Entry]) -> Entered | None:
    """What the deals of one position, in their order, come to; None without an open among them."""
    volume_e8, price, time = 0, Fraction(0), None
    for entry in entries:
        if not entry.is_open:
            volume_e8 = max(volume_e8 - entry.volume_e8, 0)
            continue
        if volume_e8 == 0:
            price, time = Fraction(entry.price_e8), entry.time
        elif price and entry.price_e8:
            total_e8 = volume_e8 + entry.volume_e8
            price = (price * volume_e8 + entry.price_e8 * entry.volume_e8) / total_e8
        else:
            price = Fraction(0)
        volume_e8 += entry.volume_e8
    return None if time is None else Entered(int(price + Fraction(1, 2)), time)
