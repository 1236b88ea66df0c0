"""A scripted day of two server days: history, figures, leaderboard and exports against the server's own records.

What is expected is computed here in fractions, from the server's deals and from what it showed at the end of each day.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from fractions import Fraction
from html.parser import HTMLParser
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from apportion.api.allocation.v1 import allocations_pb2, statistics_pb2
from apportion.devstack.day import Day
from apportion.devstack.ledger import ENTRY_IN, Json, ServerBook, minor, read_server
from apportion.devstack.scene import LABEL, Scene, open_scene
from apportion.devstack.world import E8, DemoMaster, Follower
from apportion.rpc import column
from apportion.testing.polling import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("statistics")]

INVESTOR_COUNT = 6
SECOND_DAY = "2024-03-12"
SECOND_DAY_MS = 19_794 * 86_400_000
SETTINGS = {"ALLOCATION_EQUITY_SAMPLE_SECONDS": "0.5", "ALLOCATION_LEADERBOARD_SECONDS": "0.5"}


@dataclass
class Account:
    """One account as the server showed it."""

    opening_minor: int
    first_end_minor: int
    book: ServerBook
    """After the last step."""

    @property
    def results(self) -> list[Fraction]:
        """Of closing deals, each with its part of what its position's entry cost."""
        entries = {deal["PositionID"]: deal for deal in self.book.trades if deal["Entry"] == ENTRY_IN}
        return [
            _own(deal)
            + Fraction(_own(entries[deal["PositionID"]]))
            * Fraction(int(deal["VolumeExt"]), int(entries[deal["PositionID"]]["VolumeExt"]))
            for deal in self.book.trades
            if deal["Entry"] != ENTRY_IN
        ]


@dataclass(frozen=True)
class Played:
    scene: Scene
    accounts: dict[int, Account]
    """By login."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(folder: Path) -> AsyncIterator[Scene]:
    async with open_scene(folder, investor_count=INVESTOR_COUNT, settings=SETTINGS) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def played(scene: Scene) -> Played:
    """The day is over, and the last equities were noted."""
    logins = [account.login for account in scene.world.accounts]
    ends: list[dict[int, ServerBook]] = []

    async def note(step: str) -> None:
        if step in ("the market opens", "the next server day begins"):
            ends.append(await _noted(scene, ends))

    day = Day(scene.world, scene.clients, scene.simulator, note)
    await day.play()
    ends.append(await _noted(scene, ends))
    opening, first_end, last = ends
    return Played(
        scene,
        {login: Account(opening[login].equity_minor, first_end[login].equity_minor, last[login]) for login in logins},
    )


async def test_the_history_is_the_servers(played: Played) -> None:
    for account in played.scene.world.accounts:
        book = played.accounts[account.login].book
        rows = {row.deal_ticket: row for row in await _history(played.scene, account)}
        known = {int(deal["Deal"]): deal for deal in book.deals}
        assert rows.keys() <= known.keys()
        assert {known[ticket]["Action"] for ticket in known.keys() - rows.keys()} <= {"2"}, "a deposit of before"
        for ticket, row in rows.items():
            deal = known[ticket]
            sign = {"0": 1, "1": -1}.get(deal["Action"], 0)
            assert row.entry == (int(deal["Entry"]) + 1 if sign else 0)
            assert row.volume_e8 == sign * int(deal["VolumeExt"])
            assert (row.profit_minor, row.swap_minor) == (minor(deal["Profit"]), minor(deal["Storage"]))
            assert row.server_time_ms == int(deal["TimeMsc"])
            assert row.symbol == deal["Symbol"]


async def test_a_span_begins_with_its_first_millisecond_and_ends_before_its_last(played: Played) -> None:
    master = played.scene.world.masters["copy"]
    rows = await _history(played.scene, master)
    times = sorted({row.server_time_ms for row in rows})
    assert len(times) > 3
    assert times[0] < SECOND_DAY_MS <= times[-1], "deals of both server days"
    start, end = times[1], times[-1]
    chosen = await _history(played.scene, master, start_server_time_ms=start, end_server_time_ms=end)
    assert [row.deal_ticket for row in chosen] == [r.deal_ticket for r in rows if start <= r.server_time_ms < end]
    outs = await _history(played.scene, master, entries=[allocations_pb2.HISTORY_ENTRY_OUT])
    assert [row.deal_ticket for row in outs] == [r.deal_ticket for r in rows if r.entry == 2]


async def test_the_figures_are_those_of_the_servers_records(played: Played) -> None:
    withdrawer = played.scene.world.followers["copy"][0]
    for account in played.scene.world.accounts:
        seen = played.accounts[account.login]
        withdrawn = withdrawer.deposit_minor // 10 if account is withdrawer else 0
        found = await _figures(played.scene, account)
        assert (found.deposit_sum_minor, found.withdrawal_sum_minor) == (0, withdrawn)
        assert found.equity_minor == seen.book.equity_minor
        first = Fraction(seen.first_end_minor + withdrawn, seen.opening_minor) - 1
        second = Fraction(seen.book.equity_minor, seen.first_end_minor) - 1
        both = (1 + first) * (1 + second) - 1
        assert abs(found.time_weighted_return_e8 - both * E8) < 1
        assert [month.return_e8 for month in found.monthly_returns] == [found.time_weighted_return_e8]
        curve = [Fraction(1), 1 + first, 1 + both]
        fall = max(1 - low / high for place, high in enumerate(curve) for low in curve[place:])
        assert abs(found.max_drawdown_e8 - fall * E8) < 1
        gain = seen.book.equity_minor + withdrawn - seen.opening_minor
        assert found.gain_minor == gain
        assert found.volatility_e8 == pytest.approx(statistics.stdev([first, second]) * sqrt(252) * E8, abs=2)
        sharpe = statistics.mean([first, second]) / Fraction(statistics.stdev([first, second])) * Fraction(sqrt(252))
        assert found.sharpe_e8 == pytest.approx(float(sharpe * E8), rel=1e-6)


async def test_the_trades_are_the_servers(played: Played) -> None:
    for account in played.scene.world.accounts:
        seen = played.accounts[account.login]
        found, results = await _figures(played.scene, account), seen.results
        assert not seen.book.positions
        assert found.closed_trade_count == len(results) > 0
        assert found.net_profit_minor == sum(_own(deal) for deal in seen.book.trades)
        assert (found.won_trade_count, found.lost_trade_count) == (
            sum(result > 0 for result in results),
            sum(result < 0 for result in results),
        )
        assert abs(found.best_trade_minor - max(results)) <= 1
        assert abs(found.worst_trade_minor - min(results)) <= 1
        assert abs(found.average_trade_minor - statistics.mean(results)) <= 1
        assert abs(found.gross_loss_minor - sum(-result for result in results if result < 0)) <= len(results)
        assert found.HasField("profit_factor_e8") == (found.gross_loss_minor > 0)
        assert found.average_holding_seconds == round(statistics.mean(_held_seconds(seen.book)))


async def test_the_leaderboard_says_the_same(played: Played) -> None:
    copy = played.scene.world.masters["copy"]
    figures = await _figures(played.scene, copy)
    followers_minor = sum(
        played.accounts[follower.login].book.equity_minor for follower in played.scene.world.followers["copy"]
    )
    request = statistics_pb2.ListLeaderboardRequest()
    clients = played.scene.clients

    async def listed() -> Any:
        rows = (await clients.call(clients.statistics.ListLeaderboard, request)).rows
        shown = [(row.statistics, row.followers_equity_minor) for row in rows]
        return rows if shown == [(figures, followers_minor)] else None

    rows: Any = await eventually(listed)
    assert [(row.master_id, row.age_day_count) for row in rows] == [(copy.master_id, 2)], "MAM masters are not shown"


async def test_an_operator_exports_what_the_server_has(played: Played, folder: Path) -> None:
    master = played.scene.world.masters["copy"]
    trades = played.accounts[master.login].book.trades
    page = _Cells((await _export(played, folder, "history", "--format", "html")).decode())
    tickets = {row[2] for row in page.rows[1:] if row[4] != "BALANCE"}
    assert tickets == {deal["Deal"] for deal in trades}
    page = _Cells((await _export(played, folder, "history", "--format", "html", "--from", SECOND_DAY)).decode())
    later = [deal["Deal"] for deal in trades if int(deal["TimeMsc"]) >= SECOND_DAY_MS]
    assert {row[2] for row in page.rows[1:] if row[4] != "BALANCE"} == set(later)
    assert 0 < len(later) < len(trades)
    for command in ("history", "children", "allocations"):
        assert (await _export(played, folder, command)).startswith(b"PK"), command


class _Cells(HTMLParser):
    """The cells of each row of the page's table."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._in_cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_cell = tag in ("td", "th")
        if tag == "tr":
            self.rows.append([])
        if self._in_cell:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[-1][-1] += data


async def _export(played: Played, folder: Path, command: str, *options: str) -> bytes:
    """What the command wrote, run as in a pod of the service."""
    output = folder / f"report-{command}"
    master_id = str(played.scene.world.masters["copy"].master_id)
    arguments = ["--label", str(LABEL), "--master-id", master_id, "--output", str(output), *options]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "apportion.allocation", "export", command, *arguments),
        env=played.scene.stack.services["allocation"].environment,
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await process.communicate()
    assert process.returncode == 0, told.decode()
    return output.read_bytes()


async def _noted(scene: Scene, before: list[dict[int, ServerBook]]) -> dict[int, ServerBook]:
    """What the server shows, once the statistics have seen it, and the history all deals since what was noted first."""
    books = await read_server(scene.simulator, [account.login for account in scene.world.accounts])
    first = before[0] if before else books

    async def are_noted() -> bool:
        for account in scene.world.accounts:
            known = {row.deal_ticket for row in await _history(scene, account)}
            if not known >= {int(d["Deal"]) for d in books[account.login].deals[len(first[account.login].deals) :]}:
                return False
            request = statistics_pb2.GetEquityCurveRequest(**_owner(account))
            curve = await scene.clients.call(scene.clients.statistics.GetEquityCurve, request)
            if column(curve.equities_minor)[-1:].tolist() != [books[account.login].equity_minor]:
                return False
        return True

    await eventually(are_noted)
    return books


async def _figures(scene: Scene, account: DemoMaster | Follower) -> statistics_pb2.Statistics:
    request = statistics_pb2.GetStatisticsRequest(**_owner(account))
    answer = await scene.clients.call(scene.clients.statistics.GetStatistics, request)
    figures: statistics_pb2.Statistics = answer.statistics
    return figures


async def _history(scene: Scene, account: DemoMaster | Follower, **more: Any) -> list[allocations_pb2.HistoryRow]:
    clients = scene.clients
    request = allocations_pb2.ListHistoryRequest(**_owner(account), **more)
    return [row async for page in clients.pages(clients.allocations.ListHistory, request) for row in page.rows]


def _owner(account: DemoMaster | Follower) -> dict[str, int]:
    if isinstance(account, Follower):
        return {"subscription_id": account.subscription_id}
    return {"master_id": account.master_id}


def _own(deal: Json) -> int:
    return minor(deal["Profit"]) + minor(deal["Storage"]) + minor(deal["Commission"])


def _held_seconds(book: ServerBook) -> list[Fraction]:
    entered = {deal["PositionID"]: int(deal["TimeMsc"]) for deal in book.trades if deal["Entry"] == ENTRY_IN}
    closes = [deal for deal in book.trades if deal["Entry"] != ENTRY_IN]
    return [Fraction(int(deal["TimeMsc"]) - entered[deal["PositionID"]], 1_000) for deal in closes]
