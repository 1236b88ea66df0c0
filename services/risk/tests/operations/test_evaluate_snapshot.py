from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from risk_world import (
    DAY,
    DAY_MS,
    DOUBTS,
    MASTER,
    NOON_MS,
    Observer,
    deal,
    limit_of,
    rows_of,
    set_limit,
    trip_of,
)

from apportion.api.risk.v1.events_pb2 import TripChanged
from apportion.errors import StaleEpoch
from apportion.risk.domain.limits import Alarm, LimitState
from apportion.risk.domain.trips import TripState
from apportion.risk.operations.trip_limit import trip_limit
from apportion.risk.wire import trip_changed_payload
from apportion.storage.leases import Lease


@pytest.fixture
async def observer(engine, lease, clock) -> Observer:
    """A limit of 10 % on an account of 100.00, armed by its first snapshot."""
    await set_limit(engine)
    observer = Observer(engine, lease, clock)
    await observer.look(10_000)
    await observer.look(10_000)
    return observer


async def test_the_first_snapshot_arms_a_new_limit(engine, lease, clock):
    limit = await set_limit(engine)
    assert (limit.state, limit.day_start_equity_minor) == (LimitState.WAITING, 0)
    observer = Observer(engine, lease, clock)
    assert (await observer.look(9_900, 10_000)).is_changed
    limit = await limit_of(engine)
    assert (limit.state, limit.server_day) == (LimitState.ARMED, DAY)
    assert (limit.day_start_equity_minor, limit.day_start_balance_minor) == (9_900, 10_000)
    assert limit.signal_equity_minor == 8_910


async def test_a_quiet_snapshot_changes_nothing(engine, observer):
    before = await limit_of(engine)
    assert not (await observer.look(9_500)).is_changed
    assert await limit_of(engine) == before


async def test_the_signal_itself_does_not_trip_below_it_does(engine, observer):
    assert not (await observer.look(9_000)).trips
    (trip,) = (await observer.look(8_999)).trips
    assert trip.state is TripState.TRIPPED
    limit = await limit_of(engine)
    assert (limit.state, limit.trip_id) == (LimitState.TRIPPED, trip.trip_id)


async def test_a_trip_keeps_its_evidence_and_tells_the_others(engine, observer):
    await observer.look(9_400)
    (trip,) = (await observer.look(8_999)).trips
    evidence = (await trip_of(engine)).evidence
    assert evidence == trip.evidence
    assert (evidence.equity_minor, evidence.signal_equity_minor, evidence.previous_equity_minor) == (
        8_999,
        9_000,
        9_400,
    )
    assert (evidence.day_start_equity_minor, evidence.balance_minor) == (10_000, 10_000)
    assert (evidence.server_time_ms, evidence.observed_time) == (observer.time_ms, observer.clock.now())
    assert await rows_of(engine, "SELECT symbol, bid_e8, ask_e8 FROM trip_prices") == [
        ("EURUSD", 108_000_000, 108_010_000)
    ]
    [(topic, aggregate, partition, payload)] = await rows_of(
        engine, "SELECT aggregate_type, aggregate_id, partition, payload FROM outbox"
    )
    assert (topic, aggregate, partition) == ("trips", str(MASTER), 43)
    event = TripChanged.FromString(payload)
    assert (event.trip.trip_id, event.trip.state, event.trip.equity_minor) == (1, 1, 8_999)


async def test_a_tripped_limit_does_not_trip_again(engine, observer):
    assert (await observer.look(8_999)).trips
    for equity in (5_000, 9_999, 1):
        assert not (await observer.look(equity)).trips
    assert await rows_of(engine, "SELECT count(*) FROM trips") == [(1,)]


async def test_racing_watchers_trip_once(engine, observer, lease, clock):
    others = [Observer(engine, lease, clock) for _ in range(5)]
    for other in others:
        await other.look(9_500)
    outcomes = await asyncio.gather(*(other.look(8_000) for other in others))
    assert sum(len(outcome.trips) for outcome in outcomes) == 1
    assert await rows_of(engine, "SELECT count(*) FROM trips") == [(1,)]
    assert await rows_of(engine, "SELECT count(*) FROM outbox") == [(1,)]


async def test_a_watcher_that_lost_its_lease_cannot_trip(engine, observer):
    observer.lease = Lease(observer.lease.kind, observer.lease.key, "somebody else", observer.lease.epoch)
    with pytest.raises(StaleEpoch):
        await observer.look(8_000)
    assert (await limit_of(engine)).state is LimitState.ARMED


async def test_a_withdrawal_never_trips_when_its_deal_came_first(engine, observer):
    await deal(engine, 900, -4_000, observer.time_ms + 500)
    assert not (await observer.look(6_000, 6_000)).trips
    limit = await limit_of(engine)
    assert (limit.day_flow_minor, limit.signal_equity_minor, limit.alarm) == (-4_000, 5_400, Alarm.NONE)
    assert (await observer.look(5_399, 6_000)).trips


async def test_a_withdrawal_seen_before_its_deal_waits_for_it(engine, observer):
    assert not (await observer.look(6_000, 6_000)).trips
    assert (await limit_of(engine)).alarm is Alarm.BALANCE_UNEXPLAINED
    assert not (await observer.look(6_000, 6_000)).trips
    await deal(engine, 900, -4_000, observer.time_ms - 1_500)
    assert not (await observer.again()).trips
    limit = await limit_of(engine)
    assert (limit.day_flow_minor, limit.alarm) == (-4_000, Alarm.NONE)


async def test_a_deal_that_never_comes_is_waited_for_up_to_the_bound(engine, observer):
    for _ in range(5):
        assert not (await observer.look(6_000, 6_000)).trips
    (trip,) = (await observer.look(6_000, 6_000)).trips
    assert trip.evidence.alarm is Alarm.BALANCE_UNEXPLAINED
    assert trip.evidence.unexplained_minor == -4_000


async def test_a_loss_beyond_what_a_withdrawal_could_explain_does_not_wait(engine, observer):
    """40.00 left the balance; had they been withdrawn, the signal would be 54.00, and 53.99 is below that too."""
    assert not (await observer.look(5_400, 6_000)).trips
    (trip,) = (await observer.look(5_399, 6_000)).trips
    assert trip.evidence.alarm is Alarm.BALANCE_UNEXPLAINED
    assert trip.evidence.unexplained_minor == -4_000


async def test_an_unexplained_deposit_hides_no_loss(engine, observer):
    assert (await observer.look(8_990, 12_000)).trips


async def test_a_deposit_whose_deal_came_first_does_not_raise_the_signal_too_early(engine, observer):
    """100.00 more in the books, but the snapshot does not show them yet: 100.00 is not below 180.00."""
    await deal(engine, 900, 10_000, observer.time_ms + 1_000)
    assert not (await observer.look(9_990, 10_000)).trips
    assert (await limit_of(engine)).signal_equity_minor == 9_000
    assert not (await observer.look(19_990, 20_000)).trips
    assert (await limit_of(engine)).signal_equity_minor == 18_000
    assert (await observer.look(17_999, 20_000)).trips


async def test_a_closed_loss_is_no_withdrawal(engine, observer):
    await deal(engine, 900, -1_500, observer.time_ms + 500, flow=False)
    (trip,) = (await observer.look(8_500, 8_500)).trips
    assert trip.evidence.day_flow_minor == 0


async def test_a_closed_loss_whose_deal_is_late_trips_as_soon_as_it_is_known(engine, observer):
    assert not (await observer.look(8_500, 8_500)).trips
    await deal(engine, 900, -1_500, observer.time_ms, flow=False)
    assert (await observer.again()).trips


async def test_a_credit_counts_like_a_deposit(engine, observer):
    await deal(engine, 900, 5_000, observer.time_ms + 500, credit=True)
    assert not (await observer.look(15_000, 10_000, credit=5_000)).trips
    assert (await limit_of(engine)).day_flow_minor == 5_000
    await deal(engine, 901, -5_000, observer.time_ms + 500, credit=True)
    assert not (await observer.look(10_000, 10_000)).trips
    assert (await limit_of(engine)).day_flow_minor == 0


async def test_the_same_deal_counts_once_however_often_it_comes(engine, observer):
    time_ms = observer.time_ms + 500
    kept = await asyncio.gather(*(deal(engine, 900, 1_000, time_ms) for _ in range(12)))
    assert sum(kept) == 1
    await observer.look(11_000, 11_000)
    assert (await limit_of(engine)).day_flow_minor == 1_000


async def test_deals_of_accounts_without_a_limit_are_not_kept(engine):
    assert await deal(engine, 900, 1_000, NOON_MS) == 0


async def test_a_deal_inside_the_day_start_is_no_flow_though_it_comes_late(engine, lease, clock):
    await set_limit(engine)
    observer = Observer(engine, lease, clock)
    await observer.look(15_000, 15_000)  # the deposit of 50.00 is inside
    await deal(engine, 900, 5_000, observer.time_ms - 500)
    for _ in range(5):
        await observer.look(15_000, 15_000)
    limit = await limit_of(engine)
    assert (limit.day_start_equity_minor, limit.day_flow_minor, limit.alarm) == (15_000, 0, Alarm.NONE)
    await deal(engine, 901, -2_000, observer.time_ms + 500)
    await observer.look(13_000, 13_000)
    assert (await limit_of(engine)).day_flow_minor == -2_000


async def test_a_new_server_day_starts_anew(engine, observer):
    await deal(engine, 900, 1_000, observer.time_ms + 500)
    await observer.look(10_500, 11_000)
    observer.time_ms = (DAY + 1) * DAY_MS - 1_000
    await observer.look(9_600, 11_000)
    limit = await limit_of(engine)
    assert (limit.server_day, limit.day_start_equity_minor, limit.day_flow_minor) == (DAY + 1, 9_600, 0)
    assert limit.day_start_ticket == 900
    assert not (await observer.look(8_641, 11_000)).trips
    assert (await observer.look(8_639, 11_000)).trips


async def test_a_clock_that_falls_back_over_midnight_leaves_the_limit_of_the_day_in_force(engine, observer):
    observer.time_ms = (DAY + 1) * DAY_MS
    await observer.look(10_000)
    observer.time_ms -= DAY_MS // 48
    assert not (await observer.look(9_400)).is_changed, "no new day, and no breach"
    (trip,) = (await observer.look(8_999)).trips
    assert trip.evidence.server_day == DAY + 1


async def test_a_deposit_at_midnight_counts_once(engine, observer):
    """Made right after midnight, inside the first snapshot, told later."""
    observer.time_ms = (DAY + 1) * DAY_MS - 700
    await observer.look(20_000, 20_000)
    await deal(engine, 900, 10_000, (DAY + 1) * DAY_MS + 100)
    for _ in range(4):
        assert not (await observer.look(20_000, 20_000)).trips
    limit = await limit_of(engine)
    assert (limit.day_start_equity_minor, limit.day_flow_minor, limit.alarm) == (20_000, 0, Alarm.NONE)


async def test_a_jump_needs_a_second_snapshot(engine, observer):
    assert not (await observer.look(4_000)).trips
    assert (await limit_of(engine)).alarm is Alarm.PRICE_SUSPECT
    (trip,) = (await observer.look(4_010)).trips
    assert trip.evidence.alarm is Alarm.PRICE_SUSPECT


async def test_a_breach_by_prices_that_stand_still_trips_on_newer_ones_or_in_time(engine, observer, clock):
    for _ in range(3):
        assert not (await observer.look(8_999, doubt=Alarm.PRICE_SUSPECT)).trips
    assert (await limit_of(engine)).alarm is Alarm.PRICE_SUSPECT
    (trip,) = (await observer.look(8_998)).trips
    assert trip.evidence.alarm is Alarm.PRICE_SUSPECT


async def test_a_feed_that_stays_frozen_delays_a_trip_and_does_not_prevent_it(engine, observer, clock):
    assert not (await observer.look(8_999, doubt=Alarm.PRICE_SUSPECT)).trips
    clock.advance(DOUBTS.confirm_ms / 1_000)
    assert (await observer.again(doubt=Alarm.PRICE_SUSPECT)).trips


async def test_a_spike_that_is_gone_again_does_not_trip(engine, observer):
    assert not (await observer.look(0)).trips
    assert not (await observer.look(9_990)).trips
    assert (await limit_of(engine)).alarm is Alarm.NONE
    assert not (await observer.look(0)).trips


async def test_a_jump_that_nothing_follows_trips_after_a_while(engine, observer):
    assert not (await observer.look(4_000)).trips
    for seconds, count in ((4.9, 0), (0.1, 1)):
        observer.clock.advance(seconds)
        assert len((await observer.again()).trips) == count


async def test_the_first_snapshot_after_a_start_has_to_be_confirmed(engine, observer, lease, clock):
    fresh = Observer(engine, lease, clock)
    assert not (await fresh.look(8_900)).trips
    assert (await fresh.look(8_900)).trips


async def test_a_stale_snapshot_does_not_trip_until_a_fresh_one_confirms(engine, observer):
    assert not (await observer.look(8_900, age_seconds=6)).trips
    assert (await limit_of(engine)).alarm is Alarm.STATE_STALE
    assert not (await observer.look(8_900, age_seconds=6)).trips
    assert (await observer.look(8_900)).trips


async def test_an_account_that_is_absent_is_not_at_zero(engine, observer):
    assert not (await observer.look(0, account=99)).trips
    limit = await limit_of(engine)
    assert (limit.state, limit.alarm) == (LimitState.ARMED, Alarm.STATE_MISSING)
    await observer.look(10_000)
    assert (await limit_of(engine)).alarm is Alarm.NONE


async def test_a_changed_percent_applies_at_once_and_keeps_the_day_start(engine, observer):
    limit = await set_limit(engine, percent=5)
    assert (limit.state, limit.day_start_equity_minor, limit.signal_equity_minor) == (LimitState.ARMED, 10_000, 9_500)
    assert (await observer.look(9_499)).trips


async def test_a_limit_changed_between_reading_and_tripping_is_judged_again(engine, observer):
    read = await limit_of(engine)
    evidence = observer.watch.evidence(0, observer.watch.view(observer.snapshot), observer.clock.now())
    evidence = replace(evidence, equity_minor=8_000)
    await set_limit(engine, percent=50)
    now = observer.clock.now()
    assert await trip_limit(engine, observer.lease, read, evidence, (), trip_changed_payload, now=now) is None
    assert (await limit_of(engine)).state is LimitState.ARMED
    assert not (await observer.look(8_000)).trips
