"""What changed in the stops of masters' positions since they were last told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Stops:
    """0: none."""

    account_id: int
    stop_loss_e8: int
    take_profit_e8: int
    lasting_ticket: int = field(default=0, compare=False)
    """Of the position's deals, where it is known: it stays when a reversal gives the position a new ticket."""


def changed_stops(known: Mapping[int, Stops], seen: Mapping[int, Stops]) -> dict[int, Stops]:
    """By position ticket, those of known positions that are other than known; in the order of the tickets."""
    return {
        ticket: replace(seen[ticket], lasting_ticket=known[ticket].lasting_ticket)
        for ticket in sorted(seen)
        if ticket in known and known[ticket] != seen[ticket]
    }
