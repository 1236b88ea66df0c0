"""Two resets of one account that run into each other: neither tells a mixture."""

from __future__ import annotations

import uuid
from itertools import count

import pytest
from platform_world import ACCOUNT_ID
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.server_facts import NotSent
from apportion.platform_groups.errors import PasswordsNotReset
from apportion.platform_groups.operations.ports import Permit
from apportion.platform_groups.operations.reset_account_passwords import ResetAccount, reset_account_passwords
from apportion.runtime.clock import FixedClock
from apportion.storage import RequestKey, transaction


class Server:
    """A trading server where somebody else may set the main password in between."""

    def __init__(self, *, other_main: str = "") -> None:
        self.passwords = ("", "")
        self._other_main = other_main

    async def get(self, _trading_server_id: int) -> Server:
        return self

    async def set_passwords(self, _login: int, main: str, investor: str, permit: Permit) -> None:
        if not permit():
            raise NotSent("no longer permitted")
        self.passwords = (self._other_main or main, investor)

    async def has_passwords(self, _login: int, main: str, investor: str) -> bool:
        return self.passwords == (main, investor)


async def reset(engine: AsyncEngine, server: Server, clock: FixedClock, *, patience: float = 1.0) -> ResetAccount:
    numbers = count(1)
    key = RequestKey(1, "ResetAccountPasswords", str(uuid.uuid4()), bytes(32))
    return await reset_account_passwords(
        engine,
        server,  # type: ignore[arg-type]
        lambda: f"Secret{next(numbers)}!",
        key,
        ACCOUNT_ID,
        "operator",
        clock,
        patience_seconds=patience,
    )


async def audit(engine: AsyncEngine) -> list[dict[str, object]]:
    async with transaction(engine) as tx:
        rows = await tx.execute(text("SELECT * FROM password_resets ORDER BY create_time"))
        return [dict(row) for row in rows.mappings()]


async def test_who_reset_which_account_and_when_is_on_record_without_the_passwords(engine, clock) -> None:
    await reset(engine, Server(), clock)
    [row] = await audit(engine)
    assert (row["label"], row["account_id"], row["peer"]) == (1, ACCOUNT_ID, "operator")
    assert row["create_time"] == clock.now()
    assert row["is_confirmed"]
    assert "Secret" not in str(row)


async def test_a_reset_that_was_not_seen_through_is_on_record_as_such(engine, clock) -> None:
    with pytest.raises(PasswordsNotReset):
        await reset(engine, Server(other_main="Other1!"), clock)
    [row] = await audit(engine)
    assert not row["is_confirmed"]


async def test_what_is_told_is_what_the_server_has(engine, clock) -> None:
    server = Server()
    told = await reset(engine, server, clock)
    assert (told.main_password, told.investor_password) == server.passwords == ("Secret1!", "Secret2!")
    assert "Secret" not in repr(told)


async def test_a_mixture_is_told_to_nobody(engine, clock) -> None:
    with pytest.raises(PasswordsNotReset):
        await reset(engine, Server(other_main="Other1!"), clock)


async def test_nothing_is_written_when_the_caller_has_gone(engine, clock) -> None:
    server = Server()
    with pytest.raises(PasswordsNotReset):
        await reset(engine, server, clock, patience=0.0)
    assert server.passwords == ("", "")
