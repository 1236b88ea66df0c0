"""The consumer of one service: shares the partitions among its workers and applies events exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import DomainError
from apportion.events import metrics
from apportion.events.inbox import AggregateKey, Cursor, list_parked, load_cursors
from apportion.events.lane import Handler, Lane, LaneSettings, Patience, Preparation
from apportion.events.received_event import ReceivedEvent
from apportion.events.redis import Redis
from apportion.events.replay import Head, ReplayPort
from apportion.events.set_aside import count_set_aside
from apportion.events.stream_reader import StreamReader
from apportion.events.sweep import Sweep
from apportion.runtime import Clock
from apportion.storage import PARTITIONS, transaction
from apportion.storage.leases import Lease, LeaseKeeper

log = structlog.get_logger()

SWEEP_SECONDS = 30.0
SWEEP_SECONDS_WITHOUT_REDIS = 1.0
CHECK_SECONDS = 1.0
RELEASE_GRACE_SHARE = 0.25  # of the lease, which must outlive the grace
LEASE_SECONDS = 10.0
CONCURRENT_TRANSACTIONS = 4
PATIENCE = Patience()
NO_PREPARATIONS: Mapping[str, Preparation] = MappingProxyType({})


@dataclass
class HeldPartition:
    """A partition that this worker owns, with a lane for each aggregate seen in it."""

    number: int
    lease: Lease
    lanes: dict[AggregateKey, Lane] = field(default_factory=dict)


class Consumer:
    """Applies the events of some topics, each exactly once and in the order of its aggregate.

    `name` is the consumer's identity in the inbox: one per service. `topics` names the owner of each topic,
    `handlers` takes the full name of a payload message to the function that applies it inside the transaction that
    moves the cursor. Several events of an aggregate may share a transaction, and a transaction may be repeated after
    a rollback: a handler has no effects but through `tx`, and returns what is to be done after the commit, if anything.
    `preparations`, by type as well, run before the transaction begins: there a handler's questions to other services
    are asked, so that nobody waits for its locks meanwhile.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        redis: Redis,
        *,
        name: str,
        topics: Mapping[str, ReplayPort],
        handlers: Mapping[str, Handler],
        owner: str,
        clock: Clock,
        partitions: int = PARTITIONS,
        lease_seconds: float = LEASE_SECONDS,
        sweep_seconds: float = SWEEP_SECONDS,
        concurrent_transactions: int = CONCURRENT_TRANSACTIONS,
        patience: Patience = PATIENCE,
        preparations: Mapping[str, Preparation] = NO_PREPARATIONS,
    ) -> None:
        self._engine = engine
        self._name = name
        self._sweep_seconds = sweep_seconds
        self._release_grace_seconds = lease_seconds * RELEASE_GRACE_SHARE
        self._held: dict[int, HeldPartition] = {}
        self._reader = StreamReader(
            redis, list(topics), name=f"consumer:{name}:{owner}", on_event=self._offer, on_unsure=self._want_sweep
        )
        self._sweeps = [
            Sweep(
                name,
                topic,
                owner_of_topic,
                held=self._held.keys,
                pause_seconds=self._sweep_pause_seconds,
                on_heads=self._offer_heads,
            )
            for topic, owner_of_topic in topics.items()
        ]
        self._keeper = LeaseKeeper(
            engine,
            f"consumer:{name}",
            [str(partition) for partition in range(partitions)],
            owner,
            clock=clock,
            ttl_seconds=lease_seconds,
            on_acquire=self._acquired,
            on_release=self._released,
        )
        self._lanes = LaneSettings(
            engine=engine,
            consumer=name,
            handlers=handlers,
            owners=topics,
            clock=clock,
            slots=asyncio.Semaphore(concurrent_transactions),
            leases=self._keeper,
            patience=patience,
            preparations=preparations,
        )

    @property
    def held_partitions(self) -> frozenset[int]:
        """The partitions this worker owns now."""
        return frozenset(self._held)

    async def run(self) -> None:
        """Consume for ever; cancelled, it finishes the transactions at hand and gives its leases back."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keeper.run(), name=f"{self._name}_leases")
            group.create_task(self._reader.run(), name=f"{self._name}_streams")
            for sweep in self._sweeps:
                group.create_task(sweep.run(), name=f"{self._name}_sweep")
            group.create_task(self._check_for_ever(), name=f"{self._name}_check")

    async def _acquired(self, lease: Lease) -> None:
        number = int(lease.key)
        if number in self._held:
            await self._close(number)
        self._held[number] = HeldPartition(number, lease)
        metrics.HELD.labels(self._name).set(len(self._held))
        self._reader.follow(number)
        if not self._reader.is_up:
            self._want_sweep({number})

    async def _released(self, lease: Lease) -> None:
        held = self._held.get(int(lease.key))
        if held is not None and held.lease == lease:
            await self._close(held.number)

    async def _close(self, number: int) -> None:
        self._reader.leave(number)
        held = self._held.pop(number)
        metrics.HELD.labels(self._name).set(len(self._held))
        await asyncio.gather(*(lane.close(self._release_grace_seconds) for lane in held.lanes.values()))

    def _offer(self, partition: int, event: ReceivedEvent) -> None:
        held = self._held.get(partition)
        if held is not None:
            key = AggregateKey(event.label, event.aggregate_type, event.aggregate_id)
            self._lane(held, key, None).offer(event)

    def _lane(self, held: HeldPartition, key: AggregateKey, cursor: Cursor | None) -> Lane:
        lane = held.lanes.get(key)
        if lane is None:
            lane = held.lanes[key] = Lane(self._lanes, held.lease, key, cursor)
        return lane

    def _want_sweep(self, partitions: Collection[int]) -> None:
        for sweep in self._sweeps:
            sweep.want(partitions)

    def _sweep_pause_seconds(self) -> float:
        return self._sweep_seconds if self._reader.is_up else SWEEP_SECONDS_WITHOUT_REDIS

    async def _offer_heads(self, partition: int, topic: str, heads: list[Head]) -> None:
        held = self._held.get(partition)
        if held is None:
            return
        keys = {AggregateKey(head.label, topic, head.aggregate_id): head.sequence for head in heads}
        unseen = [key for key in keys if key not in held.lanes]
        cursors: dict[AggregateKey, Cursor] = {}
        if unseen:
            async with transaction(self._engine) as tx:
                cursors = await load_cursors(tx, self._name, topic, unseen)
        if self._held.get(held.number) is held:
            for key, sequence in keys.items():
                self._lane(held, key, cursors.get(key)).offer_head(sequence)

    async def _check_for_ever(self) -> None:
        """Each second: did Redis lose its memory, was an aggregate un-parked, what waits for a person, what for us."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                await self._reader.check_memory()
                await self._check_parked()
                metrics.SET_ASIDE.labels(self._name).set(await count_set_aside(self._engine))
            except DomainError as error:
                log.warning("consumer_check_failed", consumer=self._name, cause=str(error))
            metrics.STREAM_UP.labels(self._name).set(self._reader.is_up)
            metrics.LAG.labels(self._name).set(sum(lane.distance for lane in self._lanes.busy))

    async def _check_parked(self) -> None:
        here = list(self._lanes.parked)
        metrics.PARKED.labels(self._name).set(len(here))
        if here:
            parked = set(await list_parked(self._engine, self._name))
            for lane in here:
                if lane.key not in parked:
                    lane.reopen()
