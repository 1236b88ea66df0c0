"""A payment: an amount that one account owes another until it is booked.

READY → SUBMITTED → PAID           platform-groups has it; the money moved
  ↑         └─────→ REFUSED        nothing moved, or it was given back
  └────────────────────┘ └→ WRITTEN_OFF    by a person: nobody will be paid

Each attempt is an item of its own at platform-groups, and there is a next one only when the result of the last proved
that it moved nothing: so a payment is booked once. It is booked whole, or not yet.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


class PaymentState(enum.IntEnum):
    """The numbers are those of the protos."""

    READY = 1
    SUBMITTED = 2
    PAID = 3
    REFUSED = 4
    WRITTEN_OFF = 5


UNPAID = (PaymentState.READY, PaymentState.SUBMITTED, PaymentState.REFUSED)


class DecisionKind(enum.IntEnum):
    """What a person decided about a refused payment. The numbers are those of the protos."""

    RETRY = 1
    WRITE_OFF = 2


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits between attempts: the first one, doubled after each failure, up to the longest."""

    first_seconds: float
    longest_seconds: float


@dataclass(frozen=True, slots=True)
class PaymentBatch:
    """Payments of one label, ordering key and currency, in columns; the id is that of these items, whenever sent."""

    request_id: UUID
    label: int
    ordering_key: int
    """Results of all payments with one key come in order."""
    currency_code: str
    item_ids: Sequence[int]
    """They name the transfers for ever."""
    debit_account_ids: Sequence[int]
    credit_account_ids: Sequence[int]
    amounts_minor: Sequence[int]
    """Above 0."""


@dataclass(frozen=True, slots=True)
class PaymentResults:
    """Ends of attempts as platform-groups told them, in columns: PAID or REFUSED with a reason."""

    item_ids: Sequence[int]
    transfer_ids: Sequence[int]
    states: Sequence[PaymentState]
    reasons: Sequence[str]


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment that is not booked."""

    item_id: int
    origin: str
    """What it is for: the row's own key."""
    ordering_key: int
    debit_account_id: int
    credit_account_id: int
    currency_code: str
    amount_minor: int
    state: PaymentState
    reason: str
    """Of the last refusal, of the attempt or of handing it over; "" without one."""
    transfer_id: int
    attempt_count: int
    next_time: datetime | None
    """When it is handed over, or tried again."""


@dataclass(frozen=True, slots=True)
class PaymentDecision:
    """Who decided what about which attempt, and why."""

    decision_id: int
    item_id: int
    kind: DecisionKind
    amount_minor: int
    currency_code: str
    reason: str
    """Of the refusal."""
    cause: str
    """In the words of who decided."""
    decided_by: str
    decide_time: datetime


@dataclass(frozen=True, slots=True)
class UnpaidSum:
    """What is not booked, by its state and the reason of its last refusal."""

    label: int
    currency_code: str
    state: PaymentState
    reason: str
    payment_count: int
    amount_minor: int
