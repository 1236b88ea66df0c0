"""A write of rights that comes in late does not undo a newer one unseen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from platform_world import SERVER_ID, SHARD, take_shard
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import StaleEpoch
from apportion.platform_groups.domain.server_facts import NotSent, OutcomeUnknown, ServerUser
from apportion.platform_groups.domain.states import AccountAccess
from apportion.platform_groups.operations.apply_access import SENDING_TIME, apply_access
from apportion.platform_groups.operations.ports import Permit
from apportion.platform_groups.storage.accounts import list_access_pending
from apportion.runtime.clock import Clock, FixedClock
from apportion.storage import transaction
from apportion.storage.leases import Lease

FULL, READ_ONLY = AccountAccess.FULL, AccountAccess.READ_ONLY
FULL_RIGHTS, READ_ONLY_RIGHTS = 483, 487
TIMEOUT = timedelta(seconds=15)


class Server:
    """Loses the answers of some writes; what it was sent may come in later."""

    def __init__(self) -> None:
        self.rights = FULL_RIGHTS
        self.on_the_wire: list[int] = []
        self.loses = False
        self.while_writing: Callable[[], object] | None = None

    async def user(self, login: int) -> ServerUser:
        return ServerUser(login, "demo", self.rights, 100, "")

    async def set_rights(self, _login: int, rights: int, permit: Permit) -> None:
        if not permit():
            raise NotSent("no longer permitted")
        if self.loses:
            self.on_the_wire.append(rights)
            raise OutcomeUnknown("no answer")
        self.rights = rights
        if self.while_writing is not None:
            await self.while_writing()

    def deliver(self) -> None:
        """What was on the wire comes in."""
        for rights in self.on_the_wire:
            self.rights = rights
        self.on_the_wire.clear()


async def wish(engine: AsyncEngine, access: AccountAccess) -> None:
    async with transaction(engine) as tx:
        wanted = "UPDATE accounts SET wanted_access = :access, access_settled = false"
        await tx.execute(text(wanted), {"access": int(access)})


async def is_settled(engine: AsyncEngine) -> bool:
    async with transaction(engine) as tx:
        return bool((await tx.execute(text("SELECT access_settled FROM accounts"))).scalar_one())


async def apply(engine: AsyncEngine, server: Server, lease: Lease, clock: Clock, *, permit: bool = True) -> bool:
    async with transaction(engine) as tx:
        [account] = await list_access_pending(tx, SERVER_ID, [SHARD], except_ids=[], limit=1)
    return await apply_access(
        engine,
        server,
        account,
        lease,
        clock,
        permit=lambda: permit,
        answer_timeout=TIMEOUT,  # type: ignore[arg-type]
    )


async def test_nothing_is_settled_while_a_lost_write_may_still_undo_it(engine: AsyncEngine, clock: FixedClock) -> None:
    server, lease = Server(), await take_shard(engine, clock)
    server.rights, server.loses = READ_ONLY_RIGHTS, True
    await wish(engine, FULL)
    with pytest.raises(OutcomeUnknown):
        await apply(engine, server, lease, clock)
    await wish(engine, READ_ONLY)  # and the server is still so
    assert not await apply(engine, server, lease, clock)
    assert not await is_settled(engine)

    server.deliver()
    server.loses = False
    assert server.rights == FULL_RIGHTS
    assert not await apply(engine, server, lease, clock)
    assert server.rights == READ_ONLY_RIGHTS
    assert not await is_settled(engine)
    clock.advance(TIMEOUT.total_seconds())
    assert await apply(engine, server, lease, clock)
    assert await is_settled(engine)


async def test_a_lost_write_of_the_same_access_holds_up_nothing(engine: AsyncEngine, clock: FixedClock) -> None:
    server, lease = Server(), await take_shard(engine, clock)
    await wish(engine, READ_ONLY)
    server.loses = True
    with pytest.raises(OutcomeUnknown):
        await apply(engine, server, lease, clock)
    server.rights, server.loses = READ_ONLY_RIGHTS, False
    assert await apply(engine, server, lease, clock)
    assert await is_settled(engine)


async def test_a_successor_knows_of_the_write_that_was_on_the_wire(engine: AsyncEngine, clock: FixedClock) -> None:
    """A process that died before it wrote down what became of its write is as one whose answer was lost."""
    server, lease = Server(), await take_shard(engine, clock)
    server.rights = READ_ONLY_RIGHTS
    await wish(engine, FULL)

    async def die() -> None:
        server.rights = READ_ONLY_RIGHTS
        raise KeyboardInterrupt

    server.while_writing = die
    with pytest.raises(KeyboardInterrupt):
        await apply(engine, server, lease, clock)
    server.while_writing = None
    await wish(engine, READ_ONLY)
    successor = await take_shard(engine, clock, "two")
    assert not await apply(engine, server, successor, clock)
    clock.advance((TIMEOUT + SENDING_TIME).total_seconds())
    assert await apply(engine, server, successor, clock)


async def test_who_is_answered_after_his_lease_makes_the_successor_look_again(
    engine: AsyncEngine, clock: FixedClock
) -> None:
    """The old write is held up between the look at the lease and the wire, and comes in after the successor's."""
    server, lease = Server(), await take_shard(engine, clock)
    server.rights = READ_ONLY_RIGHTS
    await wish(engine, FULL)
    successors: list[Lease] = []

    async def pass_on() -> None:
        server.while_writing = None
        successors.append(await take_shard(engine, clock, "two"))
        await wish(engine, READ_ONLY)
        clock.advance((TIMEOUT + SENDING_TIME).total_seconds())
        await apply(engine, server, successors[0], clock)
        assert server.rights == READ_ONLY_RIGHTS
        assert await is_settled(engine)
        server.rights = FULL_RIGHTS

    server.while_writing = pass_on
    with pytest.raises(StaleEpoch):
        await apply(engine, server, lease, clock)
    assert not await is_settled(engine)
    assert await apply(engine, server, successors[0], clock)
    assert server.rights == READ_ONLY_RIGHTS


async def test_a_write_that_did_not_go_out_holds_up_nothing(engine: AsyncEngine, clock: FixedClock) -> None:
    server, lease = Server(), await take_shard(engine, clock)
    await wish(engine, READ_ONLY)
    with pytest.raises(NotSent):
        await apply(engine, server, lease, clock, permit=False)
    await wish(engine, FULL)
    assert await apply(engine, server, lease, clock)
    assert await is_settled(engine)
