"""What counts as the trace of something whose answer was lost, and what as proof that it was never sent."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from platform_world import CLOSE_ROW, SERVER_ID, SHARD, TRADE, WITHDRAWAL_ROW, leg_row, store
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from apportion.platform_groups.domain.orders import OrderOutcome
from apportion.platform_groups.domain.server_facts import ServerDeal, ServerPosition
from apportion.platform_groups.domain.states import DealAction, LegKind, LegState, OrderState
from apportion.platform_groups.domain.tokens import leg_token
from apportion.platform_groups.domain.transfers import LegOutcome
from apportion.platform_groups.operations.resolve_unknown import resolve_legs, resolve_orders
from apportion.platform_groups.operations.save_leg_outcomes import save_leg_outcomes
from apportion.platform_groups.storage.orders import orphan_orders, save_outcomes
from apportion.platform_groups.storage.transfers import orphan_legs
from apportion.runtime import SystemClock
from apportion.storage import transaction

LEG_ID = 5
SALT = "0f1e2d3c"
DEBIT = replace(TRADE, comment=leg_token(LEG_ID, SALT), profit_minor=-250)
"""A trade that bears the token of the leg."""
BOOKED = replace(DEBIT, action=DealAction.BALANCE, by_client=False)


class Server:
    def __init__(self) -> None:
        self.deals: list[ServerDeal] = []
        self.report_count = 0
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        """What happens while a report is made."""

    async def positions_of_logins(self, _logins: Sequence[int]) -> list[ServerPosition]:
        return []

    async def server_time_ms(self) -> int:
        return 1_000

    async def deals_of_logins(self, _logins: Sequence[int], _from_ms: int, _to_ms: int) -> list[ServerDeal]:
        self.report_count += 1
        if self.meanwhile is not None:
            await self.meanwhile()
        return self.deals


@pytest.fixture(autouse=True)
async def unknown_leg(engine: AsyncEngine) -> None:
    leg = leg_row(LEG_ID, LegKind.DEBIT, LegState.UNKNOWN)
    await store(engine, WITHDRAWAL_ROW, leg, f"UPDATE transfer_legs SET sent_time = now(), token_salt = '{SALT}'")


async def state_after_a_look(
    engine: AsyncEngine, server: Server, answer_timeout: timedelta = timedelta(seconds=60)
) -> LegState:
    now = SystemClock().now()
    await resolve_legs(engine, server, uuid.uuid4, SERVER_ID, [SHARD], answer_timeout=answer_timeout, now=now)  # type: ignore[arg-type]
    async with transaction(engine) as tx:
        return LegState((await tx.execute(text("SELECT state FROM transfer_legs"))).scalar_one())


async def test_a_trade_with_the_token_of_a_debit_does_not_pay_it(engine: AsyncEngine) -> None:
    server = Server()
    server.deals = [DEBIT]
    assert await state_after_a_look(engine, server) is LegState.UNKNOWN
    server.deals = [BOOKED, replace(DEBIT, deal_ticket=2)]
    assert await state_after_a_look(engine, server) is LegState.DONE


async def test_a_deal_of_an_earlier_life_of_the_database_books_no_leg(engine: AsyncEngine) -> None:
    """After a restore the numbers of legs come again: salt and amount tell whose deal it is."""
    server = Server()
    server.deals = [
        replace(BOOKED, comment=leg_token(LEG_ID, "aaaaaaaa")),
        replace(BOOKED, comment=leg_token(LEG_ID), profit_minor=-99),
    ]
    for _ in range(2):
        await state_after_a_look(engine, server, timedelta(0))
    assert await state_after_a_look(engine, server) is LegState.READY
    await store(
        engine, "UPDATE transfer_legs SET state = 4, absent_count = 0, sent_time = now(), next_attempt_time = now()"
    )
    server.deals.append(replace(BOOKED, comment=leg_token(LEG_ID)))
    assert await state_after_a_look(engine, server) is LegState.DONE, "a worker of the version before wrote it"


@pytest.mark.parametrize("salt", [SALT, ""])
async def test_a_deal_with_the_token_and_another_amount_is_neither_taken_nor_repeated(
    engine: AsyncEngine, salt: str
) -> None:
    """A leg of a version before has no salt."""
    await store(engine, f"UPDATE transfer_legs SET token_salt = '{salt}'")
    server = Server()
    server.deals = [replace(BOOKED, comment=leg_token(LEG_ID, salt), profit_minor=-25_000)]
    for _ in range(3):
        assert await state_after_a_look(engine, server, timedelta(0)) is LegState.UNKNOWN
        await store(engine, "UPDATE transfer_legs SET next_attempt_time = now()")
    server.deals.append(replace(server.deals[0], deal_ticket=2, profit_minor=-250))
    assert await state_after_a_look(engine, server, timedelta(0)) is LegState.DONE, "somebody looked"


async def test_a_leg_that_nobody_can_end_is_looked_for_seldom(engine: AsyncEngine) -> None:
    """Or it would stand before the others in each look, and make every report reach back to its day."""
    server = Server()
    server.deals = [replace(BOOKED, profit_minor=-25_000)]
    with capture_logs() as logs:
        for _ in range(3):
            await state_after_a_look(engine, server, timedelta(0))
    assert [entry["event"] for entry in logs] == ["leg_booked_otherwise"]
    assert server.report_count == 1


async def test_the_time_in_a_slow_queue_proves_nothing(engine: AsyncEngine) -> None:
    """Claimed a minute ago, written just now: the server may still be at it, though two reports do not show it."""
    now, server = SystemClock().now(), Server()
    claimed = text("UPDATE transfer_legs SET state = 3, epoch = 4, sent_time = :time")
    for lose in (save_lost, orphan):
        async with transaction(engine) as tx:
            await tx.execute(claimed, {"time": now - timedelta(minutes=1)})
        await lose(engine, now)
        for _ in range(3):
            assert await state_after_a_look(engine, server, timedelta(seconds=30)) is LegState.UNKNOWN
    async with transaction(engine) as tx:
        await tx.execute(text("UPDATE transfer_legs SET sent_time = :time"), {"time": now - timedelta(minutes=1)})
    await state_after_a_look(engine, server, timedelta(seconds=30))
    assert await state_after_a_look(engine, server, timedelta(seconds=30)) is LegState.READY


async def save_lost(engine: AsyncEngine, now: datetime) -> None:
    await save_leg_outcomes(engine, uuid.uuid4, [LegOutcome(LEG_ID, 4, 0, LegState.UNKNOWN, "ANSWER_LOST")], now=now)


async def orphan(engine: AsyncEngine, now: datetime) -> None:
    async with transaction(engine) as tx:
        await orphan_legs(tx, SERVER_ID, [SHARD], now)


async def test_nor_does_it_of_an_order(engine: AsyncEngine) -> None:
    now = SystemClock().now()
    await store(engine, CLOSE_ROW)
    lost = OrderOutcome(1, 4, 0, OrderState.UNKNOWN, "RESULT_LATE")
    for lose in (lambda tx: save_outcomes(tx, [lost], now), lambda tx: orphan_orders(tx, SERVER_ID, [SHARD], now)):
        async with transaction(engine) as tx:
            await tx.execute(
                text("UPDATE orders SET order_id = 1, state = 2, epoch = 4, sent_time = :time"),
                {"time": now - timedelta(minutes=1)},
            )
            await lose(tx)
            assert (await tx.execute(text("SELECT state, sent_time FROM orders"))).one() == (3, now)


@pytest.mark.parametrize("absent_count", [0, 1])
async def test_a_report_on_one_attempt_says_nothing_of_the_next(engine: AsyncEngine, absent_count: int) -> None:
    """While a slow server tells of the first attempt, another worker sends the second, whose answer is lost too."""
    now, server = SystemClock().now(), Server()
    tables = {"orders": resolve_orders, "transfer_legs": resolve_legs}
    await store(engine, CLOSE_ROW)
    async with transaction(engine) as tx:
        await tx.execute(text("UPDATE orders SET state = 3"))
        for table in tables:
            first = f"UPDATE {table} SET epoch = 4, attempt_count = 1, absent_count = :count, sent_time = :time"
            await tx.execute(text(first), {"count": absent_count, "time": now - timedelta(minutes=2)})

    for table, resolve in tables.items():

        async def send_again(table: str = table) -> None:
            async with transaction(engine) as tx:
                await tx.execute(text(f"UPDATE {table} SET attempt_count = 2, absent_count = 0, sent_time = now()"))

        server.meanwhile = send_again
        await resolve(engine, server, uuid.uuid4, SERVER_ID, [SHARD], answer_timeout=timedelta(seconds=60), now=now)  # type: ignore[arg-type]
        async with transaction(engine) as tx:
            row = (await tx.execute(text(f"SELECT state, absent_count FROM {table}"))).one()
        assert row == ({"orders": 3, "transfer_legs": 4}[table], 0)


async def test_two_reports_made_side_by_side_are_one_absence(engine: AsyncEngine) -> None:
    """A former holder of the shard may still be at it while the new one asks, too."""
    now = SystemClock().now()
    tables = {"orders": resolve_orders, "transfer_legs": resolve_legs}
    await store(engine, CLOSE_ROW)
    async with transaction(engine) as tx:
        await tx.execute(text("UPDATE orders SET state = 3"))
        for table in tables:
            sent = f"UPDATE {table} SET epoch = 4, attempt_count = 1, sent_time = :time"
            await tx.execute(text(sent), {"time": now - timedelta(minutes=2)})
    for table, resolve in tables.items():
        place = (uuid.uuid4, SERVER_ID, [SHARD])

        async def look(server: Server, resolve: Any = resolve, place: tuple[Any, ...] = place) -> None:
            await resolve(engine, server, *place, answer_timeout=timedelta(seconds=60), now=now)

        slow = Server()
        slow.meanwhile = partial(look, Server())
        await look(slow)
        async with transaction(engine) as tx:
            assert (await tx.execute(text(f"SELECT absent_count FROM {table}"))).scalar_one() == 1


async def test_an_answer_that_is_lost_late_makes_the_absences_before_it_void(engine: AsyncEngine) -> None:
    now = SystemClock().now()
    await store(engine, CLOSE_ROW)
    async with transaction(engine) as tx:
        await tx.execute(text("UPDATE orders SET order_id = 1, state = 3, epoch = 4, absent_count = 1"))
        await tx.execute(text("UPDATE transfer_legs SET epoch = 4, absent_count = 1"))
        await save_outcomes(tx, [OrderOutcome(1, 4, 0, OrderState.UNKNOWN, "RESULT_LATE")], now)
    await save_lost(engine, now)
    async with transaction(engine) as tx:
        for table in ("orders", "transfer_legs"):
            assert (await tx.execute(text(f"SELECT absent_count FROM {table}"))).scalar_one() == 0
