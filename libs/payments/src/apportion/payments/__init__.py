"""Durable payments between accounts: each handed to platform-groups until it is booked, once."""

from __future__ import annotations

from apportion.payments.dispatcher import PaymentDispatcher, dispatch_payments
from apportion.payments.errors import PaymentNotRefused
from apportion.payments.payment import (
    Backoff,
    Payment,
    PaymentBatch,
    PaymentDecision,
    PaymentResults,
    PaymentState,
    UnpaidSum,
)
from apportion.payments.payments import Payments
from apportion.payments.schema import guard_payments, payment_columns, payment_constraints, payment_decisions
from apportion.payments.servicer import PaymentsServicer
from apportion.payments.settings import PaymentSettings, Waits
from apportion.payments.transfers import (
    TRANSFERS_UPDATED,
    PlatformTransfers,
    Transfers,
    parse_results,
    transfer_handlers,
)

__all__ = [
    "TRANSFERS_UPDATED",
    "Backoff",
    "Payment",
    "PaymentBatch",
    "PaymentDecision",
    "PaymentDispatcher",
    "PaymentNotRefused",
    "PaymentResults",
    "PaymentSettings",
    "PaymentState",
    "Payments",
    "PaymentsServicer",
    "PlatformTransfers",
    "Transfers",
    "UnpaidSum",
    "Waits",
    "dispatch_payments",
    "guard_payments",
    "parse_results",
    "payment_columns",
    "payment_constraints",
    "payment_decisions",
    "transfer_handlers",
]
