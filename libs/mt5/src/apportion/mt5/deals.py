"""Deals: executed trades and balance operations."""

from __future__ import annotations

from collections.abc import Sequence

from apportion.mt5.connection import Caller
from apportion.mt5.numbers import PRICE_DIGITS, fixed
from apportion.mt5.records import TradeRecord, batch, batch_of_groups, batch_of_logins

COMMAND = "deal/get_batch"


class Deal(
    TradeRecord,
    kw_only=True,
    rename={
        "deal": "Deal",
        "order": "Order",
        "entry": "Entry",
        "time_seconds": "Time",
        "time_ms": "TimeMsc",
        "price": "Price",
        "commission": "Commission",
        "position": "PositionID",
    },
):
    deal: int
    order: int = 0
    entry: int = 0
    time_seconds: int = 0
    time_ms: int = 0
    price: str = "0"
    commission: str = "0"
    position: int = 0

    @property
    def server_time_ms(self) -> int:
        return self.time_ms or self.time_seconds * 1000

    @property
    def price_e8(self) -> int:
        return fixed(self.price, PRICE_DIGITS)

    @property
    def commission_minor(self) -> int:
        return fixed(self.commission, self.currency_digits)


async def list_of_groups(caller: Caller, groups: Sequence[str], from_seconds: int, to_seconds: int) -> list[Deal]:
    """Deals of the groups (names or masks) in a span of raw server time, both ends included."""
    return await batch_of_groups(caller, COMMAND, groups, Deal, **_span(from_seconds, to_seconds))


async def list_of_logins(caller: Caller, logins: Sequence[int], from_seconds: int, to_seconds: int) -> list[Deal]:
    return await batch_of_logins(caller, COMMAND, logins, Deal, **_span(from_seconds, to_seconds))


async def list_of_tickets(caller: Caller, tickets: Sequence[int]) -> list[Deal]:
    """The deals that exist among these tickets."""
    return await batch(caller, COMMAND, {"ticket": ",".join(map(str, tickets))}, Deal)


def _span(from_seconds: int, to_seconds: int) -> dict[str, int]:
    return {"from": from_seconds, "to": to_seconds}
