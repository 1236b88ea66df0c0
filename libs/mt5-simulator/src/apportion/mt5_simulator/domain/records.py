"""What the trading server keeps. Times are milliseconds since 1970 on the server's own civil clock."""

from __future__ import annotations

import msgspec

from apportion.mt5_simulator.codes import DEFAULT_RIGHTS, Reason, Side

ApiData = list[dict[str, str]]


class User(msgspec.Struct, kw_only=True):
    login: int
    group: str
    name: str
    leverage: int
    registration_ms: int
    rights: int = DEFAULT_RIGHTS
    balance_minor: int = 0
    credit_minor: int = 0
    profile: dict[str, str] = {}
    """Text fields the server only stores: Comment, Email, Phone, Country, …"""
    passwords: dict[str, str] = {}
    """`main` and `investor`, as salted digests."""


class Position(msgspec.Struct, kw_only=True):
    position: int
    """Ticket: that of the order which opened it, or which turned it around."""
    login: int
    symbol: str
    side: Side
    volume_e8: int
    price_open_e8: int
    time_create_ms: int
    time_update_ms: int
    rate_margin_e8: int
    identifier: int = 0
    """What its deals and orders carry, where that is no longer its ticket: after a reversal."""
    price_sl_e8: int = 0
    price_tp_e8: int = 0
    storage_minor: int = 0
    comment: str = ""
    dealer: int = 0
    reason: Reason = Reason.CLIENT
    api_data: ApiData = []

    @property
    def lasting_id(self) -> int:
        """`PositionID` of its deals and orders: the same for all its life."""
        return self.identifier or self.position


class Order(msgspec.Struct, kw_only=True):
    """A filled market order, which is history at once."""

    order: int
    login: int
    symbol: str
    side: Side
    volume_e8: int
    price_e8: int
    time_setup_ms: int
    time_done_ms: int
    position: int
    """`lasting_id` of the position that it opened or changed."""
    price_sl_e8: int = 0
    price_tp_e8: int = 0
    comment: str = ""
    dealer: int = 0
    reason: Reason = Reason.CLIENT
    api_data: ApiData = []


class Deal(msgspec.Struct, kw_only=True):
    """A trade (action 0, 1) or a balance operation (2–6, `profit_minor` is its amount)."""

    deal: int
    login: int
    action: int
    time_ms: int
    entry: int = 0
    order: int = 0
    position: int = 0
    symbol: str = ""
    volume_e8: int = 0
    volume_closed_e8: int = 0
    price_e8: int = 0
    price_position_e8: int = 0
    price_sl_e8: int = 0
    price_tp_e8: int = 0
    bid_e8: int = 0
    ask_e8: int = 0
    profit_minor: int = 0
    storage_minor: int = 0
    commission_minor: int = 0
    rate_profit_e8: int = 0
    rate_margin_e8: int = 0
    comment: str = ""
    dealer: int = 0
    reason: Reason = Reason.CLIENT
    api_data: ApiData = []


class MarketRequest(msgspec.Struct, kw_only=True):
    """Buy or sell now; with `position`, a ticket, close that position or part of it."""

    login: int
    symbol: str
    side: Side
    volume_e8: int
    position: int = 0
    price_sl_e8: int = 0
    price_tp_e8: int = 0
    comment: str = ""
    flags: int = 0
    dealer: int = 0
    reason: Reason = Reason.CLIENT
    api_data: ApiData = []


class ModifyRequest(msgspec.Struct, kw_only=True):
    """New stop loss and take profit of a position; 0 clears."""

    login: int
    position: int
    price_sl_e8: int
    price_tp_e8: int
    reason: Reason = Reason.CLIENT
