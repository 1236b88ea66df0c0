"""The saga of a transfer, and who may take part in one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from apportion.errors import InvalidArgument
from apportion.platform_groups.domain.accounts import Account
from apportion.platform_groups.domain.evidence import judge_leg
from apportion.platform_groups.domain.states import (
    AccountAccess,
    AccountKind,
    AccountState,
    LegKind,
    LegState,
    MarginMode,
    TransferState,
)
from apportion.platform_groups.domain.transfers import (
    SentLeg,
    TransferStep,
    UnknownLeg,
    advance,
    check_parties,
    refused,
)
from apportion.platform_groups.errors import (
    AccountNotOpen,
    AmountRange,
    CurrencyDigitsMismatch,
    CurrencyMismatch,
    SelfTransfer,
)

T0 = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
TIMEOUT = timedelta(seconds=10)


@pytest.mark.parametrize(
    ("kind", "state", "has_debit", "has_credit", "expected"),
    [
        (LegKind.DEBIT, LegState.DONE, True, True, (TransferState.DEBITED, LegKind.CREDIT)),
        (LegKind.DEBIT, LegState.DONE, True, False, (TransferState.DONE, None)),
        (LegKind.DEBIT, LegState.REJECTED, True, True, (TransferState.REJECTED, None)),
        (LegKind.CREDIT, LegState.DONE, True, True, (TransferState.DONE, None)),
        (LegKind.CREDIT, LegState.DONE, False, True, (TransferState.DONE, None)),
        (LegKind.CREDIT, LegState.REJECTED, True, True, (TransferState.DEBITED, LegKind.REFUND)),
        (LegKind.CREDIT, LegState.REJECTED, False, True, (TransferState.REJECTED, None)),
        (LegKind.REFUND, LegState.DONE, True, True, (TransferState.REVERSED, None)),
        (LegKind.CREDIT, LegState.UNKNOWN, True, True, None),
        (LegKind.DEBIT, LegState.READY, True, True, None),
        (LegKind.REFUND, LegState.REJECTED, True, True, None),
    ],
)
def test_the_saga(kind, state, has_debit, has_credit, expected) -> None:
    step = advance(kind, state, has_credit=has_credit, has_debit=has_debit)
    assert step == (None if expected is None else TransferStep(*expected))


def leg(kind: LegKind) -> SentLeg:
    return SentLeg(5, kind, 1, 1, 1, 100, 2, 3, 1)


def test_refusals() -> None:
    assert refused(leg(LegKind.DEBIT), "NO", temporary=False).state is LegState.REJECTED
    assert refused(leg(LegKind.CREDIT), "NO", temporary=True).state is LegState.READY
    assert refused(leg(LegKind.REFUND), "NO", temporary=False).state is LegState.READY, (
        "money is given back in any case"
    )


def unknown(absent_count: int) -> UnknownLeg:
    return UnknownLeg(5, 1, 1, 3, absent_count, 1, 0, T0)


def test_a_lost_leg_is_booked_by_its_deal_and_sent_again_only_when_proven_absent() -> None:
    late, early = T0 + timedelta(seconds=11), T0 + timedelta(seconds=9)
    assert judge_leg(unknown(0), 77, read_time=early, timeout=TIMEOUT).state is LegState.DONE
    assert judge_leg(unknown(0), 0, read_time=late, timeout=TIMEOUT) is None
    assert judge_leg(unknown(1), 0, read_time=early, timeout=TIMEOUT) is None
    assert judge_leg(unknown(1), 0, read_time=late, timeout=TIMEOUT).state is LegState.READY


def account(
    account_id: int, currency: str = "USD", state: AccountState = AccountState.OPEN, currency_digits: int = 2
) -> Account:
    return Account(
        account_id=account_id,
        label=1,
        platform_group_id=1,
        trading_server_id=1,
        kind=AccountKind.WALLET,
        state=state,
        access=AccountAccess.FULL,
        wanted_access=AccountAccess.FULL,
        login=9,
        currency_code=currency,
        currency_digits=currency_digits,
        margin_mode=MarginMode.HEDGING,
        leverage=100,
        holder_name="A",
        wallet_account_id=account_id,
        initial_balance_minor=0,
        request_id="0" * 8,
        failure_reason="",
        create_time=T0,
    )


def test_parties() -> None:
    one, two = account(1), account(2)
    check_parties(one, two, "USD", 1)
    check_parties(None, two, "USD", 100_000_000_000)
    with pytest.raises(AmountRange):
        check_parties(None, two, "USD", 100_000_000_001)
    with pytest.raises(AmountRange):
        check_parties(one, None, "USD", 0)
    with pytest.raises(SelfTransfer):
        check_parties(one, one, "USD", 1)
    with pytest.raises(CurrencyMismatch):
        check_parties(one, account(3, "EUR"), "USD", 1)
    with pytest.raises(CurrencyDigitsMismatch):  # one minor unit would become a hundred
        check_parties(account(4, "JPY"), account(5, "JPY", currency_digits=0), "JPY", 1)
    with pytest.raises(AccountNotOpen):
        check_parties(one, account(3, state=AccountState.CREATING), "USD", 1)
    with pytest.raises(InvalidArgument):
        check_parties(None, None, "USD", 1)
