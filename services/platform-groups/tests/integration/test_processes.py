"""Real processes: kill -9 and a stopped owner in the middle of orders; nothing is opened twice, nothing stays open."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from apportion.api.platform_groups.v1 import trading_pb2
from apportion.testing.polling import eventually

LOT = 100_000_000
SEND = "dealer/send_request"

Spawn = Callable[[str], "asyncio.Future[asyncio.subprocess.Process]"]


@pytest.fixture
async def spawn(tmp_path: Path, database_url: str, redis_url: str, kek: str) -> AsyncIterator[Spawn]:
    """`await spawn("work")`: a worker process that is ready."""
    running: list[asyncio.subprocess.Process] = []

    async def start(role: str) -> asyncio.subprocess.Process:
        ready = tmp_path / f"ready-{len(running)}.json"
        environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "INSECURE": "true",
            "KEK_BASE64": kek,
            "ALLOW_LOOPBACK_SERVERS": "true",
            "ORDER_LANES": "2",
            "SERVER_TIMEOUT_SECONDS": "5",
            "ANSWER_TIMEOUT_SECONDS": "5",
            "LEASE_SECONDS": "4",
            "READY_FILE": str(ready),
            "WORKER_ID": f"worker-{len(running)}",
        }
        prefixed = {f"PLATFORM_GROUPS_{name}": value for name, value in environment.items()}
        log = (tmp_path / f"worker-{len(running)}.log").open("wb")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "apportion.platform_groups", role, env=os.environ | prefixed, stdout=log, stderr=log
        )
        log.close()
        running.append(process)
        await eventually(ready.exists, 60)
        return process

    yield start
    for process in running:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        await process.wait()


@asynccontextmanager
async def traders(start, simulator, count: int) -> AsyncIterator[tuple[object, list[object]]]:
    """A serving process of this test (its workers are elsewhere) with some funded accounts."""
    async with start(frozenset({"serve"})) as platform:
        platform.time_flies = False  # what a dead worker has sent may be read late
        await platform.set_up(simulator)
        accounts = await asyncio.gather(*(platform.account(balance_minor=1_000_000) for _ in range(count)))
        yield platform, accounts


async def settle_and_check(platform, accounts, source: str) -> None:
    """All orders end, and each account has exactly the positions that its orders say."""
    orders = await platform.finished(source)
    filled = Counter(
        account
        for account, state in zip(orders.account_ids, orders.states, strict=True)
        if state == trading_pb2.ORDER_STATE_FILLED
    )
    assert set(orders.states) <= {trading_pb2.ORDER_STATE_FILLED, trading_pb2.ORDER_STATE_EXPIRED}
    for account in accounts:
        assert len(await platform.positions(account.account_id)) == filled[account.account_id]
    assert filled, "something was opened"


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_worker_that_dies_or_sleeps_hands_over_without_a_double_open(start, spawn, simulator, blow) -> None:
    first = await spawn("work")
    second = await spawn("work")
    async with traders(start, simulator, 16) as (platform, accounts):
        await simulator.add_fault("latency", endpoint=SEND, seconds=0.02, count=None)
        await platform.submit("burst", [(account.account_id, LOT // 100) for account in accounts] * 3)

        async def halfway() -> bool:
            return any(state >= trading_pb2.ORDER_STATE_FILLED for state in (await platform.orders("burst")).states)

        await eventually(halfway, 60)
        first.send_signal(blow)
        await platform.let_pass("burst")
        await settle_and_check(platform, accounts, "burst")
        if blow is signal.SIGSTOP:
            first.send_signal(signal.SIGCONT)
            await platform.submit("after", [(account.account_id, LOT // 100) for account in accounts])
            orders = await platform.finished("after")
            assert set(orders.states) == {trading_pb2.ORDER_STATE_FILLED}
            for account in accounts:
                both = await platform.positions(account.account_id)
                assert len({position.order_id for position in both}) == len(both)
        second.send_signal(signal.SIGTERM)
        assert await second.wait() == 0


async def test_a_closing_survives_the_death_of_its_worker(start, spawn, simulator) -> None:
    first = await spawn("work")
    async with traders(start, simulator, 1) as (platform, [account]):
        for _ in range(8):
            await simulator.buy(account.login, "EURUSD", "0.01")
        await simulator.add_fault("requote", endpoint=SEND, skip=2, count=None)
        request = trading_pb2.CloseAllPositionsRequest(
            request_id=platform.new_id(), account_id=account.account_id, cause="test"
        )
        closing = (await platform.trading.CloseAllPositions(request, **platform.options())).closing

        async def state() -> trading_pb2.Closing:
            question = trading_pb2.GetClosingRequest(closing_id=closing.closing_id)
            return (await platform.trading.GetClosing(question, **platform.options())).closing

        async def begun() -> bool:
            return len((await state()).position_tickets) > 0

        await eventually(begun, 60)
        first.kill()
        await first.wait()
        assert (await state()).state == trading_pb2.CLOSING_STATE_RUNNING
        await simulator.clear_faults()
        await spawn("work")

        async def flat() -> bool:
            return (await state()).state == trading_pb2.CLOSING_STATE_FLAT

        await eventually(flat, 60)
        assert await platform.positions(account.account_id) == []
