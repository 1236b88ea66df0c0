"""Open positions. An incomplete report raises: absence is only what the server says in full."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from apportion.mt5.connection import Caller
from apportion.mt5.errors import ConnectionLost
from apportion.mt5.numbers import PRICE_DIGITS, fixed
from apportion.mt5.records import TradeRecord, batch_of_logins

PAGE_SIZE = 100


class Position(
    TradeRecord,
    kw_only=True,
    rename={
        "position": "Position",
        "time_seconds": "TimeCreate",
        "time_ms": "TimeCreateMsc",
        "price_open": "PriceOpen",
    },
):
    position: int
    time_seconds: int = 0
    time_ms: int = 0
    price_open: str = "0"

    @property
    def server_time_ms(self) -> int:
        return self.time_ms or self.time_seconds * 1000

    @property
    def price_open_e8(self) -> int:
        return fixed(self.price_open, PRICE_DIGITS)


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
    """All positions of any number of accounts."""
    return await batch_of_logins(caller, "position/get_batch", logins, Position)
