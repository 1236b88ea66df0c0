"""Who counts as having left, and who as being back."""

from __future__ import annotations

import pytest
from platform_world import GROUP, GROUP_ID, GROUP_ROW, LOGIN, SERVER_ID, store, take_shard
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from apportion.errors import StaleEpoch
from apportion.platform_groups.domain.server_facts import ServerRefused, ServerUser
from apportion.platform_groups.domain.states import AccountState
from apportion.platform_groups.operations.watch_accounts import watch_accounts
from apportion.runtime.clock import FixedClock
from apportion.storage import transaction
from apportion.storage.leases import Lease


class Server:
    """One account, in a group or nowhere, and a list of the group's logins that may be wrong."""

    def __init__(self, group: str | None = GROUP) -> None:
        self.group = group
        self.lists_all = True
        self.refuses = ""
        self.question_count = 0

    async def logins_of_group(self, group: str) -> list[int]:
        if group == self.refuses:
            raise ServerRefused("NOT_ENOUGH_PERMISSIONS")
        return [LOGIN] if self.lists_all and self.group == group else []

    async def user(self, login: int) -> ServerUser | None:
        self.question_count += 1
        return None if self.group is None else ServerUser(login, self.group, 0, 100, "")


@pytest.fixture
async def lease(engine: AsyncEngine, clock: FixedClock) -> Lease:
    return await take_shard(engine, clock)


async def state_after_a_look(engine: AsyncEngine, server: Server, lease: Lease) -> AccountState:
    await watch_accounts(engine, server, SERVER_ID, lease)  # type: ignore[arg-type]
    async with transaction(engine) as tx:
        return AccountState((await tx.execute(text("SELECT state FROM accounts"))).scalar_one())


@pytest.mark.parametrize("group", [None, "other"])
async def test_a_deleted_or_moved_account_has_left_until_it_is_back(engine, lease, group) -> None:
    assert await state_after_a_look(engine, Server(), lease) is AccountState.OPEN
    gone = Server(group)
    for _ in range(2):
        assert await state_after_a_look(engine, gone, lease) is AccountState.DISABLED
    assert gone.question_count == 1, "who has left is not asked for alone again"
    assert await state_after_a_look(engine, Server(), lease) is AccountState.OPEN


async def test_a_list_that_is_not_complete_makes_nobody_leave(engine, lease) -> None:
    server = Server()
    server.lists_all = False
    assert await state_after_a_look(engine, server, lease) is AccountState.OPEN
    server = Server(GROUP.upper())
    assert await state_after_a_look(engine, server, lease) is AccountState.OPEN, "groups are written in either case"


async def test_a_group_that_the_server_refuses_holds_up_no_other_and_is_told(engine, lease) -> None:
    await store(engine, GROUP_ROW.replace(f"({GROUP_ID},", "(3,").replace(f"'demo', '{GROUP}'", "'a', 'a'"))
    server = Server(None)
    server.refuses = "a"
    with capture_logs() as logs:
        assert await state_after_a_look(engine, server, lease) is AccountState.DISABLED
    assert [entry.get("server_group") for entry in logs if entry["event"] == "accounts_unwatched"] == ["a"]


async def test_no_answer_and_a_lost_lease_change_nothing(engine, lease) -> None:
    silent = Server(None)
    silent.refuses = GROUP
    assert await state_after_a_look(engine, silent, lease) is AccountState.OPEN
    await store(engine, "UPDATE leases SET epoch = epoch + 1, owner = 'second'")
    with pytest.raises(StaleEpoch):
        await state_after_a_look(engine, Server(None), lease)
    async with transaction(engine) as tx:
        assert (await tx.execute(text("SELECT state FROM accounts"))).scalar_one() == AccountState.OPEN
