"""What decisions about payments are refused for."""

from __future__ import annotations

from apportion.errors import DomainError, Kind


class PaymentNotRefused(DomainError):
    """The payment is on its way, booked or written off: only a refusal proves that nothing moved."""

    kind = Kind.PRECONDITION
    reason = "PAYMENT_NOT_REFUSED"
    cure = "Look at ListUnpaidPayments again: only payments in state REFUSED can be retried or written off."
