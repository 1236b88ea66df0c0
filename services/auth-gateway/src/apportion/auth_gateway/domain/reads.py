"""What a signed-in user may read, as other services tell it. Amounts in minor units, ratios and lots in 1e-8."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """The newest state read from the trading server."""

    balance_minor: int
    credit_minor: int
    equity_minor: int
    margin_minor: int
    free_margin_minor: int
    observed_time: datetime


@dataclass(frozen=True, slots=True)
class Account:
    """A trading account; kind, state and access in lower case."""

    account_id: int
    login: int
    kind: str
    state: str
    access: str
    currency_code: str
    currency_digits: int
    leverage: int
    holder_name: str
    wallet_account_id: int
    snapshot: AccountSnapshot | None
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Master:
    """A master account, as far as followers may see it; account and login only for its owner."""

    master_id: int
    name: str
    account_type: str
    method: str
    state: str
    currency_code: str
    currency_digits: int
    min_follower_equity_minor: int
    active_subscription_count: int
    account_id: int
    account_login: int
    wallet_account_id: int
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Subscription:
    """The link of one of the user's investment accounts to a master."""

    subscription_id: int
    master_id: int
    account_id: int
    account_login: int
    active: bool
    ratio_e8: int
    lot_e8: int
    percent_e8: int
    create_time: datetime


ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class Page(Generic[ItemT]):
    """A part of a list; an empty token means that it is the last."""

    items: list[ItemT]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which part is asked for; an empty token means the first."""

    size: int
    token: str
