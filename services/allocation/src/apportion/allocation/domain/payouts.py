"""A payout: the transfer that books one investor's share of a distribution.

READY → SUBMITTED → PAID        platform-groups accepted it; the money moved
          ↑       → REFUSED     nothing moved, or it was given back; after a wait the next attempt makes it READY
          └──────────┘

Each attempt is an item of its own at platform-groups, and there is a next one only when the result of the last proved
that it moved nothing: so a share is booked once. It is booked whole, on its own account, or not yet.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class PayoutState(enum.IntEnum):
    """The numbers are those of the protos."""

    READY = 1
    SUBMITTED = 2
    PAID = 3
    REFUSED = 4


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits between attempts: the first one, doubled after each failure, up to the longest."""

    first_seconds: float
    longest_seconds: float


@dataclass(frozen=True, slots=True)
class ReadyPayout:
    """A payout on its way to platform-groups; `item_id` names its transfer there for ever."""

    item_id: int
    label: int
    master_account_id: int
    account_id: int
    currency_code: str
    amount_minor: int
    """Above 0: the investor is paid; below 0: he pays."""

    @property
    def debit_account_id(self) -> int:
        return self.master_account_id if self.amount_minor > 0 else self.account_id

    @property
    def credit_account_id(self) -> int:
        return self.account_id if self.amount_minor > 0 else self.master_account_id


@dataclass(frozen=True, slots=True)
class PayoutResult:
    """The end of one attempt, as platform-groups told it: PAID or REFUSED."""

    item_id: int
    transfer_id: int
    state: PayoutState
    reason: str


@dataclass(frozen=True, slots=True)
class Payout:
    """What became of one investor's share so far."""

    amount_minor: int
    state: PayoutState
    reason: str
    transfer_id: int
    attempt_count: int


@dataclass(frozen=True, slots=True)
class UnpaidSum:
    """What of a distribution is not booked yet: the master's account still has it, or lacks it."""

    unpaid_count: int
    refused_count: int
    unpaid_minor: int
    """Signed: above 0 is to be paid to investors."""
