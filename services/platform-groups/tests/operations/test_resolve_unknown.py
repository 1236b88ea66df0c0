"""What counts as the trace of a leg whose answer was lost."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.app import SCHEMA
from apportion.platform_groups.domain.server_facts import ServerDeal
from apportion.platform_groups.domain.states import DealAction, DealEntry, LegState
from apportion.platform_groups.domain.tokens import leg_token
from apportion.platform_groups.operations.resolve_unknown import resolve_legs
from apportion.runtime import SystemClock
from apportion.storage import create_engine, transaction
from apportion.testing.plugin import MakeDatabase

LOGIN, LEG_ID, SHARD = 1001, 5, 7
TRANSFER = """INSERT INTO transfers (transfer_id, label, source, item_id, source_id, ordering_key, debit_account_id,
        credit_account_id, currency_code, amount_minor, state, cause, create_time)
    VALUES (1, 1, 'fees', 1, 'fees/1', 1, 7, 0, 'USD', 250, 1, 'test', now())"""
UNKNOWN_LEG = f"""INSERT INTO transfer_legs (leg_id, transfer_id, kind, trading_server_id, shard, account_id, login,
        amount_minor, currency_digits, state, sent_time, next_attempt_time, update_time)
    VALUES ({LEG_ID}, 1, 1, 1, {SHARD}, 7, {LOGIN}, -250, 2, 4, now(), now(), now())"""
TRADE = ServerDeal(
    deal_ticket=1,
    login=LOGIN,
    order_ticket=1,
    position_ticket=1,
    action=DealAction.TRADE,
    entry=DealEntry.IN,
    symbol="EURUSD",
    volume_e8=1_000_000,
    price_e8=110_000_000,
    profit_minor=0,
    swap_minor=0,
    commission_minor=0,
    server_time_ms=0,
    reason=0,
    stop_loss_e8=0,
    take_profit_e8=0,
    comment=leg_token(LEG_ID),
    by_client=True,
)


class Server:
    def __init__(self) -> None:
        self.deals: list[ServerDeal] = []

    async def server_time_ms(self) -> int:
        return 1_000

    async def deals_of_logins(self, _logins: Sequence[int], _from_ms: int, _to_ms: int) -> list[ServerDeal]:
        return self.deals


@pytest.fixture
async def engine(make_database: MakeDatabase) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(await make_database(SCHEMA))
    async with transaction(engine) as tx:
        await tx.execute(text(TRANSFER))
        await tx.execute(text(UNKNOWN_LEG))
    yield engine
    await engine.dispose()


async def state_after_a_look(engine: AsyncEngine, server: Server) -> LegState:
    seconds = timedelta(seconds=60)
    now = SystemClock().now()
    await resolve_legs(engine, server, uuid.uuid4, 1, [SHARD], answer_timeout=seconds, now=now)  # type: ignore[arg-type]
    async with transaction(engine) as tx:
        return LegState((await tx.execute(text("SELECT state FROM transfer_legs"))).scalar_one())


async def test_a_trade_with_the_token_of_a_debit_does_not_pay_it(engine: AsyncEngine) -> None:
    server = Server()
    server.deals = [TRADE]
    assert await state_after_a_look(engine, server) is LegState.UNKNOWN
    server.deals = [replace(TRADE, action=DealAction.BALANCE, by_client=False), replace(TRADE, deal_ticket=2)]
    assert await state_after_a_look(engine, server) is LegState.DONE
