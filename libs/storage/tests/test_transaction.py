from __future__ import annotations

import asyncio
import socket

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.errors import DatabaseUnavailable, NotFound, Overloaded, VersionConflict
from apportion.storage import (
    DatabaseNotDurable,
    check_durability,
    constraint_errors,
    create_engine,
    fetch_arrays,
    transaction,
    violated_constraint,
)

ADD = text("INSERT INTO accounts (account_id, balance_minor) VALUES (:account_id, :balance_minor)")
SLOW_COMMIT = (
    """CREATE FUNCTION doze() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(3); RETURN NULL; END $$""",
    """CREATE CONSTRAINT TRIGGER dozing AFTER INSERT ON accounts DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION doze()""",
)


async def add(tx: AsyncConnection, account_id: int, balance_minor: int = 0) -> None:
    await tx.execute(ADD, {"account_id": account_id, "balance_minor": balance_minor})


async def count(engine: AsyncEngine) -> int:
    async with transaction(engine) as tx:
        number: int = (await tx.execute(text("SELECT count(*) FROM accounts"))).scalar_one()
        return number


async def test_commits_at_the_end_and_rolls_back_on_any_error(engine: AsyncEngine) -> None:
    async with transaction(engine) as tx:
        await add(tx, 1)
    with pytest.raises(KeyError):
        async with transaction(engine) as tx:
            await add(tx, 2)
            raise KeyError
    assert await count(engine) == 1


async def test_domain_errors_pass_through(engine: AsyncEngine) -> None:
    with pytest.raises(NotFound):
        async with transaction(engine):
            raise NotFound("account", 7)


async def test_limits_are_set_on_every_connection(url: str) -> None:
    engine = create_engine(url, statement_timeout_ms=1_234)
    async with transaction(engine) as tx:
        settings = [
            (await tx.execute(text(f"SHOW {name}"))).scalar_one()
            for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "timezone")
        ]
    assert settings == ["1234ms", "2s", "10s", "UTC"]
    await engine.dispose()


async def test_a_statement_that_takes_too_long_is_unavailable(url: str) -> None:
    engine = create_engine(url, statement_timeout_ms=50)
    with pytest.raises(DatabaseUnavailable):
        async with transaction(engine) as tx:
            await tx.execute(text("SELECT pg_sleep(5)"))
    await engine.dispose()


async def test_no_server_is_unavailable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        engine = create_engine(f"postgresql://nobody@127.0.0.1:{unused.getsockname()[1]}/none")
        with pytest.raises(DatabaseUnavailable):
            async with transaction(engine):
                pass
    await engine.dispose()


async def test_a_connection_cut_on_the_way_is_unavailable_and_the_pool_recovers(engine: AsyncEngine, url: str) -> None:
    with pytest.raises(DatabaseUnavailable):
        async with transaction(engine) as tx:
            backend = (await tx.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            other = await asyncpg.connect(url)
            await other.execute("SELECT pg_terminate_backend($1)", backend)
            await other.close()
            await add(tx, 1)
    assert await count(engine) == 0


async def test_a_connection_cut_between_transactions_fails_once(url: str) -> None:
    engine, other = create_engine(url, pool_size=1), await asyncpg.connect(url)
    try:
        async with transaction(engine) as tx:
            [row] = await fetch_arrays(tx, "SELECT pg_backend_pid() AS backend")
        await other.execute("SELECT pg_terminate_backend($1, 5000)", row["backend"])
        with pytest.raises(DatabaseUnavailable):
            async with transaction(engine):
                pass
        async with transaction(engine) as tx:
            assert await fetch_arrays(tx, "SELECT 1")
    finally:
        await other.close()
        await engine.dispose()


async def test_a_commit_without_an_answer_gives_up_its_connection(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows whether it still has a transaction open, into which the next one would fall."""
    monkeypatch.setattr("apportion.storage.engine.ANSWER_MARGIN_SECONDS", -4.5)
    engine = create_engine(url, pool_size=1, statement_timeout_ms=5_000)
    backend = "SELECT pg_backend_pid() AS backend"
    async with transaction(engine) as tx:
        for statement in SLOW_COMMIT:
            await tx.execute(text(statement))
        [before] = await fetch_arrays(tx, backend)
    with pytest.raises(DatabaseUnavailable):
        async with transaction(engine) as tx:
            await add(tx, 1)
    async with transaction(engine) as tx:
        [after] = await fetch_arrays(tx, backend)
    assert after["backend"] != before["backend"]
    await engine.dispose()


async def test_a_pool_that_stays_empty_is_overloaded(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apportion.storage.engine.POOL_WAIT_SECONDS", 0.05)
    engine = create_engine(url, pool_size=1)
    async with transaction(engine):
        with pytest.raises(Overloaded):
            async with transaction(engine):
                pass
    await engine.dispose()


async def test_a_deadlock_is_a_version_conflict_for_one_side(engine: AsyncEngine) -> None:
    async with transaction(engine) as tx:
        await add(tx, 1)
        await add(tx, 2)
    both_hold_one = asyncio.Barrier(2)

    async def lock(*account_ids: int) -> None:
        async with transaction(engine) as tx:
            for account_id in account_ids:
                statement = text("SELECT 1 FROM accounts WHERE account_id = :id FOR UPDATE")
                await tx.execute(statement, {"id": account_id})
                if account_id == account_ids[0]:
                    await both_hold_one.wait()

    results = await asyncio.gather(lock(1, 2), lock(2, 1), return_exceptions=True)
    assert {type(result) for result in results} == {type(None), VersionConflict}


async def test_a_serialization_failure_is_a_version_conflict(engine: AsyncEngine) -> None:
    async with transaction(engine) as tx:
        await add(tx, 1)
    with pytest.raises(VersionConflict):
        async with transaction(engine) as tx:
            await tx.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            await tx.execute(text("SELECT * FROM accounts"))
            async with transaction(engine) as other:
                await other.execute(text("UPDATE accounts SET balance_minor = 1"))
            await tx.execute(text("UPDATE accounts SET balance_minor = 2"))


async def test_a_named_constraint_becomes_its_error(engine: AsyncEngine) -> None:
    with pytest.raises(NotFound, match="account 7"):
        async with transaction(engine) as tx:
            with constraint_errors({"accounts_balance_check": NotFound("account", 7)}):
                await add(tx, 7, balance_minor=-1)


async def test_another_constraint_stays_what_it_is(engine: AsyncEngine) -> None:
    with pytest.raises(IntegrityError) as caught:
        async with transaction(engine) as tx:
            with constraint_errors({"accounts_balance_check": NotFound("account", 7)}):
                await add(tx, 7)
                await add(tx, 7)
    assert violated_constraint(caught.value) == "accounts_pkey"


async def test_a_server_that_can_forget_commits_is_refused_unless_in_development(engine: AsyncEngine) -> None:
    async with transaction(engine) as tx:
        durable = (await tx.execute(text("SHOW fsync"))).scalar_one() == "on"
    if durable:
        await check_durability(engine)
    else:
        with pytest.raises(DatabaseNotDurable, match="fsync, full_page_writes"):
            await check_durability(engine)
    await check_durability(engine, development=True)
