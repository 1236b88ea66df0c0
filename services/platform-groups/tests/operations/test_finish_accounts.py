"""A worker creates an account only while the lease of its shard is its own, up to the very write."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from platform_world import ACCOUNT_ID, ACCOUNT_ROW, GROUP, GROUP_ID, LOGIN, SERVER_ID, store, take_shard
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import StaleEpoch
from apportion.platform_groups.domain.platform_groups import check_accepts_account
from apportion.platform_groups.domain.server_facts import NewUser, NotSent, ServerUser
from apportion.platform_groups.domain.tokens import account_token
from apportion.platform_groups.errors import CommentsHidden
from apportion.platform_groups.operations.finish_accounts import finish_creating
from apportion.platform_groups.operations.look_for_comments import look_for_comments
from apportion.platform_groups.operations.ports import Permit
from apportion.platform_groups.storage.accounts import load_account
from apportion.platform_groups.storage.platform_groups import load_group
from apportion.platform_groups.storage.trading_servers import are_comments_hidden
from apportion.runtime.clock import FixedClock
from apportion.storage import transaction
from apportion.storage.leases import Lease

TIMEOUT = timedelta(seconds=15)
OTHER_REQUEST = "3f2a9c01-0000-4000-8000-000000000000"
OTHER_ACCOUNT_ROW = ACCOUNT_ROW.replace(f"({ACCOUNT_ID},", "(8,").replace(f"{LOGIN},", f"{LOGIN + 1},")
OTHER_ACCOUNT_ROW = OTHER_ACCOUNT_ROW.replace("gen_random_uuid()", f"'{OTHER_REQUEST}'")
LEFT_CREATING = "UPDATE accounts SET state = 1, login = NULL, attempt_time = '-infinity'"


class Server:
    """A trading server without accounts at first, which is slow to be reached."""

    def __init__(self) -> None:
        self.added: list[NewUser] = []
        self.users: list[ServerUser] = []
        self.hides = False

    async def get(self, _trading_server_id: int) -> Server:
        return self

    async def users_of_group(self, _group: str) -> list[ServerUser]:
        return [self._shown(user) for user in self.users]

    async def add_user(self, user: NewUser, permit: Permit) -> ServerUser:
        if not permit():
            raise NotSent("no longer permitted")
        self.added.append(user)
        self.users.append(ServerUser(LOGIN, user.server_group, 483, user.leverage, user.comment, user.name))
        return self._shown(self.users[-1])

    def _shown(self, user: ServerUser) -> ServerUser:
        return replace(user, comment="", name="") if self.hides else user


@pytest.fixture
async def lease(engine: AsyncEngine, clock: FixedClock) -> Lease:
    """Of the shard of an account whose creation nobody finished."""
    await store(engine, LEFT_CREATING)
    return await take_shard(engine, clock)


async def finish(engine: AsyncEngine, server: Server, clock: FixedClock, lease: Lease, *, held: bool = True) -> None:
    """One round, later than the one before by more than the answer timeout."""
    clock.advance(2 * TIMEOUT.total_seconds())
    await finish_creating(
        engine,
        server,  # type: ignore[arg-type]
        lambda: "Secret1!",
        SERVER_ID,
        [lease],
        clock,
        is_held=lambda _lease: held,
        answer_timeout=TIMEOUT,
    )


async def state(engine: AsyncEngine) -> int:
    async with transaction(engine) as tx:
        return int((await tx.execute(text("SELECT state FROM accounts WHERE account_id = 7"))).scalar_one())


async def test_an_account_is_created_after_two_reports_without_it(engine, lease, clock) -> None:
    server = Server()
    await finish(engine, server, clock, lease)
    assert server.added == []
    await finish(engine, server, clock, lease)
    assert len(server.added) == 1
    assert await state(engine) == 2


async def test_a_lease_that_runs_out_before_the_write_creates_nothing(engine, lease, clock) -> None:
    server = Server()
    for _ in range(3):
        await finish(engine, server, clock, lease, held=False)
    assert server.added == []
    assert await state(engine) == 1
    for _ in range(2):
        await finish(engine, server, clock, lease)
    assert len(server.added) == 1


async def test_a_worker_whose_lease_has_passed_on_counts_nothing(engine, lease, clock) -> None:
    await store(engine, "UPDATE leases SET epoch = epoch + 1, owner = 'second'")
    server = Server()
    for _ in range(3):
        with pytest.raises(StaleEpoch):
            await finish(engine, server, clock, lease)
    assert server.added == []
    async with transaction(engine) as tx:
        assert (await tx.execute(text("SELECT absent_count FROM accounts WHERE account_id = 7"))).scalar_one() == 0


async def test_a_report_without_comments_proves_nothing(engine, lease, clock) -> None:
    """The answer to the creation was lost, and the manager may not see whose account the server has."""
    server = Server()
    await server.add_user(await intended(engine), lambda: True)
    server.hides = True
    for _ in range(4):
        await finish(engine, server, clock, lease)
    assert (len(server.added), await state(engine), await hidden(engine)) == (1, 1, True)
    server.hides = False
    await finish(engine, server, clock, lease)
    assert (len(server.added), await state(engine)) == (1, 2)


@pytest.mark.parametrize("comment", [account_token(8, OTHER_REQUEST), "VIP client"])
async def test_a_report_in_which_ours_bear_no_comment_proves_nothing(engine, lease, clock, comment: str) -> None:
    """Names are shown. A comment that a dealer wrote over ours is as readable as ours."""
    await store(engine, OTHER_ACCOUNT_ROW)
    server = Server()
    server.users = [ServerUser(LOGIN + 1, GROUP, 483, 100, "", "Eve")]
    for _ in range(3):
        await finish(engine, server, clock, lease)
    assert (server.added, await hidden(engine)) == ([], True)
    server.users = [ServerUser(LOGIN + 1, GROUP, 483, 100, comment, "Eve")]
    await look_for_comments(engine, server, SERVER_ID)  # type: ignore[arg-type]
    for _ in range(2):
        await finish(engine, server, clock, lease)
    assert (len(server.added), await hidden(engine)) == (1, False)


async def test_no_account_is_made_while_comments_are_hidden(engine, lease, clock) -> None:
    server = Server()
    server.hides = True
    for _ in range(2):
        await finish(engine, server, clock, lease)
    assert (len(server.added), await state(engine)) == (1, 2), "its login was answered: it is known all the same"
    assert await hidden(engine)
    async with transaction(engine) as tx:
        with pytest.raises(CommentsHidden) as caught:
            check_accepts_account(await load_group(tx, 1, GROUP_ID), 0)
    assert caught.value.reason == "COMMENTS_HIDDEN"
    await look_for_comments(engine, server, SERVER_ID)  # type: ignore[arg-type]
    assert await hidden(engine)
    server.hides = False
    await look_for_comments(engine, server, SERVER_ID)  # type: ignore[arg-type]
    assert not await hidden(engine)


async def intended(engine: AsyncEngine) -> NewUser:
    async with transaction(engine) as tx:
        account = await load_account(tx, 1, ACCOUNT_ID)
    comment = account_token(account.account_id, account.request_id)
    return NewUser(GROUP, account.holder_name, account.leverage, comment, "", "")


async def hidden(engine: AsyncEngine) -> bool:
    async with transaction(engine) as tx:
        return await are_comments_hidden(tx, SERVER_ID)
