"""The allocation service with masters of many subscriptions each; other services are stand-ins at its ports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.bench.kernel import CHILDREN, STEP_E8, VOLUME_E8, equities

from apportion.allocation.domain.accounts import AccountStates
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.masters import DEFAULT_ARTIFICIAL_SYMBOL, Master
from apportion.allocation.domain.methods import AccountType, AllocationMethod, AllocationMode, RoundingPolicy
from apportion.allocation.domain.retries import NO_RETRIES
from apportion.allocation.domain.symbols import SymbolSpec
from apportion.allocation.operations.desk import Desk, Limits
from apportion.allocation.storage.masters import insert_master, load_master
from apportion.api.platform_groups.v1 import events_pb2
from apportion.events import Head, ReceivedEvent
from apportion.money import E8
from apportion.rpc import set_column, to_timestamp
from apportion.runtime import SystemClock
from apportion.storage import transaction

LABEL = 1
TRADING_SERVER = 7
PACKAGE = "apportion.allocation.storage"
SYMBOL = "EURUSD"
GRID = SymbolGrid(STEP_E8, STEP_E8, 100 * E8)
SPEC = SymbolSpec(SYMBOL, GRID, 5, 100_000, "EUR", "USD", "EUR")
FIRST_FOLLOWER = 10_000
CLOCK = SystemClock()

SUBSCRIBE = text(
    """
    INSERT INTO subscriptions (label, master_id, account_id, account_login, wallet_account_id, active, ratio_e8,
                               lot_e8, percent_e8, version, create_time)
    SELECT :label, :master_id, :first + n, :first + n, 1, true, 100000000, 0, 0, 1, now()
    FROM generate_series(0, :count - 1) AS n
    """
)


class Symbols:
    async def spec(self, label: int, trading_server_id: int, symbol: str) -> SymbolSpec:
        return SPEC

    def spec_at_hand(self, label: int, trading_server_id: int, symbol: str) -> SymbolSpec:
        return SPEC

    def at_hand(self, label: int, trading_server_id: int) -> dict[str, SymbolSpec]:
        return {SPEC.name: SPEC}


class Rates:
    async def conversion_e8(self, label: int, trading_server_id: int, source: str, target: str) -> int:
        return E8


@dataclass
class States:
    """Everybody's equity, always fresh."""

    account_ids: np.ndarray
    equities_minor: np.ndarray

    async def ask(self, label: int, trading_server_id: int) -> None:
        """Nobody knows anything newer."""

    async def newest(self, trading_server_id: int) -> AccountStates:
        nothing = np.zeros_like(self.equities_minor)
        return AccountStates(
            CLOCK.now(),
            self.account_ids,
            balances_minor=self.equities_minor,
            equities_minor=self.equities_minor,
            margins_minor=nothing,
            free_margins_minor=self.equities_minor,
            leverages=nothing,
        )


class NothingMissed:
    """The replay port of an owner that has no older events."""

    async def events(
        self, label: int, aggregate_type: str, aggregate_id: str, from_sequence: int
    ) -> list[ReceivedEvent]:
        return []

    async def heads(self, aggregate_type: str, partition: int) -> AsyncIterator[list[Head]]:
        nothing: list[list[Head]] = []
        for page in nothing:
            yield page


def new_desk(masters: int, followers: int = CHILDREN) -> Desk:
    """Knows the followers of so many masters."""
    account_ids = np.arange(FIRST_FOLLOWER, FIRST_FOLLOWER + masters * followers, dtype=np.int64)
    states = States(account_ids, np.tile(equities(followers), masters))
    return Desk(
        Symbols(),
        states,
        Rates(),
        Limits(stale_seconds=10, states_seconds=0, open_seconds=600, deal_seconds=600, retries=NO_RETRIES),
    )


async def open_masters(engine: AsyncEngine, count: int, followers: int = CHILDREN) -> list[Master]:
    """Masters that divide by equity, each in a partition of its own, each with so many followers of its own."""
    masters = []
    async with transaction(engine) as tx:
        for number in range(count):
            master_id = await insert_master(tx, _master(number, followers))
            first = FIRST_FOLLOWER + number * followers
            await tx.execute(SUBSCRIBE, {"label": LABEL, "master_id": master_id, "first": first, "count": followers})
            masters.append(await load_master(tx, LABEL, master_id))
    return masters


def _master(number: int, followers: int) -> Master:
    return Master(
        master_id=0,
        label=LABEL,
        name=f"Master {number}",
        account_type=AccountType.MAM,
        account_id=number + 1,
        account_login=number + 1,
        trading_server_id=TRADING_SERVER,
        wallet_account_id=1,
        currency_code="USD",
        currency_digits=2,
        method=AllocationMethod.DIVIDE_BY_EQUITY,
        rounding=RoundingPolicy.LARGEST_REMAINDER,
        listed_on_leaderboard=False,
        min_follower_equity_minor=0,
        halt_causes=(),
        halt_epoch=0,
        set_version=1,
        version=1,
        active_subscription_count=followers,
        create_time=datetime.now(UTC),
        allocation_mode=AllocationMode.TRADES,
        artificial_symbol=DEFAULT_ARTIFICIAL_SYMBOL,
        residual_rule=RoundingPolicy.NEAREST_LARGEST,
    )


def deal_observed(account_id: int, ticket: int) -> bytes:
    """DealsObserved: a master bought `VOLUME_E8`."""
    message = events_pb2.DealsObserved(
        trading_server_id=TRADING_SERVER, observed_time=to_timestamp(CLOCK.now()), symbols=["", SYMBOL]
    )
    columns = {
        "deal_tickets": ticket,
        "account_ids": account_id,
        "order_tickets": 0,
        "position_tickets": ticket,
        "actions": events_pb2.DEAL_ACTION_TRADE,
        "entries": events_pb2.DEAL_ENTRY_IN,
        "symbol_indexes": 1,
        "volumes_e8": VOLUME_E8,
        "prices_e8": E8,
        "profits_minor": 0,
        "swaps_minor": 0,
        "commissions_minor": 0,
        "server_times_ms": 1_700_000_000_000,
        "order_ids": 0,
        "transfer_ids": 0,
        "reasons": 0,
    }
    for name, value in columns.items():
        set_column(message, name, [value])
    return message.SerializeToString()
