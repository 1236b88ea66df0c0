"""Who does the work of a key: one worker at a time, by a lease with an epoch in the database.

A worker heartbeats, takes its fair share of the keys and renews what it holds. A lease that ran out passes on with the
next epoch, and every write that matters checks its epoch in its own transaction: a worker that was stopped and woke up
later can do no harm. The database's clock alone decides when a lease ends; the local monotonic clock only makes the
holder give up a little earlier.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.errors import DomainError, StaleEpoch
from apportion.runtime.clock import Clock
from apportion.storage.copy import fetch_arrays
from apportion.storage.transaction import transaction

log = structlog.get_logger()

RENEWALS_PER_TTL = 4
# A round waits this part of the time to live for the work of new leases to begin; what takes longer begins behind it.
START_SHARE = 0.125
# After so many times to live, work that has not begun is given up.
START_TTLS = 4
# The holder gives up this part of the time to live before the database does.
MARGIN_SHARE = 0.1

HEARTBEAT = text(
    """
    INSERT INTO workers (kind, owner, alive_until)
    VALUES (:kind, :owner, clock_timestamp() + make_interval(secs => :ttl))
    ON CONFLICT ON CONSTRAINT workers_pkey DO UPDATE SET alive_until = excluded.alive_until
    """
)
LEAVE = text("DELETE FROM workers WHERE kind = :kind AND (owner = :owner OR alive_until < clock_timestamp())")
COUNT_ALIVE = text("SELECT count(*) FROM workers WHERE kind = :kind AND alive_until >= clock_timestamp()")
ADD_KEYS = text(
    """
    INSERT INTO leases (kind, key, owner, epoch, lease_until)
    SELECT :kind, unnest(CAST(:keys AS text[])), '', 0, '-infinity'
    ON CONFLICT ON CONSTRAINT leases_pkey DO NOTHING
    """
)
RENEW = text(
    """
    UPDATE leases SET lease_until = clock_timestamp() + make_interval(secs => :ttl)
    FROM unnest(CAST(:keys AS text[]), CAST(:epochs AS bigint[])) AS held (key, epoch)
    WHERE leases.kind = :kind AND leases.key = held.key AND leases.epoch = held.epoch AND leases.owner = :owner
      AND leases.lease_until >= clock_timestamp()
    RETURNING leases.key
    """
)
# SKIP LOCKED: of two workers that look at once, each takes other keys; and a key stays untaken while a writer's fence
# holds it. MATERIALIZED: a sub-select that locks must run once.
TAKE = text(
    """
    WITH free AS MATERIALIZED (
        SELECT key FROM leases
        WHERE kind = :kind AND key = ANY(CAST(:keys AS text[])) AND lease_until < clock_timestamp()
        ORDER BY lease_until, key LIMIT :count FOR UPDATE SKIP LOCKED
    )
    UPDATE leases SET owner = :owner, epoch = epoch + 1, lease_until = clock_timestamp() + make_interval(secs => :ttl)
    FROM free WHERE leases.kind = :kind AND leases.key = free.key
    RETURNING leases.key, leases.epoch
    """
)
RELEASE = text(
    """
    UPDATE leases SET owner = '', lease_until = '-infinity'
    FROM unnest(CAST(:keys AS text[]), CAST(:epochs AS bigint[])) AS held (key, epoch)
    WHERE leases.kind = :kind AND leases.key = held.key AND leases.epoch = held.epoch AND leases.owner = :owner
    """
)
# FOR KEY SHARE lets renewals pass, which change no key, so that a busy partition cannot starve them; a take-over, which
# locks FOR UPDATE, must wait until the writer has committed.
FENCE = """
    SELECT leases.kind, leases.key FROM leases
    JOIN unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS held (kind, key, owner, epoch)
      ON leases.kind = held.kind AND leases.key = held.key AND leases.owner = held.owner AND leases.epoch = held.epoch
    ORDER BY leases.kind, leases.key FOR KEY SHARE OF leases
"""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to do the work of `key`. `epoch` grows each time the lease passes on; a renewal keeps it."""

    kind: str
    key: str
    owner: str
    epoch: int


LeaseCallback = Callable[[Lease], Awaitable[None]]


async def check_fence(tx: AsyncConnection, lease: Lease) -> None:
    """Raises StaleEpoch when the lease has passed on. Otherwise it cannot pass on before `tx` ends: keep `tx` short."""
    if not await standing_leases(tx, [lease]):
        raise StaleEpoch(lease_kind=lease.kind, lease_key=lease.key, epoch=lease.epoch)


async def standing_leases(tx: AsyncConnection, leases: Sequence[Lease]) -> list[Lease]:
    """Those of `leases` that have not passed on, and cannot before `tx` ends: keep `tx` short. No two of one key."""
    kinds, keys = [lease.kind for lease in leases], [lease.key for lease in leases]
    owners, epochs = [lease.owner for lease in leases], [lease.epoch for lease in leases]
    standing = {tuple(row) for row in await fetch_arrays(tx, FENCE, kinds, keys, owners, epochs)}
    return [lease for lease in leases if (lease.kind, lease.key) in standing]


async def _nothing(_lease: Lease) -> None:
    """For a keeper whose work looks at `held` by itself."""


@dataclass(frozen=True, slots=True)
class _Start:
    """Work that begins; `begun_at` on the local clock."""

    task: asyncio.Future[None]
    begun_at: float


class LeaseKeeper:
    """Holds this worker's share of the keys of one kind.

    `owner` names this process start, not the host: a restarted worker must not find itself the owner of what its
    predecessor left half done. `on_acquire` starts the work of a key, `on_release` ends it and returns when it has
    ended, also where the start failed or was cancelled half-way. A slow start holds up no renewal and no other key; one
    that takes four times to live, or that a DomainError refuses (the database was away), gives its lease back, and the
    next round takes it again. An end has half the time to live: work that ends later keeps its lease from others until
    that runs out. A bug in a callback ends `run`. After a pause longer than the time to live `valid` is false at once,
    though `on_release` comes only with the next renewal.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        kind: str,
        keys: Sequence[str],
        owner: str,
        *,
        clock: Clock,
        ttl_seconds: float = 10.0,
        on_acquire: LeaseCallback = _nothing,
        on_release: LeaseCallback = _nothing,
    ) -> None:
        if not owner:
            raise ValueError("a lease needs an owner")
        self._engine = engine
        self._kind = kind
        self._keys = list(keys)
        self._owner = owner
        self._clock = clock
        self._ttl_seconds = ttl_seconds
        self._on_acquire = on_acquire
        self._on_release = on_release
        self._held: dict[str, Lease] = {}
        self._deadlines: dict[Lease, float] = {}
        self._starts: dict[Lease, _Start] = {}
        self._round_at = 0.0
        self._changed = asyncio.Event()

    @property
    def held(self) -> dict[str, Lease]:
        """The leases by key, also those that ran out and were not given up yet: ask `valid` before acting."""
        return dict(self._held)

    def valid(self, lease: Lease) -> bool:
        """Whether the lease still stands by the local clock, with a margin: cheap, and no substitute for the fence."""
        return self._clock.monotonic() < self._deadlines.get(lease, -math.inf)

    def replace_keys(self, keys: Sequence[str]) -> None:
        """The keys to share from now on; other ones than before in a round of their own. Those that are gone end."""
        if list(keys) != self._keys:
            self._keys = list(keys)
            self._changed.set()

    async def run(self) -> None:
        """Keeps the leases until cancelled, then ends the work and hands them over."""
        try:
            while True:
                try:
                    await self.refresh()
                except DomainError as error:
                    log.warning("lease_refresh_failed", kind=self._kind, owner=self._owner, error=str(error))
                    await self._give_up(self._run_out())
                await self._next_round()
        finally:
            await self.release_all()

    async def refresh(self) -> None:
        """One round: heartbeat, renew, give up what was lost or is too much, take what is free up to the fair share."""
        asked_at = self._round_at = self._clock.monotonic()
        async with transaction(self._engine) as tx:
            await tx.execute(HEARTBEAT, self._row(ttl=self._ttl_seconds))
            alive = (await tx.execute(COUNT_ALIVE, self._row())).scalar_one()
            renewed = await self._renew(tx)
        for key in renewed:
            self._extend(self._held[key], asked_at)
        lost = [lease for key, lease in self._held.items() if key not in renewed]
        share = math.ceil(len(self._keys) / alive)
        await self._release(self._surplus(share, lost), lost=lost)
        if len(self._held) < share:
            await self._take(share - len(self._held))
        await self._see_to_starts()

    async def release_all(self) -> None:
        """Ends the work of all keys and hands the leases over at once, instead of letting others wait for their end."""
        try:
            await self._release(list(self._held.values()))
            async with transaction(self._engine) as tx:
                await tx.execute(LEAVE, self._row())
        except DomainError as error:  # the leases run out by themselves
            log.warning("lease_release_failed", kind=self._kind, owner=self._owner, error=str(error))

    async def _next_round(self) -> None:
        """When the leases are due for renewal, however long the last round took, or the keys have changed."""
        passed = self._clock.monotonic() - self._round_at
        try:
            async with asyncio.timeout(max(self._ttl_seconds / RENEWALS_PER_TTL - passed, 0.0)):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()

    async def _renew(self, tx: AsyncConnection) -> set[str]:
        if not self._held:
            return set()
        row = self._row(ttl=self._ttl_seconds, **_columns(self._held.values()))
        return set((await tx.execute(RENEW, row)).scalars())

    async def _take(self, count: int) -> None:
        free = [key for key in self._keys if key not in self._held]
        asked_at = self._clock.monotonic()
        async with transaction(self._engine) as tx:
            await tx.execute(ADD_KEYS, self._row(keys=free))
            taken = (await tx.execute(TAKE, self._row(keys=free, count=count, ttl=self._ttl_seconds))).all()
        leases = [Lease(self._kind, key, self._owner, epoch) for key, epoch in taken]
        for lease in leases:
            self._held[lease.key] = lease
            self._extend(lease, asked_at)
            log.info("lease_acquired", kind=lease.kind, key=lease.key, owner=lease.owner, epoch=lease.epoch)
            self._starts[lease] = _Start(asyncio.ensure_future(self._on_acquire(lease)), asked_at)

    async def _see_to_starts(self) -> None:
        """Gives back what failed or takes too long: kept, it would be renewed for ever with nobody at work on it."""
        if self._starts:
            tasks = [start.task for start in self._starts.values()]
            await asyncio.wait(tasks, timeout=self._ttl_seconds * START_SHARE)
        not_begun = []
        for lease, start in list(self._starts.items()):
            if not start.task.done():
                if self._clock.monotonic() - start.begun_at > self._ttl_seconds * START_TTLS:
                    log.error("lease_work_did_not_start", kind=self._kind, key=lease.key)
                    not_begun.append(lease)
                continue
            try:
                start.task.result()
            except DomainError as error:
                log.warning("lease_work_refused", kind=self._kind, key=lease.key, error=str(error))
                not_begun.append(lease)
            else:
                del self._starts[lease]
        await self._release(not_begun)

    async def _release(self, leases: Sequence[Lease], *, lost: Sequence[Lease] = ()) -> None:
        """Ends the work first: the next owner may start the moment a lease is free. `lost` are not ours to free."""
        if not await self._give_up([*leases, *lost]) or not leases:
            return
        async with transaction(self._engine) as tx:
            await tx.execute(RELEASE, self._row(**_columns(leases)))

    async def _give_up(self, leases: Sequence[Lease]) -> bool:
        """All at once. False when work did not end in time: such leases are not freed, they run out."""
        for lease in leases:
            del self._deadlines[lease]
            del self._held[lease.key]
            log.info("lease_given_up", kind=lease.kind, key=lease.key, owner=lease.owner, epoch=lease.epoch)
        try:
            async with asyncio.timeout(self._ttl_seconds / 2):
                ends = await asyncio.gather(*(self._end(lease) for lease in leases), return_exceptions=True)
        except TimeoutError:
            log.error("lease_work_did_not_end", kind=self._kind, keys=[lease.key for lease in leases])
            return False
        for end in ends:
            if end is not None:
                raise end
        return True

    async def _end(self, lease: Lease) -> None:
        start = self._starts.pop(lease, None)
        if start is not None:
            await asyncio.sleep(0)  # the end may rely on the start's having begun
            start.task.cancel()
            await asyncio.gather(start.task, return_exceptions=True)
        await self._on_release(lease)

    def _surplus(self, share: int, lost: Sequence[Lease]) -> list[Lease]:
        """Keys that are no longer shared, then the youngest leases, of those that are not lost."""
        held = [lease for lease in self._held.values() if lease not in lost]
        gone = [lease for lease in held if lease.key not in set(self._keys)]
        kept = [lease for lease in held if lease not in gone]
        return gone + kept[share:]

    def _run_out(self) -> list[Lease]:
        return [lease for lease in self._held.values() if not self.valid(lease)]

    def _extend(self, lease: Lease, asked_at: float) -> None:
        """Counted from before the question, so the local end always comes before the database's."""
        self._deadlines[lease] = asked_at + self._ttl_seconds * (1 - MARGIN_SHARE)

    def _row(self, **values: object) -> dict[str, object]:
        return {"kind": self._kind, "owner": self._owner, **values}


def _columns(leases: Iterable[Lease]) -> dict[str, object]:
    held = list(leases)
    return {"keys": [lease.key for lease in held], "epochs": [lease.epoch for lease in held]}
