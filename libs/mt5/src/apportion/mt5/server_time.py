"""The trading server's clock: seconds since 1970 in its own civil time, not UTC."""

from __future__ import annotations

import msgspec

from apportion.mt5.connection import Caller


class _Time(msgspec.Struct, rename="pascal"):
    time: str


async def now_seconds(caller: Caller) -> int:
    """Raw server time."""
    return int((await caller.call("time/server")).as_type(_Time).time.split(" ", 1)[0])
