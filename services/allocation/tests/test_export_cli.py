"""`export …` as an operator runs it, on a real database."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from apportion.allocation.app import SCHEMA
from apportion.allocation.domain.copy_settings import CopySettings
from apportion.allocation.export_cli import export_app
from apportion.storage import create_engine, transaction

DEAL = """
    INSERT INTO account_deals
    VALUES (64, :ticket, 1, 900, 1, 1, :symbol, 100000000, 100000000, 0, 0, -700, :ms, 0, 0, 0, now())
"""
BEYOND = "2030-01-01"


@pytest.fixture
async def database_url(make_database) -> str:
    return await make_database(SCHEMA)


@pytest.fixture
async def engine_for(database_url):
    """The house lives in the database that the commands are told of."""
    engine = create_engine(database_url)

    async def same(_package: str) -> AsyncEngine:
        return engine

    yield same
    await engine.dispose()


@pytest.fixture
async def run(database_url, monkeypatch, tmp_path):
    """Runs a command; returns (exit code, the file's content, stderr)."""
    for name, value in {
        "DATABASE_URL": database_url,
        "REDIS_URL": "redis://127.0.0.1:1",
        "PLATFORM_GROUPS_ADDRESS": "127.0.0.1:1",
        "INSECURE": "true",
    }.items():
        monkeypatch.setenv(f"ALLOCATION_{name}", value)

    def invoke(command: str, *options: object, output: Path = tmp_path / "report") -> tuple[int, bytes, str]:
        output.unlink(missing_ok=True)
        result = CliRunner().invoke(export_app, [command, "--output", str(output), *map(str, options)])
        content = output.read_bytes() if output.exists() else result.stdout_bytes
        return result.exit_code, content, result.stderr

    async def run(*arguments: object, **output: Path) -> tuple[int, bytes, str]:
        return await asyncio.to_thread(invoke, *arguments, **output)

    return run


@pytest.fixture
async def master_id(house) -> int:
    """A master with one follower who copies and one whom a filter leaves out."""
    master = await house.master(name="=Alpha")
    await house.follower(master, 101)
    await house.follower(master, 102, settings=CopySettings(denied_symbols=("EURUSD",)))
    await house.deal(64, 1.0, position=900)
    await house.project()
    async with transaction(house.engine) as tx:
        for ticket, symbol in ((1, "EURUSD"), (2, "=GBPUSD")):
            await tx.execute(text(DEAL), {"ticket": ticket, "symbol": symbol, "ms": ticket * 86_400_000})
    return master.master_id


async def test_history(run, master_id):
    code, page, told = await run("history", "--label", 1, "--master-id", master_id, "--format", "html")
    assert (code, told.split(" written")[0]) == (0, "2 rows")
    assert b"History of =Alpha (master" in page
    assert page.index(b"1970-01-03 00:00:00.000") < page.index(b"1970-01-02 00:00:00.000")
    assert b"-7.00" in page
    code, page, _ = await run(
        "history",
        "--label",
        1,
        "--master-id",
        master_id,
        "--format",
        "html",
        "--from",
        "1970-01-02",
        "--to",
        "1970-01-03",
    )
    assert b"=GBPUSD" not in page
    assert b"1970-01-02 00:00 to 1970-01-03 00:00" in page


async def test_money_is_written_in_the_digits_of_the_masters_account(run, house):
    master = await house.master(account_id=64, currency=("JPY", 0))
    async with transaction(house.engine) as tx:
        await tx.execute(text(DEAL), {"ticket": 1, "symbol": "EURUSD", "ms": 86_400_000})
    options = ("--label", 1, "--master-id", master.master_id, "--format", "html")
    _, page, _ = await run("history", *options)
    assert b"-700" in page
    async with transaction(house.engine) as tx:
        await tx.execute(text("UPDATE masters SET currency_digits = 2"))
    _, page, _ = await run("history", *options)
    assert b"-7.00" in page


async def test_excel_is_the_default(run, master_id):
    code, book, _ = await run("history", "--label", 1, "--master-id", master_id)
    assert (code, book[:2]) == (0, b"PK")
    code, book, told = await run("history", "--label", 1, "--master-id", master_id, output=Path("-"))
    assert (code, book[:2], told) == (0, b"PK", "")


async def test_children(run, master_id):
    options = ("--label", 1, "--master-id", master_id, "--format", "html")
    code, page, told = await run("children", *options)
    assert (code, told.split(" written")[0]) == (0, "1 rows")
    assert b"PENDING" in page
    _, page, told = await run("children", *options, "--from", BEYOND)
    assert told.startswith("0 rows")


async def test_allocations_with_their_skip_reasons(run, master_id):
    options = ("--label", 1, "--master-id", master_id, "--format", "html")
    code, page, told = await run("allocations", *options)
    assert (code, told.split(" written")[0]) == (0, "2 rows")
    assert b"FILTERED" in page
    assert b"10102" in page
    for span in (("--from", BEYOND), ("--to", "1999-01-01")):
        _, _, told = await run("allocations", *options, *span)
        assert told.startswith("0 rows")


async def test_a_selection_that_is_too_big_is_refused(run, master_id, monkeypatch):
    monkeypatch.setattr("apportion.allocation.operations.collect_report.MAX_ROWS", 1)
    code, content, told = await run("history", "--label", 1, "--master-id", master_id)
    assert (code, content) == (1, b"")
    assert "to must leave at most 1 rows" in told


@pytest.mark.parametrize("owner", [("--label", 1, "--master-id", 987), ("--label", 2, "--master-id", 1)], ids=str)
async def test_what_the_label_does_not_have(run, master_id, owner):
    for command in ("history", "children", "allocations"):
        code, content, told = await run(command, *owner)
        assert (code, content) == (1, b"")
        assert told.startswith("NOT_FOUND")


async def test_a_file_that_cannot_be_written_is_told(run, master_id, tmp_path):
    code, _, told = await run(
        "history", "--label", 1, "--master-id", master_id, output=tmp_path / "no" / "such" / "folder"
    )
    assert (code, "No such file" in told) == (1, True)


async def test_bad_settings_are_told(run, monkeypatch):
    monkeypatch.setenv("ALLOCATION_CALL_SECONDS", "never")
    code, _, told = await run("history", "--label", 1, "--master-id", 1)
    assert (code, "ALLOCATION_CALL_SECONDS" in told) == (2, True)


async def test_pages_of_a_selection_follow_one_another(run, house, master_id, monkeypatch):
    monkeypatch.setattr("apportion.allocation.operations.collect_report.PAGE_ROWS", 2)
    for _ in range(4):
        await house.deal(64, 1.0, position=900 + house.ticket)
    await house.project()
    for command, count in (("children", 5), ("allocations", 10), ("history", 2)):
        _, _, told = await run(command, "--label", 1, "--master-id", master_id)
        assert told.startswith(f"{count} rows")
