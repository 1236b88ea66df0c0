"""Prices: only what changed since the last call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from apportion.mt5.connection import Caller
from apportion.mt5.errors import Refused
from apportion.mt5.numbers import PRICE_DIGITS, fixed
from apportion.mt5.reply import decode
from apportion.mt5.retcodes import Retcode


class Tick(msgspec.Struct, rename="pascal"):
    symbol: str
    datetime: int = 0
    datetime_msc: int = 0
    bid: str = "0"
    ask: str = "0"

    @property
    def server_time_ms(self) -> int:
        return self.datetime_msc or self.datetime * 1000

    @property
    def bid_e8(self) -> int:
        return fixed(self.bid, PRICE_DIGITS)

    @property
    def ask_e8(self) -> int:
        return fixed(self.ask, PRICE_DIGITS)


@dataclass(frozen=True, slots=True)
class Ticks:
    """Changed prices and the mark to send with the next call."""

    trans_id: int
    ticks: list[Tick]


class _TransId(msgspec.Struct):
    trans_id: int = 0


async def last(caller: Caller, symbols: Sequence[str], trans_id: int = 0) -> Ticks:
    """Prices that changed after `trans_id`; 0 gives all. The list of symbols is limited to 4 096 characters."""
    try:
        reply = await caller.call("tick/last", {"symbol": ",".join(symbols), "trans_id": trans_id})
    except Refused as refused:
        if refused.retcode == Retcode.NOT_FOUND:
            return Ticks(trans_id, [])
        raise
    return Ticks(decode(reply.raw, _TransId).trans_id, reply.as_type(list[Tick] | None) or [])  # type: ignore[arg-type]
