"""Why a master's trade, or a child of one, does not add up: what a dealing desk sees red, and what is normal."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from apportion.allocation.domain.methods import FAMILIES, AllocationMethod, Family


class Mismatch(enum.IntEnum):
    """The numbers are those of the protos."""

    PL_MODE = 1
    """Normal, as is the next: shown, and no alarm."""
    COPYING_METHOD = 2
    UNALLOCATED_REST = 3
    CHILD_REJECTED = 4
    CHILD_MISSING = 5
    CHILD_EXTRA = 6
    NO_MASTER_TRADE = 7
    MASTER_CLOSED = 8
    ACCOUNT_LEFT = 9


@dataclass(frozen=True, slots=True)
class MasterTradeFacts:
    """Of one position of a master and its children; volumes are magnitudes. Detached children are not counted."""

    method: AllocationMethod
    distributes_profit: bool
    open_volume_e8: int
    """The master's."""
    expected_volume_e8: int
    """What the children were to have open by now."""
    actual_volume_e8: int
    step_e8: int
    has_all_children: bool
    """Whether the rows of all its decisions have been made."""
    short_child_count: int
    """Children of which not all was opened."""
    early_child_count: int
    """Children that were closed, or partly closed, before their master: by a stop, a stop-out or their investor."""
    missing_child_count: int
    """Less open on the server than by the books."""
    extra_child_count: int
    """More open on the server than by the books, or by the books than is wanted, and no close on its way."""


@dataclass(frozen=True, slots=True)
class ChildFacts:
    """Of one child trade."""

    is_foreign: bool
    """Opened by hand: no master trade belongs to it."""
    is_rejected: bool
    """Was not opened, though its master's trade is open."""
    is_missing: bool
    is_extra: bool
    is_master_closed: bool
    """Open, though its master's trade is closed."""
    has_left: bool
    """Open, though its account is no longer open in its group."""


def master_mismatches(facts: MasterTradeFacts) -> tuple[Mismatch, ...]:
    """In the order of their numbers; none: all is well."""
    if facts.distributes_profit:
        return (Mismatch.PL_MODE,)
    is_open, divides = facts.open_volume_e8 > 0, FAMILIES[facts.method] is Family.DIVIDING
    # Less than a step is left over where a part of a refused child's volume is counted.
    rest_e8 = facts.open_volume_e8 - facts.expected_volume_e8
    # Then only parts that nobody could close and keep min lot are open beyond what the master has.
    is_whole = facts.short_child_count == 0 and facts.early_child_count == 0
    found = {
        Mismatch.COPYING_METHOD: not divides and facts.actual_volume_e8 != facts.open_volume_e8,
        Mismatch.UNALLOCATED_REST: divides and facts.has_all_children and rest_e8 >= facts.step_e8,
        Mismatch.CHILD_REJECTED: is_open and facts.short_child_count > 0,
        # A copied position is its investor's to close; of a divided one the sum is broken.
        Mismatch.CHILD_MISSING: facts.missing_child_count > 0 or (divides and is_open and facts.early_child_count > 0),
        Mismatch.CHILD_EXTRA: facts.extra_child_count > 0 or (divides and is_whole and -rest_e8 >= facts.step_e8),
    }
    return tuple(mismatch for mismatch, holds in found.items() if holds)


def child_mismatches(facts: ChildFacts) -> tuple[Mismatch, ...]:
    """In the order of their numbers; none: all is well."""
    found = {
        Mismatch.CHILD_REJECTED: facts.is_rejected,
        Mismatch.CHILD_MISSING: facts.is_missing,
        Mismatch.CHILD_EXTRA: facts.is_extra,
        Mismatch.NO_MASTER_TRADE: facts.is_foreign,
        Mismatch.MASTER_CLOSED: facts.is_master_closed,
        Mismatch.ACCOUNT_LEFT: facts.has_left,
    }
    return tuple(mismatch for mismatch, holds in found.items() if holds)
