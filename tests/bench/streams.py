"""Events: from stream to handler, and from a master's deal to the published decision."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from tests.bench import database
from tests.bench.house import (
    CLOCK,
    LABEL,
    PACKAGE,
    TRADING_SERVER,
    NothingMissed,
    deal_observed,
    new_desk,
    open_masters,
)
from tests.bench.kernel import CHILDREN, bare_seconds
from tests.bench.measure import Row, duration, in_turn_async, latency, rate
from tests.bench.servers import Servers

from apportion.allocation.consumers import handlers, preparations
from apportion.allocation.operations.event_payloads import ALLOCATIONS
from apportion.api.common.v1 import events_pb2
from apportion.events import AfterCommit, Consumer, Handler, Preparation, ReceivedEvent, Redis, Relay, stream_key
from apportion.events.redis_connection import RedisConnection
from apportion.events.stream_reader import StreamReader
from apportion.rpc import to_timestamp
from apportion.storage import PARTITIONS, create_engine, partition_of
from apportion.testing.polling import eventually

TOPIC = "deals"
DEAL = "apportion.api.platform_groups.v1.DealsObserved"
PROBE = "bench.Probe"
EVENTS = 200
FLOOD = 20_000
COUNT = 100
MASTERS = 8
DEALS_A_MASTER = 6
PAUSE_SECONDS = 0.005
"""Between events: the last commit is over, and the reader asks again."""

XADD = Sequence[Any]


class Feed:
    """Publishes as the relay of platform-groups does: numbered events, one aggregate a partition."""

    def __init__(self) -> None:
        self._sequences = [itertools.count(1) for _ in range(PARTITIONS)]

    def xadd(self, partition: int, event_type: str, payload: bytes) -> XADD:
        event = events_pb2.Event(
            event_id=str(uuid.uuid4()),
            label=LABEL,
            aggregate_type=TOPIC,
            aggregate_id=f"{TRADING_SERVER}/{partition}",
            sequence=next(self._sequences[partition]),
            type=event_type,
            occurred_time=to_timestamp(CLOCK.now()),
            partition=partition,
            payload=payload,
        )
        key = stream_key(TOPIC, partition)
        return ("XADD", key, "MAXLEN", "~", 10_000, "*", "event", event.SerializeToString())


class Probe:
    """A handler that writes nothing of its own; tells when it was called, and when its transaction was committed."""

    def __init__(self) -> None:
        self.called = asyncio.Event()
        self.committed = asyncio.Event()
        self.count = 0

    async def handle(self, _tx: AsyncConnection, _event: ReceivedEvent) -> AfterCommit:
        self.called.set()
        return self._after_commit

    async def _after_commit(self) -> None:
        self.count += 1
        self.committed.set()


class Follower:
    """A thin reader of some streams from their ends on, through one connection of its own."""

    def __init__(self, connection: RedisConnection, keys: Sequence[str]) -> None:
        self._connection = connection
        self._positions: dict[bytes, bytes] = {key.encode(): b"0-0" for key in keys}

    @classmethod
    async def at_end(cls, redis: Redis, keys: Sequence[str]) -> Follower:
        follower = cls(await redis.connect(), keys)
        for key in keys:
            for entry in await redis.command("XREVRANGE", key, "+", "-", "COUNT", 1):
                follower._positions[key.encode()] = entry[0]
        return follower

    def ask(self) -> asyncio.Future[Any]:
        """Sends the blocking read; `take` its answer."""
        words = ("XREAD", "COUNT", COUNT, "BLOCK", 30_000, "STREAMS")
        return self._connection.send([(*words, *self._positions, *self._positions.values())])[0]

    def take(self, answer: Any) -> int:
        """How many entries came."""
        for key, entries in answer:
            self._positions[key] = entries[-1][0]
        return sum(len(entries) for _, entries in answer)

    def close(self) -> None:
        self._connection.close()


async def stream_seconds(redis: Redis) -> float:
    """XADD to the answer of a thin blocking reader."""
    follower = await Follower.at_end(redis, ["bare"])
    delays = []
    for _ in range(EVENTS):
        answer = follower.ask()
        await asyncio.sleep(PAUSE_SECONDS)
        started = time.perf_counter()
        await redis.command("XADD", "bare", "MAXLEN", "~", 10_000, "*", "event", b"x" * 200)
        follower.take(await answer)
        delays.append(time.perf_counter() - started)
    follower.close()
    return statistics.median(delays)


async def consumed_seconds(redis: Redis, feed: Feed) -> float:
    """XADD to the event as a consumer has it, which reads the streams of all 64 partitions."""
    arrived, joined = asyncio.Event(), asyncio.Event()
    reader = StreamReader(
        redis, [TOPIC], name="bench", on_event=lambda *_: arrived.set(), on_unsure=lambda _: joined.set()
    )
    for partition in range(PARTITIONS):
        reader.follow(partition)
    task = asyncio.ensure_future(reader.run())
    await joined.wait()
    delays = await timed(redis, lambda: feed.xadd(1, PROBE, b"x" * 150), arrived)
    task.cancel()
    return delays


async def handler_seconds(redis: Redis, feed: Feed, probe: Probe) -> float:
    """XADD to the handler, inside the transaction that has checked the fence and moved the cursor."""
    return await timed(redis, lambda: feed.xadd(1, PROBE, b"x" * 150), probe.called)


async def applied_seconds(redis: Redis, feed: Feed, probe: Probe) -> float:
    """XADD to the end of the inbox transaction: fence, cursor, handler, commit."""
    return await timed(redis, lambda: feed.xadd(1, PROBE, b"x" * 150), probe.committed)


async def timed(redis: Redis, entry: Callable[[], XADD], arrived: asyncio.Event) -> float:
    """Median seconds from the command to the event."""
    delays = []
    for _ in range(EVENTS):
        await asyncio.sleep(PAUSE_SECONDS)
        arrived.clear()
        command = entry()
        started = time.perf_counter()
        await redis.command(*command)
        await arrived.wait()
        delays.append(time.perf_counter() - started)
    return statistics.median(delays)


async def handled_a_second(redis: Redis, feed: Feed, probe: Probe) -> float:
    """Events over all partitions through lanes, inbox and handler, every one committed."""
    wanted = probe.count + FLOOD
    commands = [feed.xadd(number % PARTITIONS, PROBE, b"x" * 150) for number in range(FLOOD)]
    started = time.perf_counter()
    await redis.commands(commands)
    while probe.count < wanted:
        probe.committed.clear()
        await probe.committed.wait()
    return FLOOD / (time.perf_counter() - started)


async def read_a_second(redis: Redis) -> float:
    """A consumer group's bare loop: XREADGROUP COUNT 100, one XACK a batch."""
    await redis.command("DEL", "bare_group")
    await redis.command("XGROUP", "CREATE", "bare_group", "bench", "$", "MKSTREAM")
    connection = await redis.connect()
    read = ("XREADGROUP", "GROUP", "bench", "one", "COUNT", COUNT, "BLOCK", 5_000, "STREAMS", "bare_group", ">")
    answer, count = connection.send([read])[0], 0
    started = time.perf_counter()
    await redis.commands([("XADD", "bare_group", "*", "event", b"x" * 350)] * FLOOD)
    while count < FLOOD:
        entries = (await answer)[0][1]
        count += len(entries)
        _, answer = connection.send([("XACK", "bare_group", "bench", *(entry[0] for entry in entries)), read])
    connection.close()
    return FLOOD / (time.perf_counter() - started)


async def decided_seconds(redis: Redis, feed: Feed) -> float:
    """A master's deal in the stream → decided, committed, published, read from the stream of decisions."""
    partition = partition_of(1)
    follower = await Follower.at_end(redis, [stream_key(ALLOCATIONS, partition)])

    async def deal() -> None:
        answer = follower.ask()
        await redis.command(*feed.xadd(partition, DEAL, deal_observed(1, next(_tickets))))
        follower.take(await answer)

    taken = await latency(deal, EVENTS // 4)
    follower.close()
    return taken


async def decided_children_a_second(redis: Redis, feed: Feed) -> float:
    """Deals of several masters at once."""
    accounts = range(1, MASTERS + 1)
    follower = await Follower.at_end(redis, [stream_key(ALLOCATIONS, partition_of(account)) for account in accounts])
    commands = [
        feed.xadd(partition_of(account), DEAL, deal_observed(account, next(_tickets)))
        for _ in range(DEALS_A_MASTER)
        for account in accounts
    ]
    count, wanted = 0, len(commands)
    started = time.perf_counter()
    await redis.commands(commands)
    while count < wanted:
        count += follower.take(await follower.ask())
    taken = time.perf_counter() - started
    follower.close()
    return wanted * CHILDREN / taken


_tickets = itertools.count(1)


@asynccontextmanager
async def consuming(
    engine: AsyncEngine,
    redis: Redis,
    by_type: Mapping[str, Handler],
    *more: Callable[[], Awaitable[None]],
    prepare: Mapping[str, Preparation] = MappingProxyType({}),
) -> AsyncIterator[None]:
    """A consumer that holds all partitions and has joined their streams; `more` loops run beside it."""
    consumer = Consumer(
        engine,
        redis,
        name="allocation",
        topics={TOPIC: NothingMissed()},
        handlers=by_type,
        preparations=prepare,
        owner="bench",
        clock=CLOCK,
        sweep_seconds=600,
    )
    tasks = [asyncio.ensure_future(loop()) for loop in (consumer.run, *more)]
    try:
        await eventually(lambda: len(consumer.held_partitions) == PARTITIONS)
        await asyncio.sleep(1.0)  # the streams are joined
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def rows(servers: Servers) -> list[Row]:
    return [*await consume_rows(servers), *await decide_rows(servers)]


async def consume_rows(servers: Servers) -> list[Row]:
    url = await servers.database("consumer", PACKAGE)
    engine, connection = create_engine(url), await database.connect(url)
    redis, feed, probe = Redis(await servers.redis_url(1)), Feed(), Probe()

    async def floor() -> float:
        return await stream_seconds(redis) + await database.insert_seconds(connection)

    reading = await in_turn_async(lambda: consumed_seconds(redis, Feed()), lambda: stream_seconds(redis))
    async with consuming(engine, redis, {PROBE: probe.handle}):
        handling = await in_turn_async(lambda: handler_seconds(redis, feed, probe), lambda: stream_seconds(redis))
        applying = await in_turn_async(lambda: applied_seconds(redis, feed, probe), floor)
        flooding = await in_turn_async(lambda: handled_a_second(redis, feed, probe), lambda: read_a_second(redis), 3)
    await redis.close()
    await connection.close()
    await engine.dispose()
    return [
        _latency_row("publish → decoded by the consumer's reader, p50", "thin stream loop", reading, 1.5, 3.5),
        _latency_row("publish → handler, p50", "thin stream loop", handling, 1.5, 3.5),
        _latency_row("publish → applied exactly once, durable", "stream + insert", applying, 2.5, 6),
        Row(
            "events/s, applied exactly once",
            rate(flooding[0]),
            f"XREADGROUP + XACK {rate(flooding[1])}",
            flooding[2],
            0.5,
            0.2,
        ),
    ]


def _latency_row(headline: str, floor: str, measured: tuple[float, float, float], good: float, fail: float) -> Row:
    return Row(headline, duration(measured[0]), f"{floor} {duration(measured[1])}", measured[2], good, fail)


async def decide_rows(servers: Servers) -> list[Row]:
    url = await servers.database("decider", PACKAGE)
    engine, connection = create_engine(url), await database.connect(url)
    redis, feed, desk = Redis(await servers.redis_url(2)), Feed(), new_desk(MASTERS)
    await open_masters(engine, MASTERS)
    relay = Relay(engine, redis, owner="bench", clock=CLOCK)

    async def floor() -> float:
        return await stream_seconds(redis) + await database.insert_seconds(connection) + bare_seconds()

    async with consuming(
        engine, redis, handlers(desk, CLOCK, lambda *_: None), relay.run, prepare=preparations(desk, CLOCK)
    ):
        deciding = await in_turn_async(lambda: decided_seconds(redis, feed), floor)
        lasting = await in_turn_async(
            lambda: decided_children_a_second(redis, feed), lambda: database.copied_rows_a_second(connection), 3
        )
    await redis.close()
    await connection.close()
    await engine.dispose()
    name = "event → decided, durable, published, 10k"
    return [
        _latency_row(name, "stream + insert + kernel", deciding, 2.5, 6),
        Row("… sustained, children", rate(lasting[0]), f"COPY, rows {rate(lasting[1])}", lasting[2], 5, 1),
    ]
