"""The life of a charge and of the transfers that try to collect it.

Charge    PENDING → PAID
             ↕
          OUTSTANDING                    refused for now; the next attempt makes it PENDING again

Transfer  READY → SUBMITTED → DONE       platform-groups accepted it; the money moved
                            → REJECTED   nothing moved, or it was given back

A charge has at most one transfer that is not REJECTED (the database holds an index on it), so a new attempt exists
only when the server's answer proved that the old one moved nothing. The whole amount is taken or none of it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class FeeType(enum.IntEnum):
    """Numbers as on the wire."""

    TRADE = 1


class ChargeState(enum.IntEnum):
    """Numbers as on the wire. NOTHING_DUE has no charge: its calculation gave 0."""

    PENDING = 1
    PAID = 2
    OUTSTANDING = 3
    NOTHING_DUE = 4


class TransferState(enum.IntEnum):
    READY = 1
    SUBMITTED = 2
    DONE = 3
    REJECTED = 4


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits between attempts: the first one, doubled after each failure, up to the longest."""

    first_seconds: float
    longest_seconds: float


@dataclass(frozen=True, slots=True)
class ReadyTransfer:
    """A transfer on its way to platform-groups; `item_id` names it there for ever."""

    item_id: int
    label: int
    master_id: int
    currency_code: str
    payer_account_id: int
    payee_account_id: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class TransferResult:
    """The end of one transfer, as platform-groups told it: DONE or REJECTED."""

    item_id: int
    transfer_id: int
    state: TransferState
    reason: str
