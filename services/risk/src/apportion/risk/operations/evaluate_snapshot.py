"""Judge all limits of a trading server by one snapshot of its accounts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.risk.domain.books import Deals, Explanation, explain, first_ticket, unexplained_rest
from apportion.risk.domain.limits import Alarm, NewDayStart
from apportion.risk.domain.snapshots import Snapshot
from apportion.risk.domain.trips import Price, Trip
from apportion.risk.domain.watch import Doubts, View, Watch
from apportion.risk.operations.ports import TripPayload
from apportion.risk.operations.trip_limit import trip_limit
from apportion.risk.storage.deals import NONE, load_deals
from apportion.risk.storage.limits import note_observations, start_days
from apportion.storage import transaction
from apportion.storage.leases import Lease, check_fence

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a server: the snapshot, what to ask for the prices of its time (a trip keeps them), and the clocks.

    `settle_ms` is how far, on the server's clock, a deal and a snapshot may be apart and still have met in either
    order.
    """

    snapshot: Snapshot
    prices: Callable[[], Sequence[Price]]
    settle_ms: int
    doubt: Alarm
    now: datetime
    now_ms: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the look led to; `is_changed` when limits in the database changed, and the watch has to be read again."""

    trips: tuple[Trip, ...]
    is_changed: bool


async def evaluate_snapshot(
    engine: AsyncEngine, lease: Lease, watch: Watch, look: Look, doubts: Doubts, payload: TripPayload
) -> Outcome:
    """Explains moved balances, trips what is breached, starts new days, and shows flows and alarms.

    The books are read only for accounts whose balance moved, so a quiet look costs no question to the database.
    """
    view = watch.view(look.snapshot)
    due, unclear = watch.without_day_start(view), watch.to_explain(view)
    books: Mapping[int, Deals] = {}
    if due.any() or unclear.any():
        async with transaction(engine) as tx:
            server = watch.limits[0].trading_server_id
            books = await load_deals(tx, server, watch.account_ids[due | unclear])
    for row in np.flatnonzero(unclear).tolist():
        _explain_row(watch, view, row, books.get(int(watch.account_ids[row]), NONE), look, doubts)
    rows = watch.judge(view, doubt=look.doubt, now_ms=look.now_ms, doubts=doubts).tolist()
    trips = [await _trip_row(engine, lease, watch, view, row, look, payload) for row in rows]
    started = await _start_days(engine, lease, watch, view, np.flatnonzero(due).tolist(), books, look)
    noted = await _note(engine, lease, watch, {*rows, *np.flatnonzero(due).tolist()}, look.now)
    return Outcome(tuple(trip for trip in trips if trip is not None), bool(rows or started or noted))


def _explain_row(watch: Watch, view: View, row: int, deals: Deals, look: Look, doubts: Doubts) -> None:
    explanation = _explanation(watch, view, row, deals, look)
    if explanation is None:
        start = watch.day_start(row)
        balance_minor, credit_minor = int(view.balances_minor[row]), int(view.credits_minor[row])
        known = unexplained_rest(start, deals, balance_minor=balance_minor, credit_minor=credit_minor)
        watch.unexplained(row, known, look.now_ms, doubts)
    else:
        watch.explained(row, view, explanation.flow_minor)


def _explanation(watch: Watch, view: View, row: int, deals: Deals, look: Look) -> Explanation | None:
    return explain(
        watch.day_start(row),
        deals,
        balance_minor=int(view.balances_minor[row]),
        credit_minor=int(view.credits_minor[row]),
        server_time_ms=look.snapshot.server_time_ms,
        settle_ms=look.settle_ms,
    )


async def _trip_row(
    engine: AsyncEngine, lease: Lease, watch: Watch, view: View, row: int, look: Look, payload: TripPayload
) -> Trip | None:
    evidence = watch.evidence(row, view, look.now)
    trip = await trip_limit(engine, lease, watch.limits[row], evidence, look.prices(), payload, now=look.now)
    if trip is not None:
        log.error(
            "limit_tripped",
            label=trip.label,
            master_id=trip.master_id,
            trip_id=trip.trip_id,
            equity_minor=evidence.equity_minor,
            signal_equity_minor=evidence.signal_equity_minor,
            alarm=evidence.alarm.value,
        )
    return trip


async def _start_days(
    engine: AsyncEngine,
    lease: Lease,
    watch: Watch,
    view: View,
    rows: Sequence[int],
    books: Mapping[int, Deals],
    look: Look,
) -> int:
    if not rows:
        return 0
    starts = []
    for row in rows:
        deals = books.get(int(watch.account_ids[row]), NONE)
        starts.append(
            NewDayStart(
                limit=watch.limits[row],
                equity_minor=int(view.equities_minor[row]),
                balance_minor=int(view.balances_minor[row]),
                credit_minor=int(view.credits_minor[row]),
                ticket=_day_start_ticket(watch, view, row, deals, look),
            )
        )
    async with transaction(engine) as tx:
        await check_fence(tx, lease)
        time_ms = look.snapshot.server_time_ms
        count = await start_days(tx, starts, server_day=view.server_day, server_time_ms=time_ms, now=look.now)
    log.info("days_started", trading_server_id=watch.limits[0].trading_server_id, limit_count=count)
    return count


def _day_start_ticket(watch: Watch, view: View, row: int, deals: Deals, look: Look) -> int:
    """The last deal inside the new day start: known when yesterday's books lead to its balance, else by its time."""
    limit = watch.limits[row]
    if limit.day_start_time_ms:
        explanation = _explanation(watch, view, row, deals, look)
        if explanation is not None:
            return explanation.ticket
    return max(limit.day_start_ticket, first_ticket(deals, look.snapshot.server_time_ms, look.settle_ms))


async def _note(engine: AsyncEngine, lease: Lease, watch: Watch, skipped: set[int], now: datetime) -> int:
    noted = []
    for row, limit in enumerate(watch.limits):
        shown: tuple[int, Alarm] = (int(watch.flows_minor[row]), watch.alarms[row])
        if watch.armed[row] and row not in skipped and shown != (limit.day_flow_minor, limit.alarm):
            noted.append((limit, *shown))
            if shown[1] is not limit.alarm:
                log.warning(
                    "limit_alarm", label=limit.label, master_id=limit.master_id, alarm=shown[1].value or "cleared"
                )
    if noted:
        async with transaction(engine) as tx:
            await check_fence(tx, lease)
            await note_observations(tx, noted, now)
    return len(noted)
