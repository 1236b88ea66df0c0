"""Live states of accounts: equity, margin. Accounts without activity since the server's start have none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from apportion.mt5.connection import Caller
from apportion.mt5.numbers import fixed
from apportion.mt5.records import batch_of_groups


class Account(msgspec.Struct, rename="pascal"):
    login: int
    currency_digits: int = 2
    balance: str = "0"
    credit: str = "0"
    margin: str = "0"
    margin_free: str = "0"
    margin_leverage: int = 0
    equity: str = "0"
    profit: str = "0"


Int64s = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class AccountColumns:
    """Account states as columns of one length, sorted by login; money in minor units of each account's currency.

    `position_flags` is 1 where margin or floating profit shows an open position: the server does not say it.
    `leverages` are whole numbers (100 is 1:100), 0 where the server does not tell one; `users.User` has it too.
    """

    logins: Int64s
    balances_minor: Int64s
    credits_minor: Int64s
    equities_minor: Int64s
    margins_minor: Int64s
    free_margins_minor: Int64s
    position_flags: Int64s
    leverages: Int64s


async def states_of_groups(caller: Caller, groups: Sequence[str]) -> AccountColumns:
    """States of the accounts of these groups (names or masks), as far as the server keeps one."""
    return columns_of(await batch_of_groups(caller, "user/account/get_batch", groups, Account))


def columns_of(accounts: list[Account]) -> AccountColumns:
    """Raises ValueError when an amount has more decimals than its currency."""
    flat: list[int] = []
    for account in accounts:
        digits = account.currency_digits
        margin = fixed(account.margin, digits)
        flat += (
            account.login,
            fixed(account.balance, digits),
            fixed(account.credit, digits),
            fixed(account.equity, digits),
            margin,
            fixed(account.margin_free, digits),
            1 if margin or account.profit.strip("-0.") else 0,
            account.margin_leverage,
        )
    rows = np.array(flat, dtype=np.int64).reshape(-1, 8)
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    return AccountColumns(*(np.ascontiguousarray(rows[:, index]) for index in range(8)))
