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
from apportion.allocation.domain.methods import AllocationMethod, AllocationMode
from apportion.allocation.export_cli import export_app
from apportion.allocation.operations.get_master import get_master
from apportion.api.platform_groups.v1 import events_pb2
from apportion.storage import create_engine, transaction

OUT = events_pb2.DEAL_ENTRY_OUT
DEAL = """
    INSERT INTO account_deals
    VALUES (64, :ticket, 1, 900, 1, 1, :symbol, 100000000, 100000000, 0, 0, -700, :ms, 0, 0, 0, now())
"""
BEYOND = "2030-01-01"
COMMANDS = ("history", "children", "master-trades", "allocations", "distributions")


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


def lines(page: bytes) -> list[str]:
    return page.decode().split("<tbody>")[1].split("<tr>")[1:]


async def test_children_are_selected_as_in_their_list(run, house):
    master = await house.master()
    for account_id in (101, 102):
        await house.follower(master, account_id, settings=CopySettings(max_lot_e8=50_000_000 * (account_id - 100)))
    for position, symbol in ((900, "EURUSD"), (901, "GBPUSD")):
        house.symbols.grids[symbol] = house.symbols.grids["EURUSD"]
        await house.deal(64, 1.0, position=position, symbol=symbol)
    first, second = await house.dispatch()
    await house.project()
    await house.fill(first, first_position=1)
    await house.tell_refused(second, "NO_MONEY")
    options = ("children", "--label", 1, "--master-id", master.master_id, "--format", "html")
    for chosen, count, note in (
        (("--symbol", "EURUSD"), 2, "symbol EURUSD"),
        (("--state", "rejected"), 2, "states REJECTED"),
        (("--state", "FILLED", "--state", "REJECTED"), 4, "states FILLED REJECTED"),
        (("--skip-reason", "capped"), 2, "skip reason CAPPED"),
        (("--only-mismatched",), 2, "only mismatched"),
        (("--only-open", "--skip-reason", "capped"), 1, "all times, skip reason CAPPED, only open"),
        (("--master-position-ticket", 901, "--symbol", "EURUSD"), 0, "master position ticket 901, symbol EURUSD"),
        ((), 4, '<p class="t">all times</p>'),
    ):
        code, page, told = await run(*options, *chosen)
        assert (code, len(lines(page)), told.split(" rows")[0]) == (0, count, str(count)), chosen
        assert note in page.decode()
    code, content, told = await run(*options, "--state", "WAITING")
    assert (code, content) == (2, b"")
    assert "PENDING" in told


async def test_allocations_are_selected_as_in_their_list(run, house, master_id):
    """Of a decision that is chosen for one reason, everybody who is left out is shown."""
    master = await get_master(house.engine, 1, master_id)
    await house.follower(master, 103, settings=CopySettings(max_lot_e8=50_000_000))
    await house.deal(64, 1.0, position=901)
    options = ("allocations", "--label", 1, "--master-id", master_id, "--format", "html")
    for chosen, count in (
        ((), 5),
        (("--skip-reason", "CAPPED"), 3),
        (("--skip-reason", "margin_gate"), 0),
        (("--only-unallocated",), 0),
        (("--exclude-follow-ups",), 5),
    ):
        _, page, _ = await run(*options, *chosen)
        assert len(lines(page)) == count, chosen


async def test_master_trades(run, house):
    master = await house.master()
    await house.follower(master, 101)
    await house.follower(master, 102)
    for position in (900, 901, 902):
        await house.deal(64, 1.0, position=position)
    first, second, _ = await house.dispatch()
    await house.project()
    await house.fill(first, first_position=1, lots={first.item_ids[0]: 0})
    await house.fill(second, first_position=11)
    await house.deal(64, -1.0, position=902, entry=OUT)
    options = ("master-trades", "--label", 1, "--master-id", master.master_id, "--format", "html")
    _, page, _ = await run(*options, "--only-mismatched")
    (line,) = lines(page)
    for cell in ("900", "EURUSD", "RATIO_MULTIPLIER", "2", "1", "CHILD_REJECTED"):
        assert f">{cell}</td>" in line
    for chosen, count in (((), 2), (("--include-closed",), 3), (("--from", BEYOND), 0), (("--to", "1999-01-01"), 0)):
        _, page, _ = await run(*options, *chosen)
        assert len(lines(page)) == count, chosen


async def test_records_and_what_they_brought(run, house):
    """Proportions with nine decimals, volumes cut to 0.01 lot, floating profit, and every share with its payout."""
    master = await house.master(AllocationMethod.DIVIDE_BY_EQUITY, allocation_mode=AllocationMode.PROFIT)
    for account_id in (101, 102, 103):
        await house.follower(master, account_id, equity_minor=1)
    await house.deal(64, -1.29, position=900)
    await house.project()
    async with transaction(house.engine) as tx:
        await tx.execute(text("UPDATE record_openings SET floating_profit_minor = 1000"))
    options = ("--label", 1, "--master-id", master.master_id, "--format", "html")
    _, page, _ = await run("children", *options)
    assert b"Floating profit USD" in page
    assert len(lines(page)) == 3
    for cell in ("CREDITEARN", "-0.43", "0.333333334", "3.33"):
        assert f">{cell}</td>" in lines(page)[-1]
    assert ">-0.42</td>" in lines(page)[0]
    await house.deal(64, 1.29, position=900, entry=OUT, money=(10_000, -100, -70))
    async with transaction(house.engine) as tx:
        await tx.execute(text("UPDATE payouts SET state = 4, reason = 'ACCOUNT_NOT_OPEN' WHERE amount_minor = 3276"))
    _, page, told = await run("distributions", *options)
    head, *shares = lines(page)
    assert told.startswith("4 rows")
    for cell in ("CLOSE", "100.00", "-1.00", "-0.70", "98.30", "1.29"):
        assert f">{cell}</td>" in head
    for cell in ("10101", "0.333333334", "33.34", "-0.34", "-0.24", "32.76", "REFUSED", "ACCOUNT_NOT_OPEN"):
        assert f">{cell}</td>" in shares[0]
    for chosen, count in (
        (("--only-unpaid",), 4),
        (("--only-undistributed",), 0),
        (("--from", BEYOND), 0),
        (("--to", "1999-01-01"), 0),
    ):
        _, page, _ = await run("distributions", *options, *chosen)
        assert len(lines(page)) == count, chosen


async def test_a_selection_that_is_too_big_is_refused(run, master_id, monkeypatch):
    monkeypatch.setattr("apportion.allocation.operations.collect_report.MAX_ROWS", 1)
    code, content, told = await run("history", "--label", 1, "--master-id", master_id)
    assert (code, content) == (1, b"")
    assert "to must leave at most 1 rows" in told


@pytest.mark.parametrize("owner", [("--label", 1, "--master-id", 987), ("--label", 2, "--master-id", 1)], ids=str)
async def test_what_the_label_does_not_have(run, master_id, owner):
    for command in COMMANDS:
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
