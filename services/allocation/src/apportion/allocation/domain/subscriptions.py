"""A subscription: the link between a master and an investment account, with its allocation parameters."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from apportion.allocation.domain.accounts import Account, AccountKind, check_account
from apportion.allocation.domain.copy_settings import MAX_LOT_E8, CopySettings, LeavePolicy, check_settings
from apportion.allocation.domain.masters import Master
from apportion.allocation.domain.methods import (
    FAMILIES,
    SEVERAL_MASTERS_ALLOWED,
    AccountType,
    AllocationMode,
    Family,
    LotMode,
)
from apportion.allocation.errors import (
    CopyOpenPositionsNotAllowed,
    CurrencyDigitsMismatch,
    CurrencyMismatch,
    FollowerEquity,
    MarginModeUnknown,
    NettingStops,
    RatioRange,
    ReverseNotAllowed,
    SelfSubscription,
    SeveralMasters,
    SubscriptionEnded,
    TradingServerMismatch,
)
from apportion.errors import InvalidArgument, VersionConflict, Violation
from apportion.money import E8

MAX_RATIO_E8 = 100 * E8
MAX_PERCENT_E8 = 10_000 * E8
"""Also the bound of a minimal margin level."""


class SubscriptionState(enum.IntEnum):
    """The numbers are those of the protos."""

    RUNNING = 1
    LEAVING = 2
    """Ended; its open children follow their master to the end."""
    ENDED = 3


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a method computes the volume of one subscription from, besides figures of its account."""

    ratio_e8: int = E8
    lot_e8: int = 0
    percent_e8: int = 0
    lot_mode: LotMode = LotMode.MULTIPLIER


@dataclass(frozen=True, slots=True)
class Subscription:
    subscription_id: int
    label: int
    master_id: int
    account_id: int
    account_login: int
    wallet_account_id: int
    active: bool
    """Takes part in opening trades."""
    parameters: Parameters
    settings: CopySettings
    state: SubscriptionState
    end_time: datetime | None
    version: int
    create_time: datetime
    nets: bool = False
    """Its account has one position a symbol, which all copies there share."""

    @property
    def etag(self) -> str:
        return str(self.version)


@dataclass(frozen=True, slots=True)
class SubscriptionFilter:
    """What to list."""

    master_id: int = 0
    """0: of all masters."""
    wallet_account_id: int = 0
    """Of the investor; 0: of all investors."""
    with_ended: bool = False


@dataclass(frozen=True, slots=True)
class SubscriptionChange:
    """None: stays as it is. An empty etag changes the subscription whatever it is now."""

    active: bool | None = None
    ratio_e8: int | None = None
    lot_e8: int | None = None
    percent_e8: int | None = None
    lot_mode: LotMode | None = None
    settings: CopySettings | None = None
    etag: str = ""


def check_parameters(parameters: Parameters) -> None:
    """Raises RatioRange, or InvalidArgument for a lot or percent out of range."""
    if not 0 < parameters.ratio_e8 <= MAX_RATIO_E8:
        raise RatioRange(ratio_e8=parameters.ratio_e8, above=0, at_most=MAX_RATIO_E8)
    bounds = (("lot_e8", parameters.lot_e8, MAX_LOT_E8), ("percent_e8", parameters.percent_e8, MAX_PERCENT_E8))
    violations = [Violation(name, f"must be 0 to {most}") for name, value, most in bounds if not 0 <= value <= most]
    if violations:
        raise InvalidArgument(violations=violations)


def check_follower(master: Master, account: Account, other_types: Iterable[AccountType]) -> None:
    """Whether the account may follow the master; `other_types` are those of the masters that it follows already.

    Raises SelfSubscription, AccountKindMismatch, AccountNotOpen, MarginModeUnknown, CurrencyMismatch,
    CurrencyDigitsMismatch, TradingServerMismatch, SeveralMasters or FollowerEquity.
    """
    if account.account_id == master.account_id:
        raise SelfSubscription(account_id=account.account_id)
    check_account(account, AccountKind.INVESTMENT)
    if account.nets is None:
        raise MarginModeUnknown(account_id=account.account_id)
    if account.currency_code != master.currency_code:
        raise CurrencyMismatch(currency=account.currency_code, needed=master.currency_code)
    if account.currency_digits != master.currency_digits:
        raise CurrencyDigitsMismatch(digits=account.currency_digits, needed=master.currency_digits)
    if account.trading_server_id != master.trading_server_id:
        raise TradingServerMismatch(
            trading_server_id=account.trading_server_id, master_trading_server_id=master.trading_server_id
        )
    for other in other_types:
        if other is not master.account_type or other not in SEVERAL_MASTERS_ALLOWED:
            raise SeveralMasters(account_id=account.account_id, account_type=other.name)
    if master.min_follower_equity_minor > (account.equity_minor or 0):
        raise FollowerEquity(equity_minor=account.equity_minor or 0, needed_minor=master.min_follower_equity_minor)


def check_sign(master: Master, subscription: Subscription) -> None:
    """Whether children may have the sign that the settings give them. Raises ReverseNotAllowed."""
    if subscription.settings.reverse and master.allocation_mode is AllocationMode.PROFIT:
        raise ReverseNotAllowed(master_id=master.master_id, subscription_id=subscription.subscription_id)


def check_copying(master: Master, settings: CopySettings) -> None:
    """Whether what the master has open may be copied. Raises CopyOpenPositionsNotAllowed."""
    divides = FAMILIES[master.method] is Family.DIVIDING or master.allocation_mode is AllocationMode.PROFIT
    if settings.copy_open_positions and divides:
        raise CopyOpenPositionsNotAllowed(master_id=master.master_id, method=master.method.name)


def check_stops(nets: bool, settings: CopySettings) -> None:
    """Whether stops can be copied to the account: the position of a netting account has one stop loss and one take
    profit for all copies there, which would close one another's. Raises NettingStops.
    """
    if nets and not settings.ignore_stops:
        raise NettingStops(setting="ignore_stops")


def changed(subscription: Subscription, change: SubscriptionChange) -> Subscription:
    """The subscription after the change, its version one higher; an empty change is none.

    Raises SubscriptionEnded, VersionConflict when the change's etag is not the subscription's, and what
    `check_parameters`, `check_settings` and `check_stops` raise.
    """
    if subscription.state is not SubscriptionState.RUNNING:
        raise SubscriptionEnded(subscription_id=subscription.subscription_id, state=subscription.state.name)
    if change.etag and change.etag != subscription.etag:
        raise VersionConflict(subscription_id=subscription.subscription_id, etag=subscription.etag, given=change.etag)
    before = subscription.parameters
    given = {
        name: value
        for name in ("ratio_e8", "lot_e8", "percent_e8", "lot_mode")
        if (value := getattr(change, name)) is not None
    }
    after = replace(
        subscription,
        active=subscription.active if change.active is None else change.active,
        parameters=replace(before, **given),
        settings=change.settings or subscription.settings,
    )
    check_parameters(after.parameters)
    check_settings(after.settings)
    check_stops(after.nets, after.settings)
    return subscription if after == subscription else replace(after, version=subscription.version + 1)


def ended(
    subscription: Subscription, leave_policy: LeavePolicy, *, has_open_children: bool, now: datetime
) -> Subscription:
    """The subscription after its end; LEAVING while copied positions follow their master to the end, which somebody
    who does not want to wait any more may cut short by one of the other ways.

    Raises SubscriptionEnded when it has ended before.
    """
    follows = leave_policy is LeavePolicy.CLOSE_WITH_MASTER
    if subscription.state is SubscriptionState.ENDED or (subscription.state is SubscriptionState.LEAVING and follows):
        raise SubscriptionEnded(subscription_id=subscription.subscription_id, state=subscription.state.name)
    stays = follows and has_open_children
    return replace(
        subscription,
        active=False,
        state=SubscriptionState.LEAVING if stays else SubscriptionState.ENDED,
        end_time=subscription.end_time or now,
        version=subscription.version + 1,
    )
