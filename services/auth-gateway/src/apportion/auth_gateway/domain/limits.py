"""Quotas of attempts, and the delay that grows with wrong passwords."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

WINDOW_MS = 60_000
UNKNOWN_LABEL = 0
"""All labels that no broker has, which share one quota."""


@dataclass(frozen=True, slots=True)
class AttemptLimits:
    """Per 60 s, right or wrong; and wrong passwords of one (label, network) before its growing lock-out begins."""

    per_login: int = 10
    per_address: int = 30_000
    per_label: int = 60_000
    total: int = 120_000
    free_failures: int = 20
    max_lock_ms: int = 15 * 60_000


class Attempt(NamedTuple):
    """One la.auth: who says so, for whom, from where. `network` is the /24 or /64 of the address."""

    label: int
    login: int
    network: str
    is_known: bool
    """Whether a broker has this label."""
