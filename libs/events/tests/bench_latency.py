"""How much the promises cost: a bare stream loop against relay, inbox and handler. Run: python bench_latency.py"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path

import redis.asyncio
import structlog
import uvloop
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

sys.path.insert(0, str(Path(__file__).parent))

from events_sample.world import EVENT, LABEL, TOPIC, consumer, publish, relay, replay_client, replay_server, running

from apportion.devstack.postgres import EmbeddedPostgres
from apportion.devstack.valkey import EmbeddedValkey
from apportion.events import ReceivedEvent, Redis, stream_key
from apportion.events.replay import event_message
from apportion.events.stream_reader import StreamReader
from apportion.runtime import SystemClock
from apportion.storage import create_engine, migrate
from apportion.testing.polling import eventually

ROUNDS = 5
EVENTS_A_ROUND = 300
FLOOD = 5_000


def entry(sequence: int, aggregate_id: str = "1", topic: str = TOPIC) -> bytes:
    row = {
        "event_id": uuid.uuid4(),
        "label": LABEL,
        "aggregate_type": topic,
        "aggregate_id": aggregate_id,
        "sequence": sequence,
        "type": EVENT,
        "occurred_time": SystemClock().now(),
        "partition": 1,
        "payload": b"x" * 200,
    }
    return event_message(row).SerializeToString()


async def bare_thin_client(client: Redis) -> list[float]:
    reader = await client.connect()
    position: bytes = await client.command("XADD", "bare", "*", "event", "first")
    delays = []
    for number in range(EVENTS_A_ROUND):
        answer = reader.send([("XREAD", "COUNT", 100, "BLOCK", 5_000, "STREAMS", "bare", position)])[0]
        await asyncio.sleep(0.001)
        started = time.perf_counter()
        await client.command("XADD", "bare", "MAXLEN", "~", 1_000, "*", "event", entry(number + 1))
        position = (await answer)[0][1][-1][0]
        delays.append(time.perf_counter() - started)
    reader.close()
    return delays


async def stream_reader(client: Redis) -> list[float]:
    """XADD to a decoded event, with all 64 streams of a topic in the read."""
    arrived, joined = asyncio.Event(), asyncio.Event()
    reader = StreamReader(
        client, ["reader"], name="bench", on_event=lambda *_: arrived.set(), on_unsure=lambda _: joined.set()
    )
    for partition in range(64):
        reader.follow(partition)
    delays = []
    async with running(reader.run):
        await joined.wait()
        for number in range(EVENTS_A_ROUND):
            await asyncio.sleep(0.001)
            arrived.clear()
            started = time.perf_counter()
            await client.command("XADD", stream_key("reader", 1), "*", "event", entry(number + 1, topic="reader"))
            await arrived.wait()
            delays.append(time.perf_counter() - started)
    return delays


async def bare_redis_py(url: str) -> list[float]:
    delays = []
    async with redis.asyncio.Redis.from_url(url) as writer, redis.asyncio.Redis.from_url(url) as reader:
        position: bytes = await writer.xadd("bare", {"event": "first"})
        await reader.ping()
        for number in range(EVENTS_A_ROUND):
            answer = asyncio.create_task(reader.xread({"bare": position}, count=100, block=5_000))
            await asyncio.sleep(0.001)
            started = time.perf_counter()
            await writer.xadd("bare", {"event": entry(number + 1)}, maxlen=1_000)
            position = (await answer)[0][1][-1][0]
            delays.append(time.perf_counter() - started)
    return delays


class Probe:
    """A handler that tells when it was called; what it would write is its service's own cost."""

    def __init__(self) -> None:
        self.called = asyncio.Event()
        self.count = 0

    async def handle(self, _tx: AsyncConnection, _event: ReceivedEvent) -> None:
        self.count += 1
        self.called.set()


async def stream_to_handler(client: Redis, probe: Probe, first: int) -> list[float]:
    delays = []
    for number in range(EVENTS_A_ROUND):
        await asyncio.sleep(0.003)  # the commit of the last one
        probe.called.clear()
        started = time.perf_counter()
        await client.command("XADD", stream_key(TOPIC, 1), "*", "event", entry(first + number))
        await probe.called.wait()
        delays.append(time.perf_counter() - started)
    return delays


async def commit_to_handler(publisher: AsyncEngine, probe: Probe) -> list[float]:
    delays = []
    for _ in range(EVENTS_A_ROUND):
        await asyncio.sleep(0.003)
        probe.called.clear()
        await publish(publisher, 2)
        started = time.perf_counter()
        await probe.called.wait()
        delays.append(time.perf_counter() - started)
    return delays


async def flood(client: Redis, probe: Probe, aggregates: int) -> float:
    """Events a second through lanes, inbox and handler."""
    before = probe.count
    commands = []
    for number in range(FLOOD):
        event = entry(number // aggregates + 1, f"flood-{aggregates}-{number % aggregates}")
        commands.append(("XADD", stream_key(TOPIC, 1), "*", "event", event))
    started = time.perf_counter()
    await client.commands(commands)
    await eventually(lambda: probe.count >= before + FLOOD, 60)
    return FLOOD / (time.perf_counter() - started)


async def raw_flood(client: Redis) -> float:
    reader = await client.connect()
    position, count = await client.command("XADD", "raw", "*", "event", "first"), 0
    answer = reader.send([("XREAD", "COUNT", 100, "BLOCK", 5_000, "STREAMS", "raw", position)])[0]
    started = time.perf_counter()
    await client.commands([("XADD", "raw", "*", "event", entry(number + 1)) for number in range(FLOOD)])
    while count < FLOOD:
        entries = (await answer)[0][1]
        count, position = count + len(entries), entries[-1][0]
        answer = reader.send([("XREAD", "COUNT", 100, "BLOCK", 5_000, "STREAMS", "raw", position)])[0]
    reader.close()
    return FLOOD / (time.perf_counter() - started)


def show(name: str, delays: list[float], base: float) -> None:
    ordered = sorted(delays)
    p50, p99 = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    print(f"{name:44} p50 {p50 * 1e6:7.0f} µs  p99 {p99 * 1e6:7.0f} µs  ratio {p50 / base:5.2f}")


async def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    folder = Path(tempfile.mkdtemp())
    postgres, valkey = (
        EmbeddedPostgres(folder / "postgres", fsync="--fsync" in sys.argv),
        EmbeddedValkey(folder / "valkey"),
    )
    await postgres.start()
    urls = [await postgres.create_database(name, name) for name in ("publisher", "subscriber")]
    for url in urls:
        await migrate(url, "events_sample")
    publisher, subscriber = (create_engine(url) for url in urls)
    redis_url = await valkey.start()
    client, probe = Redis(redis_url), Probe()
    results: dict[str, list[float]] = {"bare": [], "reader": [], "redis-py": [], "stream": [], "commit": []}
    async with replay_server(publisher) as address, replay_client(address) as port:
        worker = consumer(subscriber, client, port, handlers={EVENT: probe.handle}, sweep_seconds=600)
        async with running(relay(publisher, client).run, worker.run):
            await eventually(lambda: len(worker.held_partitions) == 64)
            await publish(publisher, 2)
            await eventually(lambda: probe.count == 1)
            for number in range(ROUNDS):
                results["bare"] += await bare_thin_client(client)
                results["reader"] += await stream_reader(client)
                results["redis-py"] += await bare_redis_py(redis_url)
                results["stream"] += await stream_to_handler(client, probe, number * EVENTS_A_ROUND + 1)
                results["commit"] += await commit_to_handler(publisher, probe)
            raw = statistics.median([await raw_flood(client) for _ in range(3)])
            rates = {aggregates: await flood(client, probe, aggregates) for aggregates in (1, 10, 100)}
    base = statistics.median(results["bare"])
    show("bare thin client loop, one stream", results["bare"], base)
    show("XADD to decoded event, 64 streams", results["reader"], base)
    show("bare redis-py loop, one stream", results["redis-py"], base)
    show("XADD to handler inside its transaction", results["stream"], base)
    show("commit to handler inside its transaction", results["commit"], base)
    print(f"raw XREAD loop {raw:,.0f} events/s")
    for aggregates, rate in rates.items():
        print(f"with inbox and handler, {aggregates:3} aggregates: {rate:,.0f} events/s, ratio {rate / raw:.3f}")
    await client.close()
    await publisher.dispose()
    await subscriber.dispose()
    await valkey.stop()
    await postgres.stop()


if __name__ == "__main__":
    uvloop.run(main())
