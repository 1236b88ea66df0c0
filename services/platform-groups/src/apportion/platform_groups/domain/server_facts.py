"""What a trading server tells us, whatever its make; and how a call to it can fail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apportion.platform_groups.domain.states import DealAction, DealEntry, MarginMode

Int64s = NDArray[np.int64]


HOUR_MS = 3_600_000
"""How far a server's clock goes back when its summer ends: spans of deals begin so much earlier where none may miss."""
DAY_MS = 86_400_000
"""Spans of deals end this far in the future, so that a fast clock cannot run out of them."""


class ServerFailure(Exception):
    """A call to a trading server did not do what it should. The text never holds a secret."""


class NotSent(ServerFailure):
    """A write certainly did not run: it may be given again."""


class OutcomeUnknown(ServerFailure):
    """A write may or may not have run: only the server's records can tell."""


class ServerUnreachable(ServerFailure):
    """A read could not be completed."""


class ServerRefused(ServerFailure):
    """The server said no. `temporary`: the same may succeed later."""

    def __init__(self, reason: str, *, temporary: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.temporary = temporary


@dataclass(frozen=True, slots=True)
class ServerDeal:
    """A deal as the server reports it. Volume above 0 bought, below 0 sold, 0 when it is no trade."""

    deal_ticket: int
    login: int
    order_ticket: int
    position_ticket: int
    action: DealAction
    entry: DealEntry
    symbol: str
    volume_e8: int
    price_e8: int
    profit_minor: int
    swap_minor: int
    commission_minor: int
    server_time_ms: int
    reason: int
    stop_loss_e8: int
    take_profit_e8: int
    comment: str
    by_client: bool
    """Traded by its owner at a terminal: whatever its comment says, it is none of our orders."""


@dataclass(frozen=True, slots=True)
class ServerPosition:
    """An open position. Volume above 0 long, below 0 short."""

    position_ticket: int
    login: int
    symbol: str
    volume_e8: int
    open_price_e8: int
    stop_loss_e8: int
    take_profit_e8: int
    profit_minor: int
    swap_minor: int
    server_time_ms: int
    comment: str


@dataclass(frozen=True, slots=True)
class ServerUser:
    """Name and comment are empty where the manager may not see personal data."""

    login: int
    group: str
    rights: int
    leverage: int
    comment: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class NewUser:
    server_group: str
    name: str
    leverage: int
    comment: str
    main_password: str
    investor_password: str


@dataclass(frozen=True, slots=True)
class ServerGroup:
    name: str
    currency_code: str
    currency_digits: int
    margin_mode: MarginMode


@dataclass(frozen=True, slots=True)
class ServerSymbol:
    name: str
    digits: int
    base_currency_code: str
    profit_currency_code: str
    margin_currency_code: str
    contract_size_e8: int
    min_volume_e8: int
    max_volume_e8: int
    volume_step_e8: int


@dataclass(frozen=True, slots=True)
class SymbolListing:
    """Sorted by name."""

    symbols: list[ServerSymbol]
    unreadable: dict[str, str]
    """What is wrong with each symbol that is left out, by name."""


@dataclass(frozen=True, slots=True)
class ServerTick:
    symbol: str
    bid_e8: int
    ask_e8: int
    server_time_ms: int


@dataclass(frozen=True, slots=True)
class AccountStateColumns:
    """Live states of accounts in columns of one length, sorted by login; money in minor units."""

    logins: Int64s
    balances_minor: Int64s
    credits_minor: Int64s
    equities_minor: Int64s
    margins_minor: Int64s
    free_margins_minor: Int64s
    position_flags: Int64s
    leverages: Int64s
