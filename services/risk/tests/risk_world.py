"""Snapshots, deals and stubs of the two services that risk asks."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import DomainError, NotFound
from apportion.risk.domain.books import Deals
from apportion.risk.domain.limits import Alarm, Basis, DailyLimit, MasterAccount
from apportion.risk.domain.snapshots import Snapshot, SnapshotSource
from apportion.risk.domain.trips import Close, Price, Trip
from apportion.risk.domain.watch import Doubts, Watch
from apportion.risk.operations.evaluate_snapshot import Look, Outcome, evaluate_snapshot
from apportion.risk.operations.ports import ClosingReport
from apportion.risk.operations.record_deals import ObservedDeals, record_deals
from apportion.risk.operations.set_daily_limit import SetDailyLimit, set_daily_limit
from apportion.risk.storage.limits import load_limit, load_limits_of_server
from apportion.risk.storage.trips import load_trip
from apportion.risk.wire import trip_changed_payload
from apportion.runtime import FixedClock
from apportion.storage import RequestKey, transaction

LABEL, MASTER, ACCOUNT, SERVER = 1, 3, 43, 1
NOW = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
DAY = 20_458  # 5 January 2026
DAY_MS = 86_400_000
NOON_MS = DAY * DAY_MS + DAY_MS // 2
PERCENT = 100_000_000
DOUBTS = Doubts(unexplained_ms=5_000, confirm_ms=5_000, jump_percent_e8=50 * PERCENT)
SETTLE_MS = 2_000
PRICES = (Price("EURUSD", 108_000_000, 108_010_000, NOON_MS),)


def columns(*values: int) -> Any:
    return np.array(values, dtype=np.int64)


def deals_of(*rows: tuple[int, int, int, int, int]) -> Deals:
    """Rows of (ticket, balance, credit, flow, server time)."""
    return Deals(*(columns(*column) for column in zip(*rows, strict=True))) if rows else Deals(*[columns()] * 5)


def snapshot_of(
    equity: int,
    balance: int,
    *,
    time_ms: int,
    observed: datetime,
    credit: int = 0,
    account: int = ACCOUNT,
    source: SnapshotSource = SnapshotSource.WEATHER,
) -> Snapshot:
    return Snapshot(source, observed, time_ms, columns(account), columns(balance), columns(credit), columns(equity))


@dataclass
class StubMasters:
    """allocation. `fail` is asked before each step, `crash` after it."""

    fail: Callable[[str], None] = lambda step: None
    crash: Callable[[str], None] = lambda step: None
    steps: list[str] = field(default_factory=list)
    requests: dict[uuid.UUID, str] = field(default_factory=dict)
    causes: set[str] = field(default_factory=set)

    async def master_account(self, label: int, master_id: int) -> MasterAccount:
        if label != LABEL or master_id > 100:
            raise NotFound("master", master_id)
        return MasterAccount(master_id, 40 + master_id, SERVER, "USD")

    async def halt(self, label: int, master_id: int, cause: str, request_id: uuid.UUID) -> None:
        self._do("halt", request_id)
        self.causes.add(cause)
        self.crash("halt")

    async def resume(self, label: int, master_id: int, cause: str, request_id: uuid.UUID) -> None:
        self._do("resume", request_id)
        self.causes.discard(cause)
        self.crash("resume")

    def _do(self, step: str, request_id: uuid.UUID) -> None:
        self.fail(step)
        self.steps.append(step)
        assert self.requests.setdefault(request_id, step) == step


@dataclass
class StubAccounts:
    """platform-groups with one account that has positions. A closing is flat when somebody looks the second time."""

    clock: FixedClock
    fail: Callable[[str], None] = lambda step: None
    crash: Callable[[str], None] = lambda step: None
    steps: list[str] = field(default_factory=list)
    closings: dict[uuid.UUID, int] = field(default_factory=dict)
    looks: dict[int, int] = field(default_factory=dict)
    positions: int = 2
    late_positions: int = 0
    read_only: bool = False
    equity_minor: int | None = 8_800
    listed_account: int = ACCOUNT

    async def close_all(self, label: int, account_id: int, cause: str, request_id: uuid.UUID) -> int:
        self._do("close")
        closing_id = self.closings.setdefault(request_id, 500 + len(self.closings))
        self.crash("close")
        return closing_id

    async def closing(self, label: int, closing_id: int) -> ClosingReport:
        self._do("closing")
        self.looks[closing_id] = self.looks.get(closing_id, 0) + 1
        if self.looks[closing_id] < 2:
            return ClosingReport(None, (), "")
        closes = tuple(Close(closing_id * 10 + number, PERCENT, 5, NOON_MS) for number in range(self.positions))
        self.positions, self.late_positions = self.late_positions, 0
        self.crash("closing")
        return ClosingReport(self.clock.now(), closes, "")

    async def has_positions(self, label: int, account_id: int) -> bool:
        self._do("positions")
        return self.positions > 0

    async def set_read_only(
        self, label: int, account_id: int, read_only: bool, cause: str, request_id: uuid.UUID
    ) -> None:
        step = "read-only" if read_only else "open"
        self._do(step)
        self.read_only = read_only
        self.crash(step)

    async def newest(self, label: int, trading_server_id: int) -> Snapshot | None:
        self._do("equity")
        if self.equity_minor is None:
            return None
        return snapshot_of(
            self.equity_minor,
            self.equity_minor,
            time_ms=NOON_MS,
            observed=self.clock.now(),
            account=self.listed_account,
        )

    def _do(self, step: str) -> None:
        self.fail(step)
        self.steps.append(step)


@dataclass
class StubStates:
    """A source of account states: `known` is what it has, `failure` what its call raises."""

    known: Snapshot | None = None
    failure: DomainError | None = None
    calls: list[tuple[int, int]] = field(default_factory=list)

    async def newest(self, label: int, trading_server_id: int) -> Snapshot | None:
        self.calls.append((label, trading_server_id))
        if self.failure is not None:
            raise self.failure
        return self.known


class Observer:
    """A worker that watches server 1: feeds it snapshots, and reads its limits again as the real one does."""

    def __init__(self, engine: AsyncEngine, lease: Any, clock: FixedClock) -> None:
        self.engine, self.lease, self.clock = engine, lease, clock
        self.watch = Watch([])
        self.time_ms = NOON_MS

    async def look(
        self,
        equity: int,
        balance: int = 10_000,
        *,
        credit: int = 0,
        age_seconds: float = 0,
        account: int = ACCOUNT,
        doubt: Alarm = Alarm.NONE,
    ) -> Outcome:
        """A new snapshot, one second after the last."""
        self.clock.advance(1)
        self.time_ms += 1_000
        self.snapshot = snapshot_of(
            equity,
            balance,
            credit=credit,
            time_ms=self.time_ms,
            observed=self.clock.now(),
            account=account,
        )
        return await self.again(age_seconds=age_seconds, doubt=doubt)

    async def again(self, *, age_seconds: float = 0, doubt: Alarm = Alarm.NONE) -> Outcome:
        """The same snapshot, judged once more."""
        async with transaction(self.engine) as tx:
            before, self.watch = self.watch, Watch(await load_limits_of_server(tx, SERVER))
        self.watch.remember(before)
        look = Look(
            snapshot=self.snapshot,
            prices=lambda: PRICES,
            settle_ms=SETTLE_MS,
            doubt=Alarm.STATE_STALE if age_seconds > 5 else doubt,
            now=self.clock.now(),
            now_ms=int(self.clock.monotonic() * 1_000),
        )
        return await evaluate_snapshot(self.engine, self.lease, self.watch, look, DOUBTS, trip_changed_payload)


async def set_limit(engine: AsyncEngine, percent: int = 10, master_id: int = MASTER, **fields: Any) -> DailyLimit:
    command = SetDailyLimit(
        key=RequestKey(LABEL, "SetDailyLimit", str(uuid.uuid4()), b""),
        master_id=master_id,
        limit_percent_e8=percent * PERCENT,
        basis=Basis.EQUITY_AT_DAY_START,
        etag=fields.pop("etag", ""),
    )
    return await set_daily_limit(engine, StubMasters(), command, now=NOW)


async def limit_of(engine: AsyncEngine, master_id: int = MASTER) -> DailyLimit:
    async with transaction(engine) as tx:
        limit = await load_limit(tx, LABEL, master_id)
    assert limit is not None
    return limit


async def trip_of(engine: AsyncEngine, trip_id: int = 1) -> Trip:
    async with transaction(engine) as tx:
        trip = await load_trip(tx, trip_id)
    assert trip is not None
    return trip


async def deal(
    engine: AsyncEngine, ticket: int, amount: int, time_ms: int, *, flow: bool = True, credit: bool = False
) -> int:
    """A deal of account 43 arrives."""
    row = (ticket, 0 if credit else amount, amount if credit else 0, amount if flow else 0, time_ms)
    async with transaction(engine) as tx:
        return await record_deals(tx, LABEL, ObservedDeals(columns(ACCOUNT), deals_of(row)))


async def rows_of(engine: AsyncEngine, query: str) -> list[tuple[Any, ...]]:
    async with transaction(engine) as tx:
        return [tuple(row) for row in await tx.execute(text(query))]
