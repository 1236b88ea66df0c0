"""A subscription: the link between a master and an investment account, with its allocation parameters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from apportion.allocation.domain.accounts import Account, AccountKind, check_account
from apportion.allocation.domain.masters import Master
from apportion.allocation.domain.methods import SEVERAL_MASTERS_ALLOWED, AccountType
from apportion.allocation.errors import (
    CurrencyMismatch,
    FollowerEquity,
    RatioRange,
    SelfSubscription,
    SeveralMasters,
    TradingServerMismatch,
)
from apportion.errors import InvalidArgument, VersionConflict, Violation
from apportion.money import E8

MAX_RATIO_E8 = 100 * E8
MAX_LOT_E8 = 10_000 * E8
MAX_PERCENT_E8 = 1_000 * E8


@dataclass(frozen=True, slots=True)
class Subscription:
    subscription_id: int
    label: int
    master_id: int
    account_id: int
    account_login: int
    wallet_account_id: int
    active: bool
    ratio_e8: int
    lot_e8: int
    percent_e8: int
    round_up_to_min: bool
    version: int
    create_time: datetime

    @property
    def etag(self) -> str:
        return str(self.version)


@dataclass(frozen=True, slots=True)
class SubscriptionChange:
    """None: stays as it is."""

    active: bool | None = None
    ratio_e8: int | None = None
    lot_e8: int | None = None
    percent_e8: int | None = None
    round_up_to_min: bool | None = None


def check_parameters(ratio_e8: int, lot_e8: int, percent_e8: int) -> None:
    """Raises RatioRange, or InvalidArgument for a lot or percent out of range."""
    if not 0 < ratio_e8 <= MAX_RATIO_E8:
        raise RatioRange(ratio_e8=ratio_e8, above=0, at_most=MAX_RATIO_E8)
    bounds = (("lot_e8", lot_e8, MAX_LOT_E8), ("percent_e8", percent_e8, MAX_PERCENT_E8))
    violations = [Violation(name, f"must be 0 to {most}") for name, value, most in bounds if not 0 <= value <= most]
    if violations:
        raise InvalidArgument(violations=violations)


def check_follower(master: Master, account: Account, other_types: Iterable[AccountType]) -> None:
    """Whether the account may follow the master; `other_types` are those of the masters that it follows already.

    Raises SelfSubscription, AccountKindMismatch, AccountNotOpen, CurrencyMismatch, TradingServerMismatch,
    SeveralMasters or FollowerEquity.
    """
    if account.account_id == master.account_id:
        raise SelfSubscription(account_id=account.account_id)
    check_account(account, AccountKind.INVESTMENT)
    if account.currency_code != master.currency_code:
        raise CurrencyMismatch(currency=account.currency_code, needed=master.currency_code)
    if account.trading_server_id != master.trading_server_id:
        raise TradingServerMismatch(
            trading_server_id=account.trading_server_id, master_trading_server_id=master.trading_server_id
        )
    for other in other_types:
        if other is not master.account_type or other not in SEVERAL_MASTERS_ALLOWED:
            raise SeveralMasters(account_id=account.account_id, account_type=other.name)
    if master.min_follower_equity_minor > (account.equity_minor or 0):
        raise FollowerEquity(equity_minor=account.equity_minor or 0, needed_minor=master.min_follower_equity_minor)


def changed(subscription: Subscription, change: SubscriptionChange, etag: str) -> Subscription:
    """The subscription after the change, its version one higher; an empty change is none.

    Raises VersionConflict when `etag` is given and is not the subscription's, and what `check_parameters` raises.
    """
    if etag and etag != subscription.etag:
        raise VersionConflict(etag=subscription.etag, given=etag)

    def new(value: int | None, old: int) -> int:
        return old if value is None else value

    after = replace(
        subscription,
        active=subscription.active if change.active is None else change.active,
        ratio_e8=new(change.ratio_e8, subscription.ratio_e8),
        lot_e8=new(change.lot_e8, subscription.lot_e8),
        percent_e8=new(change.percent_e8, subscription.percent_e8),
        round_up_to_min=(subscription.round_up_to_min if change.round_up_to_min is None else change.round_up_to_min),
    )
    check_parameters(after.ratio_e8, after.lot_e8, after.percent_e8)
    return subscription if after == subscription else replace(after, version=subscription.version + 1)
