"""The window of deals, against a server whose summer ends: its clock goes back an hour."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

import pytest
from platform_world import SERVER_ID, TRADE
from prometheus_client import REGISTRY
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.server_facts import HOUR_MS, ServerDeal
from apportion.platform_groups.workers.deal_pump import DEEP_EVERY_SECONDS, DealPump
from apportion.platform_groups.workers.directory import Directory
from apportion.runtime.clock import FixedClock
from apportion.storage import transaction
from apportion.storage.leases import LeaseKeeper

BEFORE_MS = 1_000 * HOUR_MS
MINUTE_MS = 60_000


class Server:
    """The part of a trading server that the pump reads."""

    def __init__(self) -> None:
        self.now_ms = BEFORE_MS
        self.deals: list[ServerDeal] = []

    def trade(self, ticket: int, *, by_client: bool = True) -> None:
        self.deals.append(replace(TRADE, deal_ticket=ticket, server_time_ms=self.now_ms, by_client=by_client))

    async def server_time_ms(self) -> int:
        return self.now_ms

    async def deals_of_groups(self, _groups: Sequence[str], from_ms: int, to_ms: int) -> list[ServerDeal]:
        return [deal for deal in self.deals if from_ms <= deal.server_time_ms <= to_ms]


async def pump_of(engine: AsyncEngine, server: Server, clock: FixedClock, owner: str) -> DealPump:
    keeper = LeaseKeeper(engine, f"connector-{owner}", [str(SERVER_ID)], owner, clock=clock)
    await keeper.refresh()
    directory = Directory(engine, SERVER_ID, clock)
    lease = keeper.held[str(SERVER_ID)]
    return DealPump(engine, server, directory, lease, SERVER_ID, clock, uuid.uuid4)  # type: ignore[arg-type]


async def stored(engine: AsyncEngine) -> list[int]:
    async with transaction(engine) as tx:
        return list((await tx.execute(text("SELECT deal_ticket FROM deals ORDER BY deal_ticket"))).scalars())


async def test_deals_of_the_repeated_hour_are_read(engine: AsyncEngine, clock: FixedClock) -> None:
    server = Server()
    pump = await pump_of(engine, server, clock, "a")
    server.trade(1)
    await pump.read()
    server.now_ms += MINUTE_MS - HOUR_MS
    server.trade(2)
    await pump.read()
    assert await stored(engine) == [1, 2]


async def test_deals_of_the_repeated_hour_are_found_by_a_pump_that_could_not_read(
    engine: AsyncEngine, clock: FixedClock
) -> None:
    server = Server()
    pump = await pump_of(engine, server, clock, "a")
    server.trade(1)
    await pump.read()
    server.now_ms += MINUTE_MS - HOUR_MS
    server.trade(2)
    server.now_ms += 10 * MINUTE_MS
    clock.advance(DEEP_EVERY_SECONDS)
    await pump.read()
    assert await stored(engine) == [1, 2]


async def test_deals_of_the_repeated_hour_are_found_after_a_restart(engine: AsyncEngine, clock: FixedClock) -> None:
    server = Server()
    server.trade(1)
    await (await pump_of(engine, server, clock, "a")).read()
    server.now_ms += MINUTE_MS - HOUR_MS
    server.trade(2)
    server.now_ms += 2 * HOUR_MS
    await (await pump_of(engine, server, clock, "b")).read()
    assert await stored(engine) == [1, 2]


def owner_deals(kind: str, access: str) -> float:
    labels = {"label": "1", "trading_server": str(SERVER_ID), "kind": kind, "access": access}
    return REGISTRY.get_sample_value("apportion_platform_groups_owner_deals_total", labels) or 0.0


@pytest.mark.parametrize(
    ("kind", "name", "access", "is_shown"),
    [(2, "MASTER", 1, False), (3, "INVESTMENT", 1, True), (3, "INVESTMENT", 2, True), (2, "MASTER", 2, True)],
)
async def test_who_trades_an_account_himself_that_is_not_his_to_trade_is_shown(
    engine: AsyncEngine, clock: FixedClock, kind: int, name: str, access: int, is_shown: bool
) -> None:
    async with transaction(engine) as tx:
        row = "UPDATE accounts SET kind = :kind, access = :access, wanted_access = :access"
        await tx.execute(text(row), {"kind": kind, "access": access})
    before = owner_deals(name, {1: "FULL", 2: "READ_ONLY"}[access])
    server = Server()
    pump = await pump_of(engine, server, clock, "a")
    server.trade(1, by_client=False)
    server.trade(2)
    await pump.read()
    await pump.read()
    assert owner_deals(name, {1: "FULL", 2: "READ_ONLY"}[access]) - before == is_shown
