"""Which open orders that were not executed are made anew, how long and how often."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RETRYABLE = frozenset(
    {
        "CONTEXT_BUSY",
        "NO_CONNECTION",
        "NO_PRICE",
        "OFF_QUOTES",
        "PRICE_CHANGED",
        "PRICE_INVALID",
        "REQUOTE",
    }
)
"""Refusals of platform-groups or of a trading server after which nothing was done and the same may succeed a moment
later. What a dealer rejected, and a market that is closed, is no such thing; nor is a price beyond the slippage limit.
"""

STOPS_RETRYABLE = RETRYABLE | {"STOPS_INVALID"}
"""Of modifications: stops that are too near to the market now may not be a moment later. Whatever else passes
platform-groups outlives by itself.
"""


@dataclass(frozen=True, slots=True)
class Retries:
    """Times by our own clock, from the first decision on. 0 seconds: never."""

    rejected_seconds: float
    """How long a child is opened again, or gets its newest stops again, that was refused for a retryable reason."""
    missed_seconds: float
    """How long one whose order has ended without a trace on the server, or could not be sent in time."""
    pause_seconds: float
    """Before each new order."""
    most: int
    """New orders of one child, or of one child's stops."""
    open_seconds: float
    """A new order must be sent this long after its decision."""

    def limits_seconds(self, rejected: NDArray[np.bool_]) -> NDArray[np.float64]:
        """How long each child may be opened again, by whether its order was refused or missed."""
        return np.where(rejected, self.rejected_seconds, self.missed_seconds)


NO_RETRIES = Retries(rejected_seconds=0, missed_seconds=0, pause_seconds=0, most=0, open_seconds=0)
