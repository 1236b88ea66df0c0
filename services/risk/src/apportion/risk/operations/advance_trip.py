"""Take a trip one step further. Any step may be repeated by anybody, at any time, with the same effect.

Each step asks others with request ids made from the trip and the step, then commits what it learnt. A crash between
the two repeats the question, and the answer is the stored one. A failed step is tried again for ever, ever more
slowly, and the trip shows the count and the error.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import DomainError, StaleEpoch
from apportion.risk.domain.trips import Close, Trip, TripState
from apportion.risk.operations.ports import Accounts, AccountStatesSource, Masters, TripPayload
from apportion.risk.operations.trip_limit import publish_trip
from apportion.risk.storage.limits import show_trip
from apportion.risk.storage.trips import load_trip, save_closes, save_progress
from apportion.runtime import Clock
from apportion.storage import storable, transaction
from apportion.storage.leases import Lease, check_fence

log = structlog.get_logger()

POLL_SECONDS = 0.25
CLOSED_POLL_SECONDS = 15.0
FIRST_RETRY_SECONDS = 0.5
LONGEST_RETRY_SECONDS = 30.0
MAX_DOUBLINGS = 10
ERROR_LENGTH = 500


@dataclass(frozen=True, slots=True)
class TripWork:
    """What every step needs."""

    engine: AsyncEngine
    masters: Masters
    accounts: Accounts
    states: AccountStatesSource
    payload: TripPayload
    clock: Clock


@dataclass(frozen=True, slots=True)
class Step:
    """The trip after a step, and the positions that its closing round closed."""

    trip: Trip
    closes: tuple[Close, ...] = ()


async def advance_trip(work: TripWork, lease: Lease, trip: Trip, server_day: int | None) -> Trip:
    """One step; the trip afterwards, with the time of its next one. `server_day` is None while unknown.

    Raises StaleEpoch when another worker has this server by now, and what the database raises. A bug is a failed step
    like any other, be it in the step or in writing down what it learnt: the trip must show it, and not run hot.
    """
    try:
        step = await STEPS[trip.state](work, trip, server_day)
    except Exception as error:
        step = _fail(work, trip, error)
    try:
        await _save(work, lease, trip, step)
    except DomainError:
        raise
    except Exception as error:
        step = _fail(work, trip, error)
        await _save(work, lease, trip, step)
    return step.trip


async def _begin_closing(work: TripWork, trip: Trip, _server_day: int | None) -> Step:
    """The closing must not wait for the latch: if allocation cannot be reached, it is latched later."""
    is_halted, error = await _halt(work, trip)
    closing_id = await work.accounts.close_all(trip.label, trip.account_id, trip.cause, trip.request_id("close/1"))
    following = replace(trip, state=TripState.CLOSING, is_halted=is_halted, closing_id=closing_id, closing_round=1)
    return Step(_progressed(following, work.clock.now(), error))


async def _finish_closing(work: TripWork, trip: Trip, _server_day: int | None) -> Step:
    is_halted, error = await _halt(work, trip)
    trip = replace(trip, is_halted=is_halted)
    report = await work.accounts.closing(trip.label, trip.closing_id)
    if report.flat_time is None:
        return Step(_waiting(trip, work.clock.now(), POLL_SECONDS, report.last_error or error))
    await work.accounts.set_read_only(
        trip.label, trip.account_id, True, trip.cause, trip.request_id(f"read-only/{trip.closing_round}")
    )
    if await work.accounts.has_positions(trip.label, trip.account_id):
        return Step(await _close_again(work, trip, error), report.closes)
    achieved_minor, why_none = await _equity_since(work, trip, report.flat_time)
    if achieved_minor is None or not is_halted:
        return Step(_waiting(trip, work.clock.now(), POLL_SECONDS, error or why_none))
    following = replace(trip, state=TripState.CLOSED, flat_time=report.flat_time, achieved_equity_minor=achieved_minor)
    return Step(_progressed(following, work.clock.now(), ""), report.closes)


async def _equity_since(work: TripWork, trip: Trip, since: datetime) -> tuple[int | None, str]:
    """None until there is one that was read at `since` or later, and why not when waiting alone will not bring it."""
    snapshot = await work.states.newest(trip.label, trip.trading_server_id)
    if snapshot is None:
        return None, f"no account states of trading server {trip.trading_server_id}"
    if snapshot.observed_time < since:
        return None, ""
    equity_minor = snapshot.equity_minor(trip.account_id)
    missing = f"account {trip.account_id} is not among the account states of trading server {trip.trading_server_id}"
    return equity_minor, missing if equity_minor is None else ""


async def _close_again(work: TripWork, trip: Trip, error: str) -> Trip:
    """Something was opened before the account became read-only, or after: by a pending order, by a dealer."""
    closing_round = trip.closing_round + 1
    request_id = trip.request_id(f"close/{closing_round}")
    closing_id = await work.accounts.close_all(trip.label, trip.account_id, trip.cause, request_id)
    following = replace(trip, state=TripState.CLOSING, closing_id=closing_id, closing_round=closing_round)
    return _progressed(following, work.clock.now(), error)


async def _rearm(work: TripWork, trip: Trip, server_day: int | None) -> Step:
    """Until then the account is kept flat."""
    if server_day is None or server_day <= trip.evidence.server_day:
        if await _is_open_again(work, trip):
            log.warning("trip_opened_after_all", trip_id=trip.trip_id, account_id=trip.account_id)
            return Step(await _close_again(work, trip, ""))
        return Step(_waiting(trip, work.clock.now(), CLOSED_POLL_SECONDS, ""))
    await work.accounts.set_read_only(trip.label, trip.account_id, False, trip.cause, trip.request_id("open"))
    await work.masters.resume(trip.label, trip.master_id, trip.cause, trip.request_id("resume"))
    now = work.clock.now()
    return Step(_progressed(replace(trip, state=TripState.REARMED, rearm_time=now), now, ""))


async def _is_open_again(work: TripWork, trip: Trip) -> bool:
    """A server that does not answer is asked again later: the trip itself has done all it had to."""
    try:
        return await work.accounts.has_positions(trip.label, trip.account_id)
    except DomainError as error:
        log.warning("trip_account_unseen", trip_id=trip.trip_id, account_id=trip.account_id, cause=str(error))
        return False


STEPS: Mapping[TripState, Callable[[TripWork, Trip, int | None], Awaitable[Step]]] = {
    TripState.TRIPPED: _begin_closing,
    TripState.CLOSING: _finish_closing,
    TripState.CLOSED: _rearm,
}


async def _halt(work: TripWork, trip: Trip) -> tuple[bool, str]:
    """Whether the master is latched now, and why not."""
    if not trip.is_halted:
        try:
            await work.masters.halt(trip.label, trip.master_id, trip.cause, trip.request_id("halt"))
        except Exception as error:
            cause = _cause(error)
            log.error("trip_halt_failed", trip_id=trip.trip_id, error=cause)
            return False, cause
    return True, ""


def _progressed(trip: Trip, now: datetime, error: str) -> Trip:
    """Something was reached: go on at once."""
    return replace(
        trip,
        attempt_count=trip.attempt_count + 1,
        failure_count=1 if error else 0,
        last_error=error,
        next_attempt_time=now if trip.state is not TripState.CLOSED else now + timedelta(seconds=POLL_SECONDS),
    )


def _waiting(trip: Trip, now: datetime, seconds: float, error: str) -> Trip:
    """Nothing to do but look again."""
    return replace(
        trip,
        failure_count=1 if error else 0,
        last_error=error,
        next_attempt_time=now + timedelta(seconds=seconds),
    )


def _fail(work: TripWork, trip: Trip, error: Exception) -> Step:
    """The step to be tried again, later each time."""
    cause = _cause(error)
    log.error(
        "trip_step_failed",
        trip_id=trip.trip_id,
        state=trip.state.name,
        attempt=trip.attempt_count + 1,
        error=cause,
        exc_info=None if isinstance(error, DomainError) else error,
    )
    return Step(_failed(trip, cause, work.clock.now()))


def _cause(error: Exception) -> str:
    """As the trip shows it."""
    is_bug = not isinstance(error, DomainError)
    return storable(f"{type(error).__name__}: {error}" if is_bug else str(error), ERROR_LENGTH)


def _failed(trip: Trip, error: str, now: datetime) -> Trip:
    seconds = min(FIRST_RETRY_SECONDS * 2 ** min(trip.failure_count, MAX_DOUBLINGS), LONGEST_RETRY_SECONDS)
    return replace(
        trip,
        attempt_count=trip.attempt_count + 1,
        failure_count=trip.failure_count + 1,
        last_error=error,
        next_attempt_time=now + timedelta(seconds=seconds),
    )


async def _save(work: TripWork, lease: Lease, before: Trip, step: Step) -> None:
    """Commits a step, unless another worker took the same one first."""
    trip, now = step.trip, work.clock.now()
    async with transaction(work.engine) as tx:
        await check_fence(tx, lease)
        current = await load_trip(tx, trip.trip_id, for_update=True)
        if current is None or (current.state, current.closing_round) != (before.state, before.closing_round):
            raise StaleEpoch("the trip was advanced by another worker", trip_id=trip.trip_id)
        await save_progress(tx, trip)
        if step.closes:
            await save_closes(tx, trip.trip_id, before.closing_round, step.closes)
        if trip.state is not before.state:
            await show_trip(tx, trip, now)
            await publish_trip(tx, trip, work.payload, now)
            log.info("trip_advanced", trip_id=trip.trip_id, state=trip.state.name)
