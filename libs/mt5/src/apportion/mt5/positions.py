"""Open positions. An incomplete report raises: absence is only what the server says in full."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from apportion.mt5.connection import Caller
from apportion.mt5.enums import Side
from apportion.mt5.errors import ConnectionLost, Refused
from apportion.mt5.numbers import PRICE_DIGITS, fixed, volume_e8
from apportion.mt5.retcodes import Retcode

PAGE_SIZE = 100


class Position(
    msgspec.Struct,
    rename={
        "position": "Position",
        "login": "Login",
        "symbol": "Symbol",
        "action": "Action",
        "currency_digits": "DigitsCurrency",
        "time_seconds": "TimeCreate",
        "time_ms": "TimeCreateMsc",
        "price_open": "PriceOpen",
        "price_sl": "PriceSL",
        "price_tp": "PriceTP",
        "volume": "Volume",
        "volume_ext": "VolumeExt",
        "profit": "Profit",
        "storage": "Storage",
        "comment": "Comment",
        "reason": "Reason",
    },
):
    position: int
    login: int
    symbol: str
    action: int
    currency_digits: int = 2
    time_seconds: int = 0
    time_ms: int = 0
    price_open: str = "0"
    price_sl: str = "0"
    price_tp: str = "0"
    volume: int = 0
    volume_ext: int = 0
    profit: str = "0"
    storage: str = "0"
    comment: str = ""
    reason: int = 0

    @property
    def server_time_ms(self) -> int:
        return self.time_ms or self.time_seconds * 1000

    @property
    def signed_volume_e8(self) -> int:
        """Above 0 long, below 0 short."""
        volume = volume_e8(self.volume_ext, self.volume)
        return volume if self.action == Side.BUY else -volume

    @property
    def price_open_e8(self) -> int:
        return fixed(self.price_open, PRICE_DIGITS)

    @property
    def price_sl_e8(self) -> int:
        return fixed(self.price_sl, PRICE_DIGITS)

    @property
    def price_tp_e8(self) -> int:
        return fixed(self.price_tp, PRICE_DIGITS)

    @property
    def profit_minor(self) -> int:
        return fixed(self.profit, self.currency_digits)

    @property
    def storage_minor(self) -> int:
        return fixed(self.storage, self.currency_digits)


class _Total(msgspec.Struct, rename="pascal"):
    total: int


async def total_of_login(caller: Caller, login: int) -> int:
    """How many positions the account has, by the server's own count."""
    return (await caller.call("position/get_total", {"login": login})).as_type(_Total).total


async def list_of_login(caller: Caller, login: int) -> list[Position]:
    """All positions of one account: exactly as many as the server counts before and after.

    Raises ConnectionLost when the pages and the counts do not agree, as they do not while positions change.
    """
    total = await total_of_login(caller, login)
    positions: list[Position] = []
    while len(positions) < total:
        page = await caller.call("position/get_page", {"login": login, "offset": len(positions), "total": PAGE_SIZE})
        rows = page.as_type(list[Position])
        if not rows:
            break
        positions += rows
    if len(positions) != total or (total and await total_of_login(caller, login) != total):
        raise ConnectionLost(f"position/get_page: {len(positions)} of {total} positions of {login}")
    return positions


async def list_of_logins(caller: Caller, logins: Sequence[int]) -> list[Position]:
    """All positions of several accounts."""
    try:
        return (await caller.call("position/get_batch", {"login": ",".join(map(str, logins))})).as_type(list[Position])
    except Refused as refused:
        if refused.retcode == Retcode.NOT_FOUND:
            return []
        raise
