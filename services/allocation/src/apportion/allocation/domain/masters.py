"""A master: the account a money manager trades, and how its trades are apportioned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from apportion.allocation.domain.methods import (
    FAMILIES,
    AccountType,
    AllocationMethod,
    AllocationMode,
    Family,
    RoundingPolicy,
    checked_rounding,
)
from apportion.allocation.errors import HaltCauseMismatch, OpenTrades, PooledOnly
from apportion.errors import VersionConflict

DEFAULT_ARTIFICIAL_SYMBOL = "CREDITEARN"
RESIDUAL_RULES = (RoundingPolicy.NEAREST_LARGEST, RoundingPolicy.LARGEST_REMAINDER)
"""The first is the default."""


@dataclass(frozen=True, slots=True)
class Master:
    master_id: int
    label: int
    name: str
    account_type: AccountType
    account_id: int
    account_login: int
    trading_server_id: int
    wallet_account_id: int
    currency_code: str
    currency_digits: int
    """As his trading server counts: 10^digits minor units are one unit, of all followers too."""
    method: AllocationMethod
    rounding: RoundingPolicy
    listed_on_leaderboard: bool
    min_follower_equity_minor: int
    halt_causes: tuple[str, ...]
    """Who latched the master, oldest first. While there is one, opening trades are not passed on."""
    halt_epoch: int
    """Counts the latchings: an open that was decided under an older epoch is never sent."""
    set_version: int
    """Changes with every change of a subscription: names the set that a decision was made with."""
    version: int
    active_subscription_count: int
    create_time: datetime
    allocation_mode: AllocationMode
    artificial_symbol: str
    """Of the records that stand for children while profit is distributed."""
    residual_rule: RoundingPolicy
    """Who gets the last minor units of a distributed profit."""

    @property
    def halted(self) -> bool:
        return bool(self.halt_causes)

    @property
    def etag(self) -> str:
        return str(self.version)


@dataclass(frozen=True, slots=True)
class MasterFilter:
    """What to list."""

    wallet_account_id: int = 0
    """Of the manager; 0: of all managers."""
    only_listed: bool = False
    """Those that the leaderboard shows."""


@dataclass(frozen=True, slots=True)
class MasterChange:
    """None: stays as it is. An empty etag changes the master whatever he is now."""

    name: str | None = None
    method: AllocationMethod | None = None
    rounding: RoundingPolicy | None = None
    allocation_mode: AllocationMode | None = None
    artificial_symbol: str | None = None
    residual_rule: RoundingPolicy | None = None
    min_follower_equity_minor: int | None = None
    listed_on_leaderboard: bool | None = None
    etag: str = ""


def check_mode(master: Master) -> None:
    """Raises PooledOnly: profit is distributed by a MAM master whose method divides his volume."""
    if master.allocation_mode is AllocationMode.PROFIT and not (
        master.account_type is AccountType.MAM and FAMILIES[master.method] is Family.DIVIDING
    ):
        raise PooledOnly(account_type=master.account_type.name, method=master.method.name)


def changed(master: Master, change: MasterChange, *, open_count: int) -> Master:
    """The master after the change, his version one higher; an empty change is none.

    While he has open trades their children close by the family of the method that opened them, and artificial records
    keep their proportions: a method of another family, another allocation mode, symbol or residual rule waits.
    Raises VersionConflict, OpenTrades, PooledOnly and what `checked_rounding` raises.
    """
    if change.etag and change.etag != master.etag:
        raise VersionConflict(master_id=master.master_id, etag=master.etag, given=change.etag)
    names = [name for name in MasterChange.__slots__ if name != "etag"]
    after = replace(master, **{name: value for name in names if (value := getattr(change, name)) is not None})
    if change.rounding is None and FAMILIES[after.method] is not FAMILIES[master.method]:
        after = replace(after, rounding=checked_rounding(after.account_type, after.method, None))
    checked_rounding(after.account_type, after.method, after.rounding)
    check_mode(after)
    bound = (
        FAMILIES[after.method] is not FAMILIES[master.method]
        or after.allocation_mode is not master.allocation_mode
        or after.artificial_symbol != master.artificial_symbol
        or after.residual_rule is not master.residual_rule
    )
    if bound and open_count:
        raise OpenTrades(master_id=master.master_id, open_count=open_count)
    return master if after == master else replace(after, version=master.version + 1)


def halted(master: Master, cause: str) -> Master:
    """The master with the cause's latch on it. Several causes may hold it at once; a second latching is no change."""
    if cause in master.halt_causes:
        return master
    return replace(
        master,
        halt_causes=(*master.halt_causes, cause),
        halt_epoch=master.halt_epoch + 1,
        version=master.version + 1,
    )


def resumed(master: Master, cause: str) -> Master:
    """The master without the cause's latch; an active master stays as he is.

    Raises HaltCauseMismatch when he is halted by others only.
    """
    if not master.halted:
        return master
    if cause not in master.halt_causes:
        raise HaltCauseMismatch(cause=cause, held_by=", ".join(master.halt_causes))
    return replace(
        master,
        halt_causes=tuple(held for held in master.halt_causes if held != cause),
        version=master.version + 1,
    )
