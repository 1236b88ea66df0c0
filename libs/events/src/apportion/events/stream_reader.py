"""Reads the streams of all partitions that a worker holds, with one blocking XREAD at a time.

No consumer groups: a partition has one reader at a time by its lease, the cursors in PostgreSQL say what was applied,
and an entry that gets lost between the read and the commit is pulled from its owner like any other gap. A group's
pending list would be a second, weaker account of the same thing, to be claimed, acknowledged and rebuilt after a wipe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog
from google.protobuf.message import DecodeError

from apportion.api.common.v1.events_pb2 import Event
from apportion.errors import DomainError, UpstreamUnavailable
from apportion.events.received_event import ReceivedEvent, received, stream_key
from apportion.events.redis import Redis
from apportion.events.redis_connection import RedisConnection, Reply, Word, checked
from apportion.events.redis_memory import RedisMemory

log = structlog.get_logger()

Stream = tuple[str, int]
"""(topic, partition)"""

READ_COUNT = 100
BLOCK_MILLISECONDS = 250
ANSWER_SECONDS = 5.0
"""A server that stays silent for much longer than it may block is lost."""
RETRY_SECONDS = 0.2
FROM_START = b"0-0"


class StreamReader:
    """Follows a changing set of streams from where each ends when it is first seen.

    `on_unsure(partitions)` is called once the end of their streams is known: what was published before it is to be
    learnt from the owners, what comes after it arrives by `on_event`; and called when the connection is lost. After
    each loss, also of Redis's memory, all streams are joined anew. `name` must be this process's own.
    """

    def __init__(
        self,
        redis: Redis,
        topics: Sequence[str],
        *,
        name: str,
        on_event: Callable[[int, ReceivedEvent], None],
        on_unsure: Callable[[set[int]], None],
    ) -> None:
        self._redis = redis
        self._memory = RedisMemory(redis, name)
        self._topics = tuple(topics)
        self._on_event = on_event
        self._on_unsure = on_unsure
        self._partitions: set[int] = set()
        self._positions: dict[bytes, bytes] = {}
        self._streams: Mapping[bytes, Stream] = {}
        self._changed = asyncio.Event()
        self.is_up = False

    def follow(self, partition: int) -> None:
        """Join the partition's streams, anew if they were followed before: in between nobody took their events."""
        self._partitions.add(partition)
        for topic in self._topics:
            self._positions.pop(stream_key(topic, partition).encode(), None)
        self._changed.set()

    def leave(self, partition: int) -> None:
        self._partitions.discard(partition)
        self._changed.set()

    async def check_memory(self) -> None:
        """Join again when Redis was wiped or restarted since the last join. Raises UpstreamUnavailable."""
        if self.is_up and not await self._memory.is_intact():
            log.warning("stream_memory_lost")
            self._positions = {}
            self._changed.set()

    async def run(self) -> None:
        """Read for ever; while Redis is away, `is_up` is False."""
        while True:
            try:
                connection = await self._redis.connect(answer_seconds=ANSWER_SECONDS)
                try:
                    self._positions = {}
                    await self._read(connection)
                finally:
                    connection.close()
            except UpstreamUnavailable as error:
                if self.is_up:
                    log.warning("stream_interrupted", cause=str(error))
                    self.is_up = False
                    self._on_unsure(set(self._partitions))
                await asyncio.sleep(RETRY_SECONDS)

    async def _read(self, connection: RedisConnection) -> None:
        command: list[Word] = []
        while True:
            if self._changed.is_set() or not command:
                self._changed.clear()
                await self._join(connection)
                self.is_up = True
            if not self._positions:
                await self._changed.wait()
                continue
            command = ["XREAD", "COUNT", READ_COUNT, "BLOCK", BLOCK_MILLISECONDS, "STREAMS"]
            command += [*self._positions.keys(), *self._positions.values()]
            [streams] = await _answers(connection, [command])
            for key, entries in streams or ():
                if key in self._positions:
                    self._positions[key] = entries[-1][0]
                    for _, fields in entries:
                        self._deliver(self._streams[key], fields)
            await asyncio.sleep(0)  # the lanes start before the next read is packed

    async def _join(self, connection: RedisConnection) -> None:
        """Forget streams that were left; find the end of each new one."""
        partitions = set(self._partitions)
        self._streams = {
            stream_key(topic, partition).encode(): (topic, partition)
            for partition in partitions
            for topic in self._topics
        }
        self._positions = {key: at for key, at in self._positions.items() if key in self._streams}
        new = [key for key in self._streams if key not in self._positions]
        if not new:
            return
        if len(new) == len(self._streams):
            await self._memory.renew()
        ends = await _answers(connection, [("XREVRANGE", key, "+", "-", "COUNT", 1) for key in new])
        for key, entries in zip(new, ends, strict=True):
            self._positions[key] = entries[0][0] if entries else FROM_START
        self._on_unsure({self._streams[key][1] for key in new})

    def _deliver(self, stream: Stream, fields: Sequence[bytes]) -> None:
        topic, partition = stream
        try:
            event = received(Event.FromString(fields[1]))
        except (DecodeError, ValueError, IndexError, DomainError) as error:
            event = None
            log.error("stream_entry_unreadable", topic=topic, partition=partition, cause=str(error))
        if event is not None and event.aggregate_type == topic:
            self._on_event(partition, event)


async def _answers(connection: RedisConnection, commands: Sequence[Sequence[Word]]) -> list[Reply]:
    return [checked(await answer) for answer in connection.send(commands)]
