"""Why a subscription got nothing, or less than its share."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class SkipReason(enum.IntEnum):
    """The numbers are those of the protos and of the stored columns.

    Columns are compared with the `value` of a member: numpy takes seven times as long for the member itself.
    """

    NONE = 0
    INACTIVE = 1
    FILTERED = 2
    BELOW_MIN_LOT = 3
    CAPPED = 4
    MARGIN_GATE = 5
    NO_EQUITY = 6
    PAUSED_BY_RISK = 7
    STALE_STATE = 8
    SYMBOL_UNMAPPED = 9
    TOO_LATE = 10
    MARKET_CLOSED = 11
    NO_PRICE = 12
    """The method needs a contract size, a conversion rate or a leverage that is not known."""


@dataclass(frozen=True, slots=True)
class SkippedChild:
    """A subscription that got nothing, or less than its share, from one decision."""

    subscription_id: int
    account_login: int
    volume_e8: int
    """Signed."""
    reason: SkipReason
