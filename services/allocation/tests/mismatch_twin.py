"""What statements of `storage/master_trades.py` and its neighbours filter and count, once more in Python."""

from __future__ import annotations

from apportion.allocation.domain.mismatch import Mismatch

NORMAL = frozenset({Mismatch.PL_MODE, Mismatch.COPYING_METHOD})


def alarms(mismatches: tuple[Mismatch, ...]) -> bool:
    """Whether a dealing desk should look."""
    return not NORMAL.issuperset(mismatches)
