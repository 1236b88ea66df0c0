"""Reasons of this service.

DomainError
├── INVALID        LimitRange
└── PRECONDITION   BasisNotAvailable, LimitLatched
"""

from __future__ import annotations

from apportion.errors import DomainError, Kind


class LimitRange(DomainError):
    """The limit is not above 0 and at most 100 percent."""

    kind = Kind.INVALID
    reason = "LIMIT_RANGE"
    cure = "Send limit_percent_e8 above 0 and at most 10,000,000,000 (100 %)."


class BasisNotAvailable(DomainError):
    """This basis of a daily limit is not offered."""

    kind = Kind.PRECONDITION
    reason = "BASIS_NOT_AVAILABLE"
    cure = "Use EQUITY_AT_DAY_START."


class LimitLatched(DomainError):
    """The limit tripped today and cannot be changed before the next day start."""

    kind = Kind.PRECONDITION
    reason = "LIMIT_LATCHED"
    cure = "Change the limit after the trip named in the metadata was rearmed, at the next server day."
