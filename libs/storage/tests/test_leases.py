from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import DatabaseUnavailable, StaleEpoch
from apportion.runtime.clock import Clock, FixedClock, SystemClock
from apportion.storage import create_engine, transaction
from apportion.storage.leases import Lease, LeaseKeeper, check_fence, standing_leases
from apportion.testing.polling import eventually

KEYS = [str(key) for key in range(8)]


class Worker:
    """A keeper with a record of what it was told."""

    def __init__(self, engine: AsyncEngine, owner: str, clock: Clock, ttl_seconds: float = 10.0) -> None:
        self.working: set[Lease] = set()
        self.clock = clock
        self.keeper = LeaseKeeper(
            engine,
            "partition",
            KEYS,
            owner,
            clock=clock,
            ttl_seconds=ttl_seconds,
            on_acquire=self._start,
            on_release=self._end,
        )

    async def _start(self, lease: Lease) -> None:
        self.working.add(lease)

    async def _end(self, lease: Lease) -> None:
        self.working.remove(lease)

    @property
    def keys(self) -> set[str]:
        return {lease.key for lease in self.working}


@pytest.fixture
def a(engine: AsyncEngine, clock: FixedClock) -> Worker:
    return Worker(engine, "a", clock)


@pytest.fixture
def b(engine: AsyncEngine, clock: FixedClock) -> Worker:
    return Worker(engine, "b", clock)


async def run_out(engine: AsyncEngine, owner: str) -> None:
    """The worker was stopped for longer than its leases live, by the only clock that counts."""
    async with transaction(engine) as tx:
        for table, column in (("leases", "lease_until"), ("workers", "alive_until")):
            statement = f"UPDATE {table} SET {column} = clock_timestamp() - interval '1 ms' WHERE owner = :owner"
            await tx.execute(text(statement), {"owner": owner})


async def write(engine: AsyncEngine, lease: Lease) -> None:
    async with transaction(engine) as tx:
        await check_fence(tx, lease)


async def test_a_worker_alone_takes_everything_and_keeps_its_epochs(a: Worker) -> None:
    await a.keeper.refresh()
    first = a.keeper.held
    assert {lease.epoch for lease in first.values()} == {1}
    await a.keeper.refresh()
    assert a.keeper.held == first
    assert a.keys == set(KEYS)


async def test_a_second_worker_gets_its_half_with_the_next_epoch(a: Worker, b: Worker) -> None:
    await a.keeper.refresh()
    await b.keeper.refresh()
    assert b.keys == set()
    await a.keeper.refresh()
    await b.keeper.refresh()
    assert len(a.keys) == len(b.keys) == 4
    assert a.keys | b.keys == set(KEYS)
    assert {lease.epoch for lease in b.keeper.held.values()} == {2}
    assert {lease.epoch for lease in a.keeper.held.values()} == {1}


async def test_a_worker_that_leaves_hands_over_at_once(a: Worker, b: Worker) -> None:
    await a.keeper.refresh()
    await a.keeper.release_all()
    assert a.keys == set()
    await b.keeper.refresh()
    assert b.keys == set(KEYS)


async def test_a_stopped_worker_loses_all_and_can_do_no_harm_when_it_wakes(
    engine: AsyncEngine, a: Worker, b: Worker, clock: FixedClock
) -> None:
    await a.keeper.refresh()
    lost = a.keeper.held["3"]
    await write(engine, lost)
    assert a.keeper.valid(lost)

    clock.advance(10)
    await run_out(engine, "a")
    await b.keeper.refresh()

    assert not a.keeper.valid(lost)
    with pytest.raises(StaleEpoch) as caught:
        await write(engine, lost)
    assert caught.value.metadata == {"leaseKind": "partition", "leaseKey": "3", "epoch": "1"}
    await write(engine, b.keeper.held["3"])
    await a.keeper.refresh()
    assert a.keys == set()


async def test_a_lease_that_ran_out_and_was_not_taken_comes_back_with_the_next_epoch(
    engine: AsyncEngine, a: Worker
) -> None:
    await a.keeper.refresh()
    await run_out(engine, "a")
    await a.keeper.refresh()
    assert {lease.epoch for lease in a.keeper.held.values()} == {2}
    assert a.keys == set(KEYS)


async def test_the_local_end_comes_before_the_databases(a: Worker, clock: FixedClock) -> None:
    await a.keeper.refresh()
    lease = a.keeper.held["0"]
    clock.advance(8.9)
    assert a.keeper.valid(lease)
    clock.advance(0.2)
    assert not a.keeper.valid(lease)
    assert not a.keeper.valid(Lease("partition", "0", "a", 99))


async def test_a_lease_cannot_pass_on_between_fence_and_commit(engine: AsyncEngine, a: Worker, b: Worker) -> None:
    await a.keeper.refresh()
    await run_out(engine, "a")
    async with transaction(engine) as tx:
        await check_fence(tx, a.keeper.held["3"])
        await b.keeper.refresh()
        assert b.keys == set(KEYS) - {"3"}
    await b.keeper.refresh()
    assert b.keys == set(KEYS)


async def test_writers_never_hold_up_a_renewal_which_does_not_end_their_fence(
    engine: AsyncEngine, a: Worker, b: Worker
) -> None:
    await a.keeper.refresh()
    async with transaction(engine) as tx:
        await check_fence(tx, a.keeper.held["3"])
        await a.keeper.refresh()
        assert a.keys == set(KEYS)
        await a.keeper.release_all()
        await b.keeper.refresh()
        assert b.keys == set(KEYS) - {"3"}


async def test_a_writer_that_meets_a_take_over_waits_and_is_refused(engine: AsyncEngine, a: Worker) -> None:
    await a.keeper.refresh()
    async with transaction(engine) as taking:
        await taking.execute(text("SELECT 1 FROM leases WHERE key = '3' FOR UPDATE"))
        await taking.execute(text("UPDATE leases SET owner = 'b', epoch = epoch + 1 WHERE key = '3'"))
        writing = asyncio.create_task(write(engine, a.keeper.held["3"]))
        await asyncio.wait([writing], timeout=0.1)
        assert not writing.done()
    with pytest.raises(StaleEpoch):
        await writing


async def test_many_leases_are_fenced_at_once(engine: AsyncEngine, a: Worker) -> None:
    await a.keeper.refresh()
    held = a.keeper.held
    stale = [Lease("partition", "3", "a", 9), Lease("partition", "4", "b", 1), Lease("other", "5", "a", 1)]
    async with transaction(engine) as tx:
        assert await standing_leases(tx, [held["7"], *stale, held["1"]]) == [held["7"], held["1"]]
        assert await standing_leases(tx, []) == []


async def test_keys_come_and_go(a: Worker) -> None:
    await a.keeper.refresh()
    a.keeper.replace_keys(["7", "8"])
    await a.keeper.refresh()
    assert a.keys == {"7", "8"}
    assert a.keeper.held["7"].epoch == 1


async def test_new_keys_are_taken_long_before_the_next_renewal(engine: AsyncEngine) -> None:
    keeper = LeaseKeeper(engine, "partition", KEYS, "a", clock=SystemClock(), ttl_seconds=600)
    running = asyncio.create_task(keeper.run())
    try:
        await eventually(lambda: set(keeper.held) == set(KEYS))
        keeper.replace_keys(["new"])
        await eventually(lambda: set(keeper.held) == {"new"})
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_running_workers_share_and_a_cancelled_one_hands_over(engine: AsyncEngine) -> None:
    workers = [Worker(engine, owner, SystemClock(), ttl_seconds=2) for owner in "abc"]
    tasks = [asyncio.create_task(worker.keeper.run()) for worker in workers]
    await eventually(lambda: sorted(len(worker.keys) for worker in workers) == [2, 3, 3])
    tasks[0].cancel()
    await eventually(lambda: [len(worker.keys) for worker in workers] == [0, 4, 4])
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(not worker.keys for worker in workers)


async def test_without_a_database_the_work_ends_when_the_leases_do(url: str, clock: FixedClock) -> None:
    engine = create_engine(url)
    worker = Worker(engine, "a", clock, ttl_seconds=1)
    task = asyncio.create_task(worker.keeper.run())
    await eventually(lambda: worker.keys == set(KEYS))
    async with transaction(engine) as tx:
        await tx.execute(text("LOCK TABLE workers IN ACCESS EXCLUSIVE MODE"))
        clock.advance(1)  # the local end of the leases, while the keeper cannot ask
        await eventually(lambda: worker.keys == set())
    await eventually(lambda: worker.keys == set(KEYS))
    task.cancel()
    await asyncio.wait([task])
    await engine.dispose()


async def never(_lease: Lease) -> None:
    await asyncio.Event().wait()


async def test_work_that_does_not_end_keeps_its_lease_from_others(
    engine: AsyncEngine, clock: FixedClock, b: Worker
) -> None:
    stuck = LeaseKeeper(engine, "partition", KEYS, "a", clock=clock, ttl_seconds=3, on_release=never)
    await stuck.refresh()
    await stuck.release_all()
    assert stuck.held == {}
    await b.keeper.refresh()
    assert b.keys == set()
    await run_out(engine, "a")
    await b.keeper.refresh()
    assert b.keys == set(KEYS)


async def test_work_that_is_slow_to_begin_keeps_all_leases_however_long_it_takes(
    engine: AsyncEngine, clock: FixedClock, b: Worker
) -> None:
    may_begin = asyncio.Event()
    begun: set[str] = set()

    async def start(lease: Lease) -> None:
        if lease.key == "3":
            await may_begin.wait()
        begun.add(lease.key)

    keeper = LeaseKeeper(engine, "partition", KEYS, "a", clock=clock, ttl_seconds=4, on_acquire=start)
    for _round in range(4):
        await keeper.refresh()
        clock.advance(3)
    assert begun == set(KEYS) - {"3"}
    assert {lease.epoch for lease in keeper.held.values()} == {1}
    assert all(keeper.valid(lease) for lease in keeper.held.values())
    await b.keeper.refresh()
    assert b.keys == set()
    may_begin.set()
    await eventually(lambda: begun == set(KEYS))
    await keeper.release_all()


async def test_work_that_does_not_begin_gives_its_lease_back_alone(
    engine: AsyncEngine, clock: FixedClock, b: Worker
) -> None:
    ended: list[str] = []

    async def start(lease: Lease) -> None:
        if lease.key == "3":
            await never(lease)

    async def end(lease: Lease) -> None:
        ended.append(lease.key)

    keeper = LeaseKeeper(engine, "partition", KEYS, "a", clock=clock, ttl_seconds=4, on_acquire=start, on_release=end)
    await keeper.refresh()
    clock.advance(17)
    await keeper.refresh()
    assert set(keeper.held) == set(KEYS) - {"3"}
    assert ended == ["3"]
    await b.keeper.refresh()
    assert b.keys == {"3"}


async def test_work_that_is_beginning_is_ended_before_its_lease_is_handed_over(
    engine: AsyncEngine, clock: FixedClock
) -> None:
    events: list[str] = []

    async def start(lease: Lease) -> None:
        events.append("begun")
        try:
            await never(lease)
        finally:
            events.append("cancelled")

    async def end(_lease: Lease) -> None:
        events.append("ended")

    keeper = LeaseKeeper(engine, "partition", ["0"], "a", clock=clock, ttl_seconds=1, on_acquire=start, on_release=end)
    await keeper.refresh()
    await keeper.release_all()
    assert events == ["begun", "cancelled", "ended"]
    assert keeper.held == {}


async def test_a_bug_in_a_start_ends_the_keeper_and_frees_the_leases(
    engine: AsyncEngine, clock: FixedClock, b: Worker
) -> None:
    async def start(_lease: Lease) -> None:
        raise RuntimeError("a bug")

    keeper = LeaseKeeper(engine, "partition", KEYS, "a", clock=clock, on_acquire=start)
    with pytest.raises(RuntimeError, match="a bug"):
        await keeper.run()
    await b.keeper.refresh()
    assert b.keys == set(KEYS)


async def test_a_start_that_the_database_refuses_gives_its_lease_back_and_is_tried_again(
    engine: AsyncEngine, clock: FixedClock
) -> None:
    started: set[Lease] = set()
    refusals = iter([True])

    async def start(lease: Lease) -> None:
        if lease.key == "3" and next(refusals, False):
            raise DatabaseUnavailable()
        started.add(lease)

    async def end(lease: Lease) -> None:
        started.discard(lease)

    keeper = LeaseKeeper(engine, "partition", KEYS, "a", clock=clock, on_acquire=start, on_release=end)
    await keeper.refresh()
    assert set(keeper.held) == set(KEYS) - {"3"}
    assert started == set(keeper.held.values())
    await keeper.refresh()
    assert started == set(keeper.held.values())
    assert {lease.key for lease in started} == set(KEYS)


@pytest.mark.parametrize("seed", range(4))
async def test_no_order_of_pauses_lets_two_owners_write(engine: AsyncEngine, seed: int) -> None:
    """Whatever happens, the epochs of a key's committed writes never fall and each epoch has one owner."""
    chance = random.Random(seed)
    workers = [Worker(engine, owner, FixedClock(SystemClock().now())) for owner in "abc"]
    remembered: list[Lease] = []
    written: dict[str, int] = {}
    owners: dict[tuple[str, int], str] = {}
    outcomes: Counter[str] = Counter()
    for _ in range(120):
        worker = chance.choice(workers)
        action = chance.choice(["refresh", "refresh", "stop", "leave", "write", "write", "write"])
        if action == "refresh":
            await worker.keeper.refresh()
            remembered += worker.keeper.held.values()
        elif action == "stop":
            await run_out(engine, chance.choice("abc"))
        elif action == "leave":
            await worker.keeper.release_all()
        assert worker.working == set(worker.keeper.held.values())
        if action == "write" and remembered:
            lease = chance.choice(remembered[-40:])
            try:
                await write(engine, lease)
            except StaleEpoch:
                outcomes["refused"] += 1
                continue
            outcomes["written"] += 1
            assert written.setdefault(lease.key, lease.epoch) <= lease.epoch
            written[lease.key] = lease.epoch
            assert owners.setdefault((lease.key, lease.epoch), lease.owner) == lease.owner
    assert outcomes["refused"]
    assert outcomes["written"]
