"""What we know of trading accounts, which platform-groups owns."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from apportion.allocation.errors import AccountKindMismatch, AccountNotOpen
from apportion.money import Int64Array


class AccountKind(enum.IntEnum):
    WALLET = 1
    MASTER = 2
    INVESTMENT = 3


@dataclass(frozen=True, slots=True)
class Account:
    account_id: int
    kind: AccountKind
    is_open: bool
    login: int
    trading_server_id: int
    currency_code: str
    currency_digits: int
    """As the trading server counts: 10^digits minor units are one unit."""
    wallet_account_id: int
    equity_minor: int | None
    """None while the connector has not seen the account."""
    nets: bool | None = False
    """Whether it has one position a symbol, which opposite trades reduce or turn. None: nobody knows."""


@dataclass(frozen=True, slots=True)
class AccountStates:
    """The newest state of all accounts of a trading server: columns of one length, sorted by account id."""

    observed_time: datetime
    account_ids: Int64Array
    balances_minor: Int64Array
    equities_minor: Int64Array
    margins_minor: Int64Array
    """Used margin."""
    free_margins_minor: Int64Array
    leverages: Int64Array
    """100 for 1:100; 0 where it is not known."""
    server_time_ms: int = 0
    """Raw server time of the look; 0 where it is not known."""


def check_account(account: Account, kind: AccountKind) -> None:
    """Raises AccountKindMismatch or AccountNotOpen."""
    if account.kind is not kind:
        raise AccountKindMismatch(account_id=account.account_id, kind=account.kind.name, needed=kind.name)
    if not account.is_open:
        raise AccountNotOpen(account_id=account.account_id)
