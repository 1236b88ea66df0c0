"""What trading servers show, to be compared with the books."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from apportion.money import Int64Array


class OrphanPolicy(enum.StrEnum):
    """What becomes of a position that our order opened and that should not be open."""

    CLOSE = "close"
    SHOW = "show"


@dataclass(frozen=True, slots=True)
class PositionReport:
    """All open positions of the accounts that were asked for, columns of one length: complete, or there is none."""

    observed_time: datetime
    account_ids: Int64Array
    position_tickets: Int64Array
    symbols: list[str]
    volumes_e8: Int64Array
    """Signed: above 0 long."""
    open_prices_e8: Int64Array
    order_ids: Int64Array
    """Of platform-groups; 0: opened by somebody else."""
    floating_minor: Int64Array = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Floating profit and swap, in minor units of the account's currency."""
