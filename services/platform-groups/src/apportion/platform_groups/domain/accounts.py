"""A trading account of ours on a trading server."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from apportion.platform_groups.domain.server_facts import ServerUser
from apportion.platform_groups.domain.shards import shard_of
from apportion.platform_groups.domain.states import AccountAccess, AccountKind, AccountState, MarginMode
from apportion.platform_groups.errors import AccountNotOpen, ServersMixed, WalletInvalid

TRADE_DISABLED_RIGHT = 0x4


@dataclass(frozen=True, slots=True)
class Account:
    """`wanted_access` is what was asked for, `access` what the server was last seen to have; `login` 0: not known."""

    account_id: int
    label: int
    platform_group_id: int
    trading_server_id: int
    kind: AccountKind
    state: AccountState
    access: AccountAccess
    wanted_access: AccountAccess
    login: int
    currency_code: str
    currency_digits: int
    margin_mode: MarginMode
    leverage: int
    holder_name: str
    wallet_account_id: int
    initial_balance_minor: int
    request_id: str
    """Of the call that made it: part of its token on the server."""
    failure_reason: str
    create_time: datetime

    @property
    def shard(self) -> int:
        return shard_of(self.account_id)


@dataclass(frozen=True, slots=True)
class NewAccount:
    platform_group_id: int
    kind: AccountKind
    holder_name: str
    leverage: int
    wallet_account_id: int
    initial_balance_minor: int


@dataclass(frozen=True, slots=True)
class AccountRef:
    """The stored answer of the write that made an account."""

    account_id: int


def check_wallet(kind: AccountKind, wallet: Account | None) -> None:
    """A master or investment account belongs to an open wallet. Raises WalletInvalid."""
    if kind is AccountKind.WALLET:
        if wallet is not None:
            raise WalletInvalid("a wallet belongs to no other wallet", wallet_account_id=wallet.account_id)
    elif wallet is None or wallet.kind is not AccountKind.WALLET or wallet.state is not AccountState.OPEN:
        key = 0 if wallet is None else wallet.account_id
        raise WalletInvalid(f"account {key} is no open wallet", wallet_account_id=key)


def server_of_all(accounts: Iterable[Account]) -> int:
    """The one trading server that all these accounts, at least one, are on. Raises ServersMixed."""
    server_ids = sorted({account.trading_server_id for account in accounts})
    if len(server_ids) > 1:
        raise ServersMixed(
            f"the accounts are on {len(server_ids)} trading servers", trading_server_ids=",".join(map(str, server_ids))
        )
    return server_ids[0]


def check_open(account: Account) -> None:
    """Raises AccountNotOpen."""
    if account.state is not AccountState.OPEN:
        raise AccountNotOpen(
            f"account {account.account_id} is {account.state.name}",
            account_id=account.account_id,
            state=account.state.name,
        )


def check_closable(account: Account) -> None:
    """What is open on an account that has left its group may be seen and closed, its rights be changed. Raises
    AccountNotOpen."""
    if account.state is not AccountState.DISABLED:
        check_open(account)


def shows_comments(users: Sequence[ServerUser], logins: Collection[int]) -> bool:
    """Whether a report of a group can prove that an account is absent: comments are readable in it.

    Any comment proves it: dealers overwrite ours. `logins` are those of our accounts, which were made with a comment;
    without any of them in the report a name is enough, for every account has one.
    """
    if any(user.comment for user in users):
        return True
    if any(user.login in logins for user in users):
        return False
    return not users or any(user.name for user in users)


def rights_for(rights: int, access: AccountAccess) -> int:
    """The rights a user record must have for this access; all other bits stay as they are."""
    if access is AccountAccess.READ_ONLY:
        return rights | TRADE_DISABLED_RIGHT
    return rights & ~TRADE_DISABLED_RIGHT


def access_of(rights: int) -> AccountAccess:
    return AccountAccess.READ_ONLY if rights & TRADE_DISABLED_RIGHT else AccountAccess.FULL
