"""A payout: the payment that books one investor's share of a distribution, between his account and his master's."""

from __future__ import annotations

from dataclasses import dataclass

from apportion.payments import PaymentState


@dataclass(frozen=True, slots=True)
class Payout:
    """What became of one investor's share so far."""

    state: PaymentState
    reason: str
    transfer_id: int
    attempt_count: int


@dataclass(frozen=True, slots=True)
class UnpaidSum:
    """What of a distribution is not booked: the master's account has it, or lacks it. Sums are signed: above 0 is to
    be paid to investors.
    """

    unpaid_count: int = 0
    refused_count: int = 0
    unpaid_minor: int = 0
    written_off_count: int = 0
    """No longer to be booked; not in the above."""
    written_off_minor: int = 0
