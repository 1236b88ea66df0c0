"""Which account types, methods and policies go together; latches; subscriptions; ids; alignment."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from apportion.allocation.domain.accounts import Account, AccountKind
from apportion.allocation.domain.alignment import align
from apportion.allocation.domain.child_trades import child_trade_ids
from apportion.allocation.domain.copy_settings import DEFAULT_SETTINGS
from apportion.allocation.domain.masters import Master, halted, resumed
from apportion.allocation.domain.methods import (
    BASES,
    FAMILIES,
    AccountType,
    AllocationMethod,
    AllocationMode,
    Figure,
    RoundingPolicy,
    checked_rounding,
    needs,
)
from apportion.allocation.domain.open_inputs import UNKNOWN_BASIS
from apportion.allocation.domain.subscriptions import (
    Parameters,
    Subscription,
    SubscriptionChange,
    SubscriptionState,
    changed,
    check_follower,
    check_parameters,
)
from apportion.allocation.errors import (
    AccountKindMismatch,
    AccountNotOpen,
    AccountTypeNotAvailable,
    CurrencyDigitsMismatch,
    CurrencyMismatch,
    FollowerEquity,
    HaltCauseMismatch,
    MarginModeUnknown,
    MethodNotAllowed,
    RatioRange,
    RoundingNotAllowed,
    SelfSubscription,
    SeveralMasters,
    TradingServerMismatch,
)
from apportion.errors import InvalidArgument, VersionConflict
from apportion.money import E8

NOW = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
COPY, PAMM, MAM = AccountType.COPY, AccountType.PAMM, AccountType.MAM
MASTER = Master(
    master_id=1,
    label=1,
    name="Alpha",
    account_type=COPY,
    account_id=10,
    account_login=1010,
    trading_server_id=1,
    wallet_account_id=9,
    currency_code="USD",
    currency_digits=2,
    method=AllocationMethod.COPY_BY_EQUITY,
    rounding=RoundingPolicy.NEAREST,
    listed_on_leaderboard=True,
    min_follower_equity_minor=0,
    halt_causes=(),
    halt_epoch=0,
    set_version=1,
    version=1,
    active_subscription_count=0,
    create_time=NOW,
    allocation_mode=AllocationMode.TRADES,
    artificial_symbol="CREDITEARN",
    residual_rule=RoundingPolicy.NEAREST_LARGEST,
)
FOLLOWER = Account(20, AccountKind.INVESTMENT, True, 2020, 1, "USD", 2, 19, 100_000)
SUBSCRIPTION = Subscription(
    subscription_id=1,
    label=1,
    master_id=1,
    account_id=20,
    account_login=2020,
    wallet_account_id=19,
    active=True,
    parameters=Parameters(),
    settings=DEFAULT_SETTINGS,
    state=SubscriptionState.RUNNING,
    end_time=None,
    version=1,
    create_time=NOW,
)


@pytest.mark.parametrize(
    ("account_type", "method", "policy"),
    [
        (COPY, AllocationMethod.COPY_BY_EQUITY, RoundingPolicy.NEAREST),
        (MAM, AllocationMethod.RATIO_MULTIPLIER, RoundingPolicy.NEAREST),
        (MAM, AllocationMethod.DIVIDE_BY_EQUITY, RoundingPolicy.NEAREST_LARGEST),
    ],
)
def test_default_policies(account_type, method, policy):
    assert checked_rounding(account_type, method, None) is policy


@pytest.mark.parametrize("method", AllocationMethod)
def test_a_mam_master_may_use_every_method(method):
    assert checked_rounding(MAM, method, None) in RoundingPolicy


@pytest.mark.parametrize(
    ("terms", "error"),
    [
        ((PAMM, AllocationMethod.DIVIDE_BY_EQUITY, None), AccountTypeNotAvailable),
        ((COPY, AllocationMethod.DIVIDE_BY_EQUITY, None), MethodNotAllowed),
        ((MAM, AllocationMethod.DIVIDE_BY_EQUITY, RoundingPolicy.NEAREST), RoundingNotAllowed),
        ((MAM, AllocationMethod.RATIO_MULTIPLIER, RoundingPolicy.LARGEST_REMAINDER), RoundingNotAllowed),
        ((MAM, AllocationMethod.EQUAL_RISK, RoundingPolicy.CARRY), RoundingNotAllowed),
    ],
)
def test_terms_that_do_not_go_together(terms, error):
    with pytest.raises(error):
        checked_rounding(*terms)


def test_every_method_has_a_family_and_a_basis():
    assert set(FAMILIES) == set(BASES) == set(AllocationMethod)


@pytest.mark.parametrize(
    ("method", "policy", "figures"),
    [
        (AllocationMethod.FIXED_LOT, RoundingPolicy.NEAREST, set()),
        (AllocationMethod.COPY_BY_FREE_MARGIN, RoundingPolicy.CARRY, {Figure.FREE_MARGIN, Figure.CARRY}),
        (AllocationMethod.EQUITY_PERCENT, RoundingPolicy.NEAREST, {Figure.EQUITY, Figure.LEVERAGE, Figure.PRICE}),
        (
            AllocationMethod.EQUAL_RISK,
            RoundingPolicy.NEAREST_LARGEST,
            {Figure.EQUITY, Figure.HELD, Figure.MARGIN, Figure.LEVERAGE, Figure.PRICE},
        ),
    ],
)
def test_only_the_figures_of_a_method_are_gathered(method, policy, figures):
    assert needs(method, policy) == figures


def test_a_latch_is_held_by_each_cause_and_counted():
    once = halted(MASTER, "risk/trip/1")
    assert (once.halted, once.halt_epoch, once.version) == (True, 1, 2)
    assert halted(once, "risk/trip/1") == once
    twice = halted(once, "operator")
    assert (twice.halt_causes, twice.halt_epoch) == (("risk/trip/1", "operator"), 2)
    still = resumed(twice, "risk/trip/1")
    assert (still.halted, still.halt_causes) == (True, ("operator",))
    free = resumed(still, "operator")
    assert (free.halted, free.halt_epoch) == (False, 2)
    assert resumed(free, "operator") == free


def test_only_the_holder_releases():
    with pytest.raises(HaltCauseMismatch):
        resumed(halted(MASTER, "risk/trip/1"), "risk/trip/2")


@pytest.mark.parametrize(
    ("account", "others", "error"),
    [
        (replace(FOLLOWER, account_id=10), (), SelfSubscription),
        (replace(FOLLOWER, kind=AccountKind.WALLET), (), AccountKindMismatch),
        (replace(FOLLOWER, is_open=False), (), AccountNotOpen),
        (replace(FOLLOWER, nets=None), (), MarginModeUnknown),
        (replace(FOLLOWER, currency_code="EUR"), (), CurrencyMismatch),
        (replace(FOLLOWER, currency_digits=0), (), CurrencyDigitsMismatch),
        (replace(FOLLOWER, trading_server_id=2), (), TradingServerMismatch),
        (FOLLOWER, (MAM,), SeveralMasters),
    ],
)
def test_who_may_not_follow(account, others, error):
    with pytest.raises(error):
        check_follower(MASTER, account, others)


def test_several_masters_of_one_type_may_share_an_account():
    check_follower(MASTER, FOLLOWER, (COPY, COPY))


@pytest.mark.parametrize("equity_minor", [None, 499])
def test_a_master_may_ask_for_equity(equity_minor):
    master = replace(MASTER, min_follower_equity_minor=500)
    with pytest.raises(FollowerEquity):
        check_follower(master, replace(FOLLOWER, equity_minor=equity_minor), ())
    check_follower(master, replace(FOLLOWER, equity_minor=500), ())


@pytest.mark.parametrize("ratio_e8", [0, -1, 100 * E8 + 1])
def test_ratio_range(ratio_e8):
    with pytest.raises(RatioRange):
        check_parameters(Parameters(ratio_e8=ratio_e8))


def test_lot_and_percent_ranges_are_told_together():
    with pytest.raises(InvalidArgument) as caught:
        check_parameters(Parameters(lot_e8=-1, percent_e8=-1))
    assert [violation.field for violation in caught.value.violations] == ["lot_e8", "percent_e8"]


def test_a_change_makes_a_new_version_and_no_change_none():
    after = changed(SUBSCRIPTION, SubscriptionChange(active=False, ratio_e8=2 * E8, etag="1"))
    assert (after.active, after.parameters.ratio_e8, after.version) == (False, 2 * E8, 2)
    assert changed(SUBSCRIPTION, SubscriptionChange(active=True)) is SUBSCRIPTION


def test_a_change_on_an_old_etag_is_refused():
    with pytest.raises(VersionConflict):
        changed(SUBSCRIPTION, SubscriptionChange(active=False, etag="0"))


def test_child_trade_ids_are_those_of_one_allocation_and_survive_json():
    ids = child_trade_ids(123, np.array([0, 5, 2**20 - 1]))
    assert ids.tolist() == [123 << 20, (123 << 20) + 5, (124 << 20) - 1]
    assert int(child_trade_ids(8_589_934_591, np.array([2**20 - 1]))[0]) < 2**53


def test_alignment_finds_accounts_and_marks_the_missing():
    server = np.array([2, 4, 6, 8])
    wanted = np.array([8, 3, 2, 9])
    alignment = align(server, wanted)
    assert alignment.pick(np.array([20, 40, 60, 80])).tolist() == [80, UNKNOWN_BASIS, 20, UNKNOWN_BASIS]
    assert alignment.fits(server.copy(), wanted)
    assert not alignment.fits(np.array([2, 4, 6, 8, 9]), wanted)


def test_alignment_with_nobody():
    nobody = np.empty(0, dtype=np.int64)
    assert align(nobody, np.array([1])).pick(nobody).tolist() == [UNKNOWN_BASIS]
    assert align(np.array([1]), nobody).pick(np.array([5])).tolist() == []
