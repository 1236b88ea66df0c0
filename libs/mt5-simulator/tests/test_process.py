"""What only a process of its own can show: its command line, its signals, its state after kill -9."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from apportion.mt5_simulator.process import AdminRefused, SimulatorProcess

GROUP = "demo\\forex-hedge-usd"


async def run_terminal(*arguments: str) -> tuple[int, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "apportion.mt5_simulator", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, error = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(out) if out else error.decode()


async def _books(simulator: SimulatorProcess, logins: list[int]) -> list[Any]:
    return [
        [
            await simulator.admin.account(login),
            await simulator.admin.positions(login),
            await simulator.admin.deals(login),
        ]
        for login in logins
    ]


async def test_everything_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    async with SimulatorProcess(tmp_path, paused=True) as simulator:
        where = simulator.https_url, simulator.ca_file.read_bytes()
        logins = await simulator.create_accounts(GROUP, 3, deposit="10000")
        deal = await simulator.buy(logins[0], "EURUSD", "0.50", sl="0.9", comment="mine")
        await simulator.sell(logins[1], "USDJPY", "0.30")
        await simulator.close(logins[0], deal["PositionID"], "0.20")
        await simulator.advance(86_400)
        await simulator.set_price("GBPUSD", "1.30000", "1.30010")
        before, status = await _books(simulator, logins), await simulator.admin.status()
        await simulator.kill()
        await simulator.start()
        assert (simulator.https_url, simulator.ca_file.read_bytes()) == where
        assert await _books(simulator, logins) == before
        after = await simulator.admin.status()
        assert {**after, "utc_ms": 0, "server_time_ms": 0} == {**status, "utc_ms": 0, "server_time_ms": 0}
        assert after["utc_ms"] == status["utc_ms"]
        with pytest.raises(RuntimeError, match="database is locked"):
            await SimulatorProcess(tmp_path, ready_seconds=20).start()  # a second server on the same state
        assert (await simulator.create_accounts(GROUP, 1)) == [logins[-1] + 1]
        later = await simulator.buy(logins[2], "GBPUSD", "0.10")
        assert later["Price"] == "1.30010"
        assert int(later["Deal"]) > int(before[1][2][-1]["Deal"])


async def test_a_running_clock_never_goes_back_and_keeps_the_speed_it_was_given(tmp_path: Path) -> None:
    async with SimulatorProcess(tmp_path) as simulator:
        await simulator.admin.set_speed(3600)
        before = await simulator.admin.status()
        await simulator.kill()
        await simulator.start()
        after = await simulator.admin.status()
        assert after["speed"] == 3600
        assert before["utc_ms"] <= after["utc_ms"] < before["utc_ms"] + 3600 * 60_000


async def test_killed_amid_a_stream_of_orders_it_forgets_none_it_answered(tmp_path: Path) -> None:
    async with SimulatorProcess(tmp_path, paused=True) as simulator:
        [login] = await simulator.create_accounts(GROUP, 1, deposit="100000")
        answered: list[str] = []
        enough = asyncio.Event()

        async def trade() -> None:
            while True:
                answered.append((await simulator.buy(login, "EURUSD", "0.01"))["Deal"])
                if len(answered) == 50:
                    enough.set()

        trading = asyncio.create_task(trade())
        await asyncio.wait_for(enough.wait(), 30)
        await simulator.kill()
        with pytest.raises((aiohttp.ClientError, RuntimeError)):  # whichever way the connection broke
            await trading
        await simulator.start()
        assert set(answered) <= {deal["Deal"] for deal in await simulator.admin.deals(login)}


async def test_the_traders_terminal(tmp_path: Path) -> None:
    async with SimulatorProcess(tmp_path, paused=True, durable=False) as simulator:
        [login] = await simulator.create_accounts(GROUP, 1, deposit="10000")
        where = ["--admin-url", simulator.admin_url, "--login", str(login)]
        code, deal = await run_terminal("buy", *where, "EURUSD", "0.50", "--sl", "0.9")
        assert (code, deal["Reason"], deal["PriceSL"]) == (0, "0", "0.90000")
        code, position = await run_terminal("modify", *where, deal["PositionID"], "--tp", "1.9")
        assert (position["PriceSL"], position["PriceTP"]) == ("0.00000", "1.90000")
        code, part = await run_terminal("close", *where, deal["PositionID"], "--volume", "0.10")
        assert (part["Entry"], part["Volume"]) == ("1", "1000")
        where = ["--admin-url", simulator.admin_url, "--logins", str(login), "--trades", "3"]
        code, summary = await run_terminal("play", *where, "--move-clock", "--symbols", "EURUSD")
        assert (code, summary["closed"] + summary["partly_closed"] > 0) == (0, True)
        assert await simulator.admin.positions(login) == [], "flat, with what was held before"
        where = ["--admin-url", simulator.admin_url, "--login", str(login)]
        code, error = await run_terminal("sell", *where, "EURUSD", "900")
        assert code == 1
        assert "10019" in error


async def test_the_traders_terminal_on_a_netting_account(tmp_path: Path) -> None:
    async with SimulatorProcess(tmp_path, paused=True, durable=False) as simulator:
        [login] = await simulator.create_accounts("demo\\forex-netting-usd", 1, deposit="10000")
        await simulator.set_price("EURUSD", "1.10000", "1.10010")
        where = ["--admin-url", simulator.admin_url, "--login", str(login)]
        _, opened = await run_terminal("buy", *where, "EURUSD", "0.50")
        _, turned = await run_terminal("sell", *where, "EURUSD", "0.80")
        assert (turned["Entry"], turned["VolumeClosed"], turned["PositionID"]) == ("2", "5000", opened["PositionID"])
        [position] = await simulator.admin.positions(login)
        code, position = await run_terminal("modify", *where, position["Position"], "--sl", "1.2", "--tp", "1.0")
        assert (code, position["PriceSL"], position["PriceTP"]) == (0, "1.20000", "1.00000")
        code, closed = await run_terminal("close", *where, position["Position"])
        assert (code, closed["Entry"], closed["VolumeClosed"]) == (0, "1", "3000")
        assert await simulator.admin.positions(login) == []


async def test_a_refusal_at_the_admin_port_has_the_servers_code(tmp_path: Path) -> None:
    async with SimulatorProcess(tmp_path, paused=True, durable=False) as simulator:
        [login] = await simulator.create_accounts(GROUP, 1)
        with pytest.raises(AdminRefused) as refused:
            await simulator.buy(login, "EURUSD", "1.00")
        assert (refused.value.status, refused.value.retcode) == (409, 10019)
        with pytest.raises(AdminRefused) as refused:
            await simulator.admin.request("POST", "/price", {"symbol": "EURUSD", "bid": "2", "ask": "1"})
        assert refused.value.status == 400
