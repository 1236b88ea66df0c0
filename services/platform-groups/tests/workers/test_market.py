"""Which prices opens with a slippage limit are held against."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from apportion.platform_groups.domain.orders import SentOrder
from apportion.platform_groups.domain.server_facts import ServerTick, ServerUnreachable
from apportion.platform_groups.domain.states import OrderPurpose
from apportion.platform_groups.workers.market import Market
from apportion.platform_groups.workers.server_clock import ServerClock
from apportion.runtime.clock import FixedClock

SERVER_MS = 1_000_000_000
ORDER = SentOrder(1, 7, 1001, 7, OrderPurpose.OPEN, "EURUSD", 100, 0, 0, 0, 1_000, 10, None, 1, 1)


class Server:
    """A trading server, its clock and its dealer: one symbol, whose price came at `tick_ms`."""

    def __init__(self, tick_ms: int) -> None:
        self.tick_ms = tick_ms
        self.ask_e8 = 1_000
        self.is_away = False
        self.asked = 0

    async def server_time_ms(self) -> int:
        return SERVER_MS

    async def prices(self, _symbols: Sequence[str]) -> dict[str, ServerTick]:
        self.asked += 1
        if self.is_away:
            raise ServerUnreachable("away")
        return {"EURUSD": ServerTick("EURUSD", self.ask_e8 - 2, self.ask_e8, self.tick_ms)}


def market_of(server: Server, clock: FixedClock) -> Market:
    server_clock = ServerClock(server, clock)  # type: ignore[arg-type]
    return Market(server, server_clock, clock, {"EURUSD"}, price_age_seconds=60.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("later_ms", "reason"),
    [(900, ""), (0, ""), (-60_000, ""), (-60_001, "NO_PRICE"), (-SERVER_MS, "NO_PRICE")],
)
async def test_a_price_that_the_server_got_long_ago_is_none(clock: FixedClock, later_ms: int, reason: str) -> None:
    assert await market_of(Server(SERVER_MS + later_ms), clock).refusal(ORDER) == reason


async def test_a_feed_that_stands_still_stops_passing(clock: FixedClock) -> None:
    server = Server(SERVER_MS)
    market = market_of(server, clock)
    assert await market.refusal(ORDER) == ""
    clock.advance(61)
    assert await market.refusal(ORDER) == "NO_PRICE", "fresh as an answer, old as a price"
    server.tick_ms += 61_000
    clock.advance(1)
    assert await market.refusal(ORDER) == ""


async def test_prices_are_asked_for_again_when_they_grow_old(clock: FixedClock) -> None:
    server = Server(SERVER_MS)
    market = market_of(server, clock)
    assert [await market.refusal(ORDER) for _ in range(2)] == ["", ""]
    assert server.asked == 1
    server.ask_e8 = 1_011
    clock.advance(0.5)
    assert market.is_old
    assert await market.refusal(ORDER) == "SLIPPAGE"
    server.is_away = True
    clock.advance(0.5)
    assert await market.refusal(ORDER) == "NO_PRICE"
