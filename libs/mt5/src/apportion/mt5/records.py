"""What positions and deals have in common, and how lists of records are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from apportion.mt5.connection import Caller
from apportion.mt5.enums import Side
from apportion.mt5.errors import Refused
from apportion.mt5.numbers import PRICE_DIGITS, fixed, volume_e8
from apportion.mt5.retcodes import Retcode

LOGINS_PER_CALL = 1_000
"""A list of logins travels in the request line."""

T = TypeVar("T")


class TradeRecord(
    msgspec.Struct,
    kw_only=True,
    rename={
        "login": "Login",
        "symbol": "Symbol",
        "action": "Action",
        "currency_digits": "DigitsCurrency",
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
    """Fields of a position and of a deal alike, as the server prints them; the properties are exact integers."""

    login: int
    symbol: str = ""
    action: int = 0
    currency_digits: int = 2
    price_sl: str = "0"
    price_tp: str = "0"
    volume: int = 0
    volume_ext: int = 0
    profit: str = "0"
    storage: str = "0"
    comment: str = ""
    reason: int = 0

    @property
    def is_trade(self) -> bool:
        return self.action in (Side.BUY, Side.SELL)

    @property
    def signed_volume_e8(self) -> int:
        """Above 0 long or bought, below 0 short or sold, 0 when it is no trade."""
        if not self.is_trade:
            return 0
        volume = volume_e8(self.volume_ext, self.volume)
        return volume if self.action == Side.BUY else -volume

    @property
    def price_sl_e8(self) -> int:
        return fixed(self.price_sl, PRICE_DIGITS)

    @property
    def price_tp_e8(self) -> int:
        return fixed(self.price_tp, PRICE_DIGITS)

    @property
    def profit_minor(self) -> int:
        """Floating of a position, closed of a deal; the amount when it is a balance operation."""
        return fixed(self.profit, self.currency_digits)

    @property
    def storage_minor(self) -> int:
        return fixed(self.storage, self.currency_digits)


async def batch(caller: Caller, command: str, selector: Mapping[str, str | int], record: type[T]) -> list[T]:
    """All records that one `*_batch` command finds; the server's "not found" is an empty list."""
    try:
        return (await caller.call(command, selector)).as_type(list[record])  # type: ignore[valid-type]
    except Refused as refused:
        if refused.retcode == Retcode.NOT_FOUND:
            return []
        raise


async def batch_of_groups(caller: Caller, command: str, groups: Sequence[str], record: type[T], **span: int) -> list[T]:
    """All records of the groups (names or masks). `span`: further parameters."""
    return await batch(caller, command, {"group": ",".join(groups), **span}, record)


async def batch_of_logins(caller: Caller, command: str, logins: Sequence[int], record: type[T], **span: int) -> list[T]:
    """All records of any number of accounts. `span`: further parameters."""
    found: list[T] = []
    for start in range(0, len(logins), LOGINS_PER_CALL):
        part = logins[start : start + LOGINS_PER_CALL]
        found += await batch(caller, command, {"login": ",".join(map(str, part)), **span}, record)
    return found
