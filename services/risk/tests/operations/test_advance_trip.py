from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from risk_world import DAY, MASTER, NOON_MS, Observer, limit_of, rows_of, set_limit, trip_of

from apportion.errors import DomainError, StaleEpoch, UpstreamUnavailable
from apportion.risk.domain.limits import LimitState
from apportion.risk.domain.trips import TripState
from apportion.risk.errors import LimitLatched
from apportion.risk.operations.advance_trip import advance_trip
from apportion.storage.leases import Lease


@pytest.fixture
async def trip(engine, lease, clock):
    await set_limit(engine)
    observer = Observer(engine, lease, clock)
    for equity in (10_000, 10_000, 8_900):
        outcome = await observer.look(equity)
    (trip,) = outcome.trips
    return trip


async def carry(work, lease, state: TripState, day: int = DAY, steps: int = 40) -> None:
    """As the worker does: step by step, each from what the database says."""
    for _ in range(steps):
        trip = await trip_of(work.engine)
        if trip.state is state:
            return
        work.clock.advance(max(0.0, (trip.next_attempt_time - work.clock.now()).total_seconds()))
        await advance_trip(work, lease, trip, day)
    raise AssertionError(f"did not reach {state!r}: {await trip_of(work.engine)}")


async def test_a_trip_halts_closes_makes_read_only_and_opens_the_next_day(engine, work, lease, trip, masters, accounts):
    await carry(work, lease, TripState.CLOSED)
    assert masters.steps == ["halt"]
    assert accounts.steps == ["close", "closing", "closing", "read-only", "positions", "equity"]
    assert (accounts.read_only, masters.causes) == (True, {"risk/trip/1"})
    closed = await trip_of(engine)
    assert (closed.achieved_equity_minor, closed.closing_id, closed.last_error) == (8_800, 500, "")
    assert closed.flat_time is not None
    assert await rows_of(engine, "SELECT position_ticket, server_time_ms FROM trip_closes ORDER BY line") == [
        (5000, NOON_MS),
        (5001, NOON_MS),
    ]
    assert (await limit_of(engine)).state is LimitState.CLOSED

    await advance_trip(work, lease, closed, DAY)
    await advance_trip(work, lease, closed, None)
    assert (await trip_of(engine)).state is TripState.CLOSED
    await carry(work, lease, TripState.REARMED, day=DAY + 1)
    assert (accounts.read_only, masters.causes) == (False, set())
    limit = await limit_of(engine)
    assert (limit.state, limit.trip_id) == (LimitState.WAITING, 0)
    assert (await trip_of(engine)).rearm_time is not None


async def test_each_new_state_is_told_once(engine, work, lease, trip):
    await carry(work, lease, TripState.REARMED, day=DAY + 1)
    assert await rows_of(engine, "SELECT sequence, count(*) FROM outbox GROUP BY 1 ORDER BY 1") == [
        (number, 1) for number in (1, 2, 3, 4)
    ]


async def test_a_rearmed_limit_arms_at_the_next_snapshot_of_the_new_day(engine, work, lease, trip, clock):
    await carry(work, lease, TripState.REARMED, day=DAY + 1)
    observer = Observer(engine, lease, clock)
    await observer.look(8_800, 8_800)
    assert (await limit_of(engine)).state is LimitState.WAITING
    observer.time_ms += 86_400_000
    await observer.look(8_800, 8_800)
    limit = await limit_of(engine)
    assert (limit.state, limit.server_day, limit.signal_equity_minor) == (LimitState.ARMED, DAY + 1, 7_920)
    await observer.look(8_800, 8_800)
    assert (await observer.look(7_900, 8_800)).trips[0].evidence.server_day == DAY + 1


@pytest.mark.parametrize("state", [TripState.TRIPPED, TripState.CLOSING, TripState.CLOSED])
async def test_a_limit_cannot_be_changed_before_it_is_rearmed(engine, work, lease, trip, state):
    await carry(work, lease, state)
    with pytest.raises(LimitLatched) as refused:
        await set_limit(engine, percent=90)
    assert refused.value.metadata == {"masterId": str(MASTER), "tripId": "1", "serverDay": str(DAY)}
    assert (await limit_of(engine)).trip_id == 1
    await carry(work, lease, TripState.REARMED, day=DAY + 1)
    assert (await set_limit(engine, percent=90)).trip_id == 0


class Killed(BaseException):
    """kill -9, as far as Python can tell."""


@pytest.mark.parametrize("step", ["halt", "close", "closing", "read-only", "open", "resume"])
async def test_a_crash_after_any_step_is_carried_on(engine, work, lease, trip, masters, accounts, step):
    """The other service did its part, we died before writing it down: the same request again, the same end."""
    crashes = [step]

    def crash(name: str) -> None:
        if crashes and name == crashes[0]:
            crashes.clear()
            raise Killed

    masters.crash = accounts.crash = crash
    with pytest.raises(Killed):
        await carry(work, lease, TripState.REARMED, day=DAY + 1)
    work.clock.advance(7)  # it takes a while until somebody carries on
    await carry(work, lease, TripState.REARMED, day=DAY + 1)
    assert list(accounts.closings.values()) == [500]
    assert sorted(masters.requests.values()) == ["halt", "resume"]
    assert (accounts.read_only, masters.causes) == (False, set())
    assert await rows_of(engine, "SELECT count(*) FROM outbox") == [(4,)]
    assert (await limit_of(engine)).state is LimitState.WAITING


@pytest.mark.parametrize("step", ["close", "closing", "read-only", "positions", "equity", "open", "resume"])
async def test_an_unreachable_service_is_asked_for_ever_with_growing_waits(
    engine, work, lease, trip, masters, accounts, step
):
    failures = 12

    def fail(name: str) -> None:
        nonlocal failures
        if name == step and failures:
            failures -= 1
            raise UpstreamUnavailable(service="platform-groups")

    masters.fail = accounts.fail = fail
    waits = []
    while failures:
        before = await trip_of(engine)
        work.clock.advance(max(0.0, (before.next_attempt_time - work.clock.now()).total_seconds()))
        after = await advance_trip(work, lease, before, DAY + 1)
        if after.failure_count > before.failure_count:
            assert "UPSTREAM_UNAVAILABLE" in (await trip_of(engine)).last_error
            waits.append((after.next_attempt_time - work.clock.now()).total_seconds())
    assert waits[:7] == [0.5, 1, 2, 4, 8, 16, 30]
    assert len(waits) == 12
    assert (await trip_of(engine)).attempt_count >= 12
    await carry(work, lease, TripState.REARMED, day=DAY + 1)
    assert (await trip_of(engine)).last_error == ""


async def test_a_bug_in_a_step_is_tried_again_ever_more_slowly_and_shown(engine, work, lease, trip, accounts):
    def break_down(name: str) -> None:
        if name == "closing":
            raise TypeError("a bug\x00")

    accounts.fail = break_down
    waits = []
    while len(waits) < 4:
        before = await trip_of(engine)
        work.clock.advance(max(0.0, (before.next_attempt_time - work.clock.now()).total_seconds()))
        after = await advance_trip(work, lease, before, DAY)
        if after.failure_count > before.failure_count:
            waits.append((after.next_attempt_time - work.clock.now()).total_seconds())
    shown = await trip_of(engine)
    assert (waits, shown.failure_count, shown.last_error) == ([0.5, 1, 2, 4], 4, "TypeError: a bug\ufffd")
    accounts.fail = lambda step: None
    await carry(work, lease, TripState.CLOSED)
    assert (await trip_of(engine)).last_error == ""


async def test_so_is_one_in_writing_down_what_a_step_learnt(engine, work, lease, trip):
    def break_down(*_values: object) -> bytes:
        raise TypeError("a bug")

    broken = replace(work, payload=break_down)
    after = await advance_trip(broken, lease, trip, DAY)
    shown = await trip_of(engine)
    assert (shown.state, shown.failure_count, shown.last_error) == (TripState.TRIPPED, 1, "TypeError: a bug")
    assert after == shown
    await carry(work, lease, TripState.CLOSED)


@pytest.mark.parametrize("failure", [UpstreamUnavailable(service="allocation"), TypeError("UPSTREAM has a bug")])
async def test_closing_does_not_wait_for_the_halt(engine, work, lease, trip, masters, accounts, failure):
    """allocation is away: the positions are closed all the same, and the trip stays open until the latch is on."""

    def fail(name: str) -> None:
        raise failure

    masters.fail = fail
    for _ in range(6):
        before = await trip_of(engine)
        work.clock.advance(1)
        await advance_trip(work, lease, before, DAY)
    waiting = await trip_of(engine)
    assert (accounts.read_only, accounts.positions) == (True, 0)
    assert (waiting.state, waiting.is_halted, "UPSTREAM" in waiting.last_error) == (TripState.CLOSING, False, True)
    masters.fail = lambda step: None
    await carry(work, lease, TripState.CLOSED)
    assert masters.causes == {"risk/trip/1"}


async def test_what_was_opened_before_the_account_became_read_only_is_closed_too(engine, work, lease, trip, accounts):
    accounts.late_positions = 1
    await carry(work, lease, TripState.CLOSED)
    assert list(accounts.closings.values()) == [500, 501]
    assert await rows_of(engine, "SELECT closing_round, count(*) FROM trip_closes GROUP BY 1 ORDER BY 1") == [
        (1, 2),
        (2, 1),
    ]
    assert (await trip_of(engine)).closing_round == 2
    assert accounts.positions == 0


async def test_what_is_opened_on_the_closed_account_is_closed_again(engine, work, lease, trip, accounts):
    await carry(work, lease, TripState.CLOSED)
    accounts.positions, accounts.read_only, accounts.equity_minor = 1, False, 8_500  # a dealer, say
    await carry(work, lease, TripState.CLOSING)
    assert (await limit_of(engine)).state is LimitState.CLOSING
    await carry(work, lease, TripState.CLOSED)
    assert (accounts.positions, accounts.read_only) == (0, True)
    closed = await trip_of(engine)
    assert (closed.closing_round, closed.achieved_equity_minor) == (2, 8_500)
    assert (await rows_of(engine, "SELECT count(*) FROM trip_closes")) == [(3,)]
    await carry(work, lease, TripState.REARMED, day=DAY + 1)
    assert (await limit_of(engine)).state is LimitState.WAITING


async def test_a_closed_trip_does_not_fail_while_its_server_is_away(engine, work, lease, trip, accounts):
    await carry(work, lease, TripState.CLOSED)

    def fail(step: str) -> None:
        raise UpstreamUnavailable(service="platform-groups")

    accounts.fail = fail
    closed = await trip_of(engine)
    work.clock.advance(60)
    after = await advance_trip(work, lease, closed, DAY)
    assert (after.state, after.failure_count, after.last_error) == (TripState.CLOSED, 0, "")


async def test_the_achieved_equity_is_one_read_after_the_account_was_flat(engine, work, lease, trip, accounts):
    accounts.equity_minor = None
    with pytest.raises(AssertionError, match="did not reach"):
        await carry(work, lease, TripState.CLOSED, steps=8)
    assert (await trip_of(engine)).last_error == "no account states of trading server 1"
    accounts.equity_minor = 8_700
    await carry(work, lease, TripState.CLOSED)
    closed = await trip_of(engine)
    assert (closed.achieved_equity_minor, closed.last_error) == (8_700, "")


async def test_a_trip_that_waits_for_an_account_not_among_the_states_says_so(engine, work, lease, trip, accounts):
    accounts.listed_account = 99
    with pytest.raises(AssertionError, match="did not reach"):
        await carry(work, lease, TripState.CLOSED, steps=8)
    waiting = await trip_of(engine)
    assert waiting.last_error == "account 43 is not among the account states of trading server 1"
    assert (waiting.state, waiting.failure_count) == (TripState.CLOSING, 1)
    accounts.listed_account = 43
    await carry(work, lease, TripState.CLOSED)
    assert (await trip_of(engine)).last_error == ""


async def test_two_workers_at_the_same_step_write_it_once(engine, work, lease, trip, accounts):
    results = await asyncio.gather(*(advance_trip(work, lease, trip, DAY) for _ in range(6)), return_exceptions=True)
    done = [result for result in results if not isinstance(result, DomainError)]
    assert len(done) == 1
    assert all(isinstance(result, StaleEpoch) for result in results if isinstance(result, DomainError))
    assert list(accounts.closings.values()) == [500]
    assert await rows_of(engine, "SELECT count(*) FROM outbox") == [(2,)]


async def test_a_worker_without_the_lease_writes_nothing(engine, work, trip, lease):
    stale = Lease(lease.kind, lease.key, "somebody else", lease.epoch)
    with pytest.raises(StaleEpoch):
        await advance_trip(work, stale, trip, DAY)
    assert (await trip_of(engine)).state is TripState.TRIPPED


async def test_a_trip_that_is_still_closing_at_midnight_is_closed_before_it_opens_again(
    engine, work, lease, trip, accounts
):
    failures = 3

    def fail(name: str) -> None:
        nonlocal failures
        if name == "closing" and failures:
            failures -= 1
            raise UpstreamUnavailable(service="platform-groups")

    accounts.fail = fail
    await carry(work, lease, TripState.REARMED, day=DAY + 1)
    steps = accounts.steps
    assert steps.index("read-only") < steps.index("equity") < steps.index("open")
