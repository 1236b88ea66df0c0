"""Events are applied exactly once and in order, whatever the stream does."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest
from events_sample.world import (
    EVENT,
    LABEL,
    TOPIC,
    all_applied,
    applied,
    apply,
    consumer,
    heads,
    publish,
    relay,
    running,
)
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from typer.testing import CliRunner

from apportion.errors import (
    DomainError,
    EventsMissing,
    Kind,
    NotFound,
    RemoteError,
    UpstreamUnavailable,
    VersionConflict,
)
from apportion.events import (
    AfterCommit,
    AggregateKey,
    Patience,
    ReceivedEvent,
    Redis,
    ReplayPort,
    list_parked,
    list_set_aside,
    set_aside,
    settle_set_aside,
    unpark,
)
from apportion.events.__main__ import app as operator_app
from apportion.runtime import Clock
from apportion.storage import transaction
from apportion.testing.polling import eventually

POISON = "example.Poison"


async def write_at_random(publisher: AsyncEngine, seed: int, transactions: int, aggregates: int) -> None:
    choice = random.Random(seed)
    for _ in range(transactions):
        await publish(publisher, choice.randrange(aggregates), count=choice.choice([1, 1, 1, 3]))


async def test_many_writers_lose_nothing_and_keep_order(
    publisher: AsyncEngine, subscriber: AsyncEngine, redis: Redis, port: ReplayPort
) -> None:
    async with running(relay(publisher, redis).run, consumer(subscriber, redis, port).run):
        await asyncio.gather(*(write_at_random(publisher, seed, 60, 90) for seed in range(16)))
        await eventually(lambda: all_applied(publisher, subscriber))
    assert sum((await heads(publisher)).values()) >= 16 * 60


async def test_wiped_redis_under_load(
    publisher: AsyncEngine, subscriber: AsyncEngine, redis: Redis, port: ReplayPort
) -> None:
    async def wipe() -> None:
        for _ in range(30):
            await redis.command("FLUSHDB")
            await asyncio.sleep(0.02)

    async with running(relay(publisher, redis).run, consumer(subscriber, redis, port).run):
        writers = [write_at_random(publisher, seed, 40, 20) for seed in range(4)]
        await asyncio.gather(wipe(), *writers)
        await eventually(lambda: all_applied(publisher, subscriber))


async def test_what_was_published_before_the_first_start_is_pulled_from_the_owner(
    publisher: AsyncEngine, subscriber: AsyncEngine, redis: Redis, port: ReplayPort
) -> None:
    """No relay runs: nothing reaches a stream."""
    for aggregate in range(5):
        await publish(publisher, aggregate, count=130)
    async with running(consumer(subscriber, redis, port).run):
        await eventually(lambda: all_applied(publisher, subscriber))


async def test_lost_tail_is_found_by_the_sweep(
    publisher: AsyncEngine, subscriber: AsyncEngine, redis: Redis, port: ReplayPort
) -> None:
    worker = consumer(subscriber, redis, port, sweep_seconds=0.3)
    async with running(worker.run):
        await eventually(lambda: len(worker.held_partitions) == 64)
        await publish(publisher, 3, count=2)
        await eventually(lambda: all_applied(publisher, subscriber))


async def test_gap_in_the_stream_is_filled_in_order(
    publisher: AsyncEngine, subscriber: AsyncEngine, redis: Redis, port: ReplayPort
) -> None:
    publishing = relay(publisher, redis)
    async with running(publishing.run):
        await publish(publisher, 1, count=10)
        entries = await eventually(lambda: published(redis, f"events:{TOPIC}:1", 10))
    await redis.command("DEL", f"events:{TOPIC}:1")
    async with running(consumer(subscriber, redis, port, sweep_seconds=600).run):
        await eventually(lambda: all_applied(publisher, subscriber))
        await publish(publisher, 1, count=10)
        async with running(relay(publisher, redis, "relay-2").run):
            await eventually(lambda: all_applied(publisher, subscriber))
        await publish(publisher, 1, count=5)
        # Only the last of five numbers arrives, and an old one again.
        async with running(relay(publisher, Redis("redis://127.0.0.1:1/0"), "relay-3").run):
            repeat = entries[3][1]
            await redis.command("XADD", f"events:{TOPIC}:1", "*", *repeat)
            last = await port.events(LABEL, TOPIC, "1", 25)
            await redis.command("XADD", f"events:{TOPIC}:1", "*", "event", wire(last[0]))
            await eventually(lambda: all_applied(publisher, subscriber))


async def test_unreadable_and_foreign_entries_are_passed_over(
    publisher: AsyncEngine, subscriber: AsyncEngine, redis: Redis, port: ReplayPort
) -> None:
    worker = consumer(subscriber, redis, port)
    async with running(relay(publisher, redis).run, worker.run):
        await eventually(lambda: len(worker.held_partitions) == 64)
        for fields in (["event", b"\xff\xfe"], ["event", b""], ["other", "1", "event", "2"]):
            await redis.command("XADD", f"events:{TOPIC}:2", "*", *fields)
        await publish(publisher, 2)
        await eventually(lambda: all_applied(publisher, subscriber))


async def test_poison_parks_its_aggregate_only_and_unpark_goes_on_in_order(
    publisher: AsyncEngine, subscriber: AsyncEngine, redis: Redis, port: ReplayPort
) -> None:
    attempts = 0
    cured = False

    async def fail(tx: AsyncConnection, event: ReceivedEvent) -> None:
        nonlocal attempts
        attempts += 1
        await apply(tx, event)
        if not cured:
            raise ValueError("bad payload: \x00 \ud800")

    worker = consumer(subscriber, redis, port, handlers={EVENT: apply, POISON: fail})
    async with running(relay(publisher, redis).run, worker.run):
        await publish(publisher, 1)
        await publish(publisher, 1, type=POISON)
        await publish(publisher, 1, count=30)
        await publish(publisher, 65, count=30)  # the same partition
        key = AggregateKey(LABEL, TOPIC, "1")
        assert await eventually(lambda: list_parked(subscriber, "sample")) == [key]
        await eventually(lambda: applied_counts(subscriber, {"1": 1, "65": 30}))
        assert attempts <= 6  # five alone, one in a batch that was then taken apart
        await publish(publisher, 65)
        await eventually(lambda: applied_counts(subscriber, {"1": 1, "65": 31}))
        async with transaction(subscriber) as tx:
            parked = (await tx.execute(text("SELECT sequence, error FROM inbox_parked"))).one()
        assert parked.sequence == 2
        assert parked.error.startswith("ValueError: bad payload")
        cured = True
        await unpark(subscriber, "sample", LABEL, TOPIC, "1")
        await eventually(lambda: all_applied(publisher, subscriber))
        assert await list_parked(subscriber, "sample") == []


async def test_a_preparation_runs_before_the_transaction_and_is_tried_until_it_succeeds(
    publisher: AsyncEngine, subscriber: AsyncEngine, redis: Redis, port: ReplayPort
) -> None:
    calls: list[str] = []

    async def nobody_writes() -> bool:
        async with transaction(subscriber) as tx:
            held = await tx.execute(
                text(
                    "SELECT count(*) FROM pg_locks"
                    " WHERE relation = 'inbox_cursors'::regclass AND mode IN ('RowShareLock', 'RowExclusiveLock')"
                )
            )
            return bool(held.scalar_one() == 0)

    async def prepare(event: ReceivedEvent) -> None:
        await eventually(nobody_writes)  # a transaction around this call would go on for as long as we wait
        calls.append(f"prepared {event.sequence}")
        if len(calls) < 3:
            raise UpstreamUnavailable(service="elsewhere")

    async def handle(tx: AsyncConnection, event: ReceivedEvent) -> None:
        calls.append(f"applied {event.sequence}")
        await apply(tx, event)

    worker = consumer(subscriber, redis, port, handlers={EVENT: handle}, preparations={EVENT: prepare})
    async with running(relay(publisher, redis).run, worker.run):
        await publish(publisher, 1)
        await eventually(lambda: all_applied(publisher, subscriber))
    assert calls == ["prepared 1"] * 3 + ["applied 1"]


async def test_an_event_that_its_owner_has_lost_parks_the_aggregate(
    publisher: AsyncEngine, subscriber: AsyncEngine, subscriber_url: str, redis: Redis, port: ReplayPort
) -> None:
    """What comes after a hole is never applied as if nothing had been before it."""
    await publish(publisher, 7, count=3)
    async with transaction(publisher) as tx:
        await tx.execute(text("DELETE FROM outbox WHERE aggregate_id = '7' AND sequence = 2"))
    async with running(consumer(subscriber, redis, port, sweep_seconds=0.3).run):
        parked = await eventually(lambda: list_parked(subscriber, "sample"))
    assert parked == [AggregateKey(LABEL, TOPIC, "7")]
    assert await applied(subscriber) == {"7": [1]}
    async with transaction(subscriber) as tx:
        error = (await tx.execute(text("SELECT error FROM inbox_parked"))).scalar_one_or_none()
    assert error is None or error.startswith("EventsMissing"), EventsMissing.reason
    options = ["--consumer", "sample", "--database-url", subscriber_url]
    told = await asyncio.to_thread(CliRunner().invoke, operator_app, ["parked", *options])
    assert told.output == f"label {LABEL} topic {TOPIC} aggregate 7\n"
    which = ["--label", str(LABEL), "--topic", TOPIC, "--aggregate", "7"]
    assert (await asyncio.to_thread(CliRunner().invoke, operator_app, ["unpark", *which, *options])).exit_code == 0
    assert await list_parked(subscriber, "sample") == []


TRANSIENT = [
    pytest.param(UpstreamUnavailable(), id="unavailable"),
    pytest.param(VersionConflict("changed by another"), id="conflict"),
    pytest.param(RemoteError(Kind.INTERNAL, "INTERNAL", "a bug of the peer", {}), id="bug of a peer"),
]


@pytest.mark.parametrize("failure", TRANSIENT)
async def test_what_is_not_the_fault_of_the_event_is_waited_out_and_never_counted(
    publisher: AsyncEngine, subscriber: AsyncEngine, redis: Redis, port: ReplayPort, failure: DomainError
) -> None:
    attempts = 0

    async def refuse(tx: AsyncConnection, event: ReceivedEvent) -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 7:
            raise failure
        await apply(tx, event)

    async with running(relay(publisher, redis).run, consumer(subscriber, redis, port, handlers={EVENT: refuse}).run):
        await publish(publisher, 1)
        await eventually(lambda: all_applied(publisher, subscriber))
    assert attempts == 7


async def test_failures_that_count_are_spread_over_the_patience(
    publisher: AsyncEngine, subscriber: AsyncEngine, redis: Redis, port: ReplayPort
) -> None:
    times: list[float] = []

    async def fail(tx: AsyncConnection, event: ReceivedEvent) -> None:
        times.append(asyncio.get_running_loop().time())
        raise EventsMissing("a refusal that no waiting mends")

    worker = consumer(subscriber, redis, port, handlers={EVENT: fail}, patience=Patience(4, 0.1))
    async with running(relay(publisher, redis).run, worker.run):
        await publish(publisher, 1)
        await eventually(lambda: list_parked(subscriber, "sample"))
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(pauses) == 3
    assert all(pause >= wanted for pause, wanted in zip(pauses, [0.1, 0.2, 0.4], strict=True)), pauses


def test_five_failures_span_half_a_minute() -> None:
    patience = Patience()
    assert patience.failures_to_park == 5
    assert sum(patience.pause_seconds(count) for count in range(1, 5)) >= 30


async def test_a_part_set_aside_stops_nothing_else(
    publisher: AsyncEngine, subscriber: AsyncEngine, subscriber_url: str, redis: Redis, port: ReplayPort, clock: Clock
) -> None:
    attempts = 0

    async def contradict(tx: AsyncConnection, event: ReceivedEvent) -> None:
        nonlocal attempts
        attempts += 1
        await apply(tx, event)
        conflict = EventsMissing("volume 2 was booked as 1\x00\ud800")  # as a comment of a deal may hold
        await set_aside(tx, event, part="deal 5 of account 9", error=conflict, now=clock.now())
        if attempts == 1:
            raise UpstreamUnavailable  # rolled back with all the rest

    worker = consumer(subscriber, redis, port, handlers={EVENT: apply, POISON: contradict})
    async with running(relay(publisher, redis).run, worker.run):
        await publish(publisher, 1, type=POISON, payload=b"evidence")
        await publish(publisher, 1, count=3)
        await eventually(lambda: all_applied(publisher, subscriber))
    assert await list_parked(subscriber, "sample") == []
    [row] = await list_set_aside(subscriber)
    assert (row.label, row.aggregate_type, row.aggregate_id, row.sequence) == (LABEL, TOPIC, "1", 1)
    options = ["--database-url", subscriber_url]
    told = await asyncio.to_thread(CliRunner().invoke, operator_app, ["set-aside", *options])
    assert told.output == (
        f"{row.set_aside_id} {clock.now().isoformat()} label {LABEL} topic {TOPIC} aggregate 1 event 1"
        " deal 5 of account 9: EVENTS_MISSING: volume 2 was booked as 1\ufffd?\n"
    )
    done = ["settle", str(row.set_aside_id), "--note", "booked by hand"]
    assert (await asyncio.to_thread(CliRunner().invoke, operator_app, [*done, *options])).exit_code == 0
    assert await list_set_aside(subscriber) == []
    with pytest.raises(NotFound):
        await settle_set_aside(subscriber, row.set_aside_id, note="again", now=clock.now())


async def test_unknown_types_are_passed_and_hooks_run_after_the_commit(
    publisher: AsyncEngine, subscriber: AsyncEngine, redis: Redis, port: ReplayPort
) -> None:
    seen_by_hook: list[int] = []

    async def with_hook(tx: AsyncConnection, event: ReceivedEvent) -> AfterCommit:
        await apply(tx, event)

        async def hook() -> None:
            sequences = (await applied(subscriber))["1"]
            assert event.sequence in sequences
            seen_by_hook.append(event.sequence)
            if event.sequence == 2:
                raise RuntimeError("a hook may fail without harm")

        return hook

    async with running(relay(publisher, redis).run, consumer(subscriber, redis, port, handlers={EVENT: with_hook}).run):
        await publish(publisher, 1, count=2)
        await publish(publisher, 1, type="example.Unknown")
        await publish(publisher, 1, count=2)
        await eventually(lambda: seen_by_hook == [1, 2, 4, 5])


async def published(redis: Redis, key: str, count: int) -> list[list[object]] | None:
    entries: list[list[object]] = await redis.command("XRANGE", key, "-", "+")
    return entries if len(entries) >= count else None


async def applied_counts(subscriber: AsyncEngine, wanted: dict[str, int]) -> bool:
    return {key: len(sequences) for key, sequences in (await applied(subscriber)).items()} == wanted


def wire(event: ReceivedEvent) -> bytes:
    from apportion.events.replay import event_message

    return event_message(event._asdict()).SerializeToString()
