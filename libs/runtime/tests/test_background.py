from __future__ import annotations

import asyncio

import pytest

from apportion.runtime import Background, background


@pytest.fixture(autouse=True)
def quick_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_DELAY_SECONDS", 0.001)


async def test_a_loop_that_fails_is_started_again_and_counted() -> None:
    starts = 0
    running = asyncio.Event()

    async def relay() -> None:
        nonlocal starts
        starts += 1
        if starts < 4:
            raise OSError("redis is away")
        running.set()
        await asyncio.Event().wait()

    before = background.FAILURES.labels("relay")._value.get()
    async with asyncio.timeout(60), Background() as supervisor:
        supervisor.spawn("relay", relay)
        await running.wait()
    assert starts == 4
    assert background.FAILURES.labels("relay")._value.get() - before == 3


async def test_leaving_stops_the_latest_first_and_waits() -> None:
    ended: list[str] = []
    started = asyncio.Barrier(4)

    async def loop(name: str) -> None:
        await started.wait()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(name)

    async with asyncio.timeout(60), Background() as supervisor:
        for name in ("leases", "relay", "consumer"):
            supervisor.spawn(name, lambda name=name: loop(name))
        await started.wait()
    assert ended == ["consumer", "relay", "leases"]


async def test_a_loop_that_returns_is_finished() -> None:
    starts = 0

    async def once() -> None:
        nonlocal starts
        starts += 1

    async with asyncio.timeout(60), Background() as supervisor:
        await supervisor.spawn("once", once)
    assert starts == 1


async def test_a_name_is_taken_once() -> None:
    async with Background() as supervisor:
        supervisor.spawn("relay", asyncio.Event().wait)
        with pytest.raises(ValueError, match="relay"):
            supervisor.spawn("relay", asyncio.Event().wait)
