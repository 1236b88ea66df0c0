"""A master: the account a money manager trades, and how its trades are apportioned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from apportion.allocation.domain.methods import AccountType, AllocationMethod, RoundingPolicy
from apportion.allocation.errors import HaltCauseMismatch


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

    @property
    def halted(self) -> bool:
        return bool(self.halt_causes)

    @property
    def etag(self) -> str:
        return str(self.version)


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
