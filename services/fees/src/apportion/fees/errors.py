"""Reasons of this service.

DomainError
├── INVALID        RateRange
└── PRECONDITION   CloseChanged, CurrencyMismatch, PayeeUnknown
"""

from __future__ import annotations

from apportion.errors import DomainError, Kind


class RateRange(DomainError):
    """The trade fee per lot is negative or absurdly high."""

    kind = Kind.INVALID
    reason = "FEE_RATE_RANGE"
    cure = "Send a trade fee from 0 to the named maximum, in minor units of the account's currency."


class CloseChanged(DomainError):
    """A closing deal came again with other figures than those it was calculated on. The booked calculation stands."""

    kind = Kind.PRECONDITION
    reason = "FEE_CLOSE_CHANGED"
    cure = "Compare the deal on the trading server with the calculation; if that is wrong, correct it by hand."


class CurrencyMismatch(DomainError):
    """The fee, the account that pays it and the wallet that earns it are not all in one currency, of as many digits."""

    kind = Kind.PRECONDITION
    reason = "FEE_CURRENCY_MISMATCH"
    cure = "State the fee in the currency of the master, whose wallet must have it, too."


class PayeeUnknown(DomainError):
    """The master has no wallet that could earn the fee, or it is the paying account itself."""

    kind = Kind.PRECONDITION
    reason = "FEE_PAYEE_UNKNOWN"
    cure = "Give the master's account an owner with a wallet of his own."
