"""Netting accounts: one position a symbol, in which all children there are summed up.

The books keep what each child has open by itself. The account's position is the signed sum of its children and of what
is nobody's child: trades of its owner since it began to follow. The order behind a deal tells whose it is, never the
deal's entry: an order that closes a child may enlarge the position, and one that opens a child may reduce it.

A deal that was none of our orders (its owner's, a stop out, a dealer's, a close of everything by risk):
- One that brings the position to zero, or turns it, ends every child: those that are left against each other, too, so
  that no later close opens anything on an account that was closed.
- One that reduces the position takes first what is nobody's on that side, then the children on that side, the oldest
  first.
- One that enlarges it is nobody's.

A close that comes when others have closed its child, or a part of it, opens what it was to close. Nobody wanted that,
and our order did it: it becomes a child trade of its own with nothing to be open of it, and is closed like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

NOBODY = 0
"""In place of a child trade's id."""


@dataclass(slots=True)
class NetChild:
    child_trade_id: int
    direction: int
    """1 bought, -1 sold."""
    open_volume_e8: int
    """0 or above."""


@dataclass(frozen=True, slots=True)
class NetDeal:
    """A trade on a netting account."""

    deal_ticket: int
    account_id: int
    symbol: str
    position_ticket: int
    volume_e8: int
    """Signed: above 0 bought."""
    price_e8: int
    server_time_ms: int
    child_trade_id: int = NOBODY
    """Whose order it was; NOBODY: none of ours."""
    opens: bool = False
    """What the order was for."""
    allocation_id: int = 0
    """The decision that the order is of."""
    excess_id: int = NOBODY
    """The child trade that holds what a close does too much."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a deal did to one child, or to what is nobody's."""

    child_trade_id: int
    volume_e8: int
    """Signed, as of a trade: the parts of a deal sum up to its volume."""


@dataclass(slots=True)
class NetBook:
    """What one account has open in one symbol."""

    children: dict[int, NetChild] = field(default_factory=dict)
    """By id, the oldest first."""
    nobodys_e8: int = 0
    """Signed."""

    @classmethod
    def of(cls, children: Iterable[NetChild], nobodys_e8: int) -> NetBook:
        ordered = sorted(children, key=lambda child: child.child_trade_id)
        return cls({child.child_trade_id: child for child in ordered}, nobodys_e8)

    @property
    def net_e8(self) -> int:
        """Signed: what the server shows."""
        return self.nobodys_e8 + sum(child.direction * child.open_volume_e8 for child in self.children.values())

    def book(self, deal: NetDeal) -> Sequence[Part]:
        """Books a deal, which must come after those booked before. Returns what it did, without empty parts."""
        child = self.children.get(deal.child_trade_id)
        if child is None:
            return self._book_foreign(deal.volume_e8)
        if deal.opens:
            child.open_volume_e8 += abs(deal.volume_e8)
            return [Part(child.child_trade_id, deal.volume_e8)]
        parts = self._close(child, abs(deal.volume_e8))
        return parts + self._adopt(deal.excess_id, deal.volume_e8 - sum(part.volume_e8 for part in parts))

    def has_excess(self, deal: NetDeal) -> bool:
        """Whether it closes more than its child has open now, so that it needs an `excess_id`."""
        child = self.children.get(deal.child_trade_id)
        return child is not None and not deal.opens and abs(deal.volume_e8) > child.open_volume_e8

    def _book_foreign(self, volume_e8: int) -> Sequence[Part]:
        before_e8 = self.net_e8
        after_e8 = before_e8 + volume_e8
        if before_e8 and after_e8 * before_e8 <= 0:
            ended = [part for child in self.children.values() for part in self._close(child, child.open_volume_e8)]
            return ended + self._leave(after_e8 - self.nobodys_e8)
        if volume_e8 * before_e8 >= 0:
            return self._leave(volume_e8)
        return self._reduce(abs(volume_e8), 1 if before_e8 > 0 else -1)

    def _reduce(self, volume_e8: int, side: int) -> Sequence[Part]:
        nobodys_e8 = min(volume_e8, max(side * self.nobodys_e8, 0))
        parts = self._leave(-side * nobodys_e8)
        rest_e8 = volume_e8 - nobodys_e8
        for child in self.children.values():
            if child.direction == side and rest_e8:
                closed = self._close(child, rest_e8)
                rest_e8 -= sum(abs(part.volume_e8) for part in closed)
                parts += closed
        return parts

    def _close(self, child: NetChild, most_e8: int) -> list[Part]:
        closed_e8 = min(child.open_volume_e8, most_e8)
        child.open_volume_e8 -= closed_e8
        return [Part(child.child_trade_id, -child.direction * closed_e8)] if closed_e8 else []

    def _adopt(self, excess_id: int, volume_e8: int) -> list[Part]:
        if not volume_e8:
            return []
        if excess_id not in self.children:
            self.children[excess_id] = NetChild(excess_id, 1 if volume_e8 > 0 else -1, 0)
            self.children = dict(sorted(self.children.items()))
        self.children[excess_id].open_volume_e8 += abs(volume_e8)
        return [Part(excess_id, volume_e8)]

    def _leave(self, volume_e8: int) -> list[Part]:
        self.nobodys_e8 += volume_e8
        return [Part(NOBODY, volume_e8)] if volume_e8 else []
