"""Transfers and their legs: the debit is booked before the credit is tried; a refused credit gives the debit back.

PENDING ─→ DEBITED ─→ DONE
   │          └─────→ REVERSED   the credit was refused for good, the refund is booked
   └→ REJECTED                   nothing moved
A leg: WAITING → READY → SENDING → DONE | REJECTED | UNKNOWN; UNKNOWN → DONE by its token among the deals, or READY
again after two complete reports without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from apportion.errors import InvalidArgument, Violation
from apportion.platform_groups.domain.accounts import Account, check_open
from apportion.platform_groups.domain.orders import ACCOUNT_NOT_OPEN, backoff_seconds
from apportion.platform_groups.domain.states import LegKind, LegState, TransferState
from apportion.platform_groups.errors import AmountRange, CurrencyDigitsMismatch, CurrencyMismatch, SelfTransfer

MAX_AMOUNT_UNITS = 1_000_000_000
"""A server refuses larger balance operations."""
LEGS_PER_TRANSFER = 4
"""The id of a leg is that of its transfer, times this, plus its kind."""
INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
ACCOUNT_UNKNOWN = "ACCOUNT_UNKNOWN"


@dataclass(frozen=True, slots=True)
class Transfer:
    transfer_id: int
    label: int
    source: str
    item_id: int
    source_id: str
    ordering_key: int
    debit_account_id: int
    credit_account_id: int
    currency_code: str
    amount_minor: int
    state: TransferState
    reason: str
    debit_deal_ticket: int
    credit_deal_ticket: int
    refund_deal_ticket: int
    create_time: datetime
    finish_time: datetime | None

    @property
    def finished(self) -> bool:
        return self.state in (TransferState.DONE, TransferState.REJECTED, TransferState.REVERSED)


@dataclass(frozen=True, slots=True)
class SentLeg:
    """A leg that was marked SENDING. The amount is signed: below 0 takes money from the account."""

    leg_id: int
    kind: LegKind
    account_id: int
    login: int
    shard: int
    amount_minor: int
    currency_digits: int
    epoch: int
    attempt_count: int
    token_salt: str = ""
    is_open: bool = True
    """Whether its account is: one that has left its group may count in another currency by now."""


@dataclass(frozen=True, slots=True)
class UnknownLeg:
    """A leg whose answer was lost."""

    leg_id: int
    login: int
    shard: int
    epoch: int
    absent_count: int
    attempt_count: int
    sent_server_time_ms: int
    sent_time: datetime
    amount_minor: int = 0
    token_salt: str = ""


@dataclass(frozen=True, slots=True)
class LegOutcome:
    """The next state of a leg. It holds for one sending only, as an order's."""

    leg_id: int
    epoch: int
    attempt_count: int
    state: LegState
    reason: str = ""
    deal_ticket: int = 0
    retry_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class TransferStep:
    """What one finished leg makes of its transfer, and which leg comes next (None: none)."""

    state: TransferState
    next_leg: LegKind | None


def check_amount(amount_minor: int, digits: int) -> None:
    """Raises AmountRange for an amount that is not above 0 or too large for a server."""
    if not 0 < amount_minor <= MAX_AMOUNT_UNITS * 10**digits:
        raise AmountRange(f"amount {amount_minor} is out of range", amount_minor=amount_minor)


def check_parties(debit: Account | None, credit: Account | None, currency_code: str, amount_minor: int) -> None:
    """Raises SelfTransfer, CurrencyMismatch, CurrencyDigitsMismatch, AccountNotOpen, AmountRange.

    None stands for the broker.
    """
    known = debit or credit
    if known is None:
        raise InvalidArgument(violations=(Violation("debit_account_id", "one of the two accounts is required"),))
    if debit is not None and credit is not None and debit.account_id == credit.account_id:
        raise SelfTransfer(f"account {debit.account_id} is on both sides", account_id=debit.account_id)
    for account in (debit, credit):
        if account is None:
            continue
        check_open(account)
        if account.currency_code != currency_code:
            raise CurrencyMismatch(
                f"account {account.account_id} is in {account.currency_code}, not {currency_code}",
                account_id=account.account_id,
                account_currency=account.currency_code,
                currency=currency_code,
            )
    if debit is not None and credit is not None and debit.currency_digits != credit.currency_digits:
        raise CurrencyDigitsMismatch(
            f"account {debit.account_id} has {debit.currency_digits} digits, "
            f"account {credit.account_id} {credit.currency_digits}",
            debit_digits=debit.currency_digits,
            credit_digits=credit.currency_digits,
        )
    check_amount(amount_minor, known.currency_digits)


def advance(kind: LegKind, state: LegState, *, has_credit: bool, has_debit: bool) -> TransferStep | None:
    """The transfer after one of its legs reached DONE or REJECTED; None while it did not.

    A refund has no REJECTED: it is tried until it is booked.
    """
    if kind is LegKind.DEBIT and state is LegState.DONE:
        return TransferStep(TransferState.DEBITED, LegKind.CREDIT) if has_credit else _end(TransferState.DONE)
    if kind is LegKind.DEBIT and state is LegState.REJECTED:
        return _end(TransferState.REJECTED)
    if kind is LegKind.CREDIT and state is LegState.DONE:
        return _end(TransferState.DONE)
    if kind is LegKind.CREDIT and state is LegState.REJECTED:
        return TransferStep(TransferState.DEBITED, LegKind.REFUND) if has_debit else _end(TransferState.REJECTED)
    if kind is LegKind.REFUND and state is LegState.DONE:
        return _end(TransferState.REVERSED)
    return None


def _end(state: TransferState) -> TransferStep:
    return TransferStep(state, None)


def obstacle(leg: SentLeg) -> LegOutcome | None:
    """What ends the leg, or puts it off, before anything is sent: no money moves on an account that is not open, and a
    refund waits for its return. None: it may be sent."""
    return None if leg.is_open else refused(leg, ACCOUNT_NOT_OPEN, temporary=False)


def refused(leg: SentLeg, reason: str, *, temporary: bool) -> LegOutcome:
    """A refusal ends a debit or credit unless it is for now only; a refund goes on in any case."""
    if temporary or leg.kind is LegKind.REFUND:
        return postponed(leg, reason)
    return LegOutcome(leg.leg_id, leg.epoch, leg.attempt_count, LegState.REJECTED, reason)


def postponed(leg: SentLeg | UnknownLeg, reason: str) -> LegOutcome:
    """Certainly not booked: to be sent again."""
    return LegOutcome(
        leg.leg_id,
        leg.epoch,
        leg.attempt_count,
        LegState.READY,
        reason,
        retry_seconds=backoff_seconds(leg.attempt_count),
    )
