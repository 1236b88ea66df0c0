"""How long an RPC may wait for work that goes on without it."""

from __future__ import annotations

from apportion.rpc import Caller

MARGIN_SECONDS = 0.25
"""What is left of the caller's time for the answer itself."""
LONGEST_SECONDS = 5.0


def patience_seconds(caller: Caller) -> float:
    """Within the caller's deadline, and never long."""
    return min(caller.remaining_seconds - MARGIN_SECONDS, LONGEST_SECONDS)
