"""Deals: executed trades and balance operations."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from apportion.mt5.connection import Caller
from apportion.mt5.enums import DealAction
from apportion.mt5.errors import Refused
from apportion.mt5.numbers import PRICE_DIGITS, fixed, volume_e8
from apportion.mt5.retcodes import Retcode


class Deal(
    msgspec.Struct,
    rename={
        "deal": "Deal",
        "login": "Login",
        "order": "Order",
        "action": "Action",
        "entry": "Entry",
        "currency_digits": "DigitsCurrency",
        "time_seconds": "Time",
        "time_ms": "TimeMsc",
        "symbol": "Symbol",
        "price": "Price",
        "price_sl": "PriceSL",
        "price_tp": "PriceTP",
        "volume": "Volume",
        "volume_ext": "VolumeExt",
        "profit": "Profit",
        "storage": "Storage",
        "commission": "Commission",
        "position": "PositionID",
        "comment": "Comment",
        "reason": "Reason",
    },
):
    deal: int
    login: int
    order: int = 0
    action: int = 0
    entry: int = 0
    currency_digits: int = 2
    time_seconds: int = 0
    time_ms: int = 0
    symbol: str = ""
    price: str = "0"
    price_sl: str = "0"
    price_tp: str = "0"
    volume: int = 0
    volume_ext: int = 0
    profit: str = "0"
    storage: str = "0"
    commission: str = "0"
    position: int = 0
    comment: str = ""
    reason: int = 0

    @property
    def server_time_ms(self) -> int:
        return self.time_ms or self.time_seconds * 1000

    @property
    def is_trade(self) -> bool:
        return self.action in (DealAction.BUY, DealAction.SELL)

    @property
    def signed_volume_e8(self) -> int:
        """Above 0 bought, below 0 sold, 0 when it is no trade."""
        if not self.is_trade:
            return 0
        volume = volume_e8(self.volume_ext, self.volume)
        return volume if self.action == DealAction.BUY else -volume

    @property
    def price_e8(self) -> int:
        return fixed(self.price, PRICE_DIGITS)

    @property
    def price_sl_e8(self) -> int:
        return fixed(self.price_sl, PRICE_DIGITS)

    @property
    def price_tp_e8(self) -> int:
        return fixed(self.price_tp, PRICE_DIGITS)

    @property
    def profit_minor(self) -> int:
        """Closed profit; the amount when it is a balance operation."""
        return fixed(self.profit, self.currency_digits)

    @property
    def storage_minor(self) -> int:
        return fixed(self.storage, self.currency_digits)

    @property
    def commission_minor(self) -> int:
        return fixed(self.commission, self.currency_digits)


async def list_of_groups(caller: Caller, groups: Sequence[str], from_seconds: int, to_seconds: int) -> list[Deal]:
    """Deals of the groups (names or masks) in a span of raw server time, both ends included."""
    return await _batch(caller, {"group": ",".join(groups), "from": from_seconds, "to": to_seconds})


async def list_of_logins(caller: Caller, logins: Sequence[int], from_seconds: int, to_seconds: int) -> list[Deal]:
    return await _batch(caller, {"login": ",".join(map(str, logins)), "from": from_seconds, "to": to_seconds})


async def list_of_tickets(caller: Caller, tickets: Sequence[int]) -> list[Deal]:
    """The deals that exist among these tickets."""
    return await _batch(caller, {"ticket": ",".join(map(str, tickets))})


async def _batch(caller: Caller, selector: dict[str, str | int]) -> list[Deal]:
    try:
        return (await caller.call("deal/get_batch", selector)).as_type(list[Deal])
    except Refused as refused:
        if refused.retcode == Retcode.NOT_FOUND:
            return []
        raise
