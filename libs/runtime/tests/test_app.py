from __future__ import annotations

import asyncio

import pytest

from apportion.runtime import Background, ServiceApp


class NotedServer:
    """Writes down what is asked of it."""

    def __init__(self, notes: list[str], failure: Exception | None = None) -> None:
        self._notes = notes
        self._failure = failure

    async def start(self) -> str:
        self._notes.append("server started")
        if self._failure is not None:
            raise self._failure
        return "127.0.0.1:1234"

    async def drain(self, grace_seconds: float) -> None:
        self._notes.append(f"server drained within {grace_seconds}")


def noted_loop(notes: list[str], name: str):
    async def run() -> None:
        notes.append(f"{name} runs")
        try:
            await asyncio.Event().wait()
        finally:
            notes.append(f"{name} ends")

    return run


async def test_calls_end_before_loops_and_loops_in_reverse() -> None:
    notes: list[str] = []
    loops = {name: noted_loop(notes, name) for name in ("leases", "worker")}
    async with Background() as background:
        app = ServiceApp(background, server=NotedServer(notes), loops=loops, drain_seconds=7.0)
        assert app.address() is None
        await app.start()
        assert app.address() == "127.0.0.1:1234"
        await asyncio.sleep(0)
        await app.stop()
    assert notes == [
        "server started",
        "leases runs",
        "worker runs",
        "server drained within 7.0",
        "worker ends",
        "leases ends",
    ]


async def test_a_worker_serves_nothing() -> None:
    notes: list[str] = []
    async with Background() as background:
        app = ServiceApp(background, server=None, loops={"worker": noted_loop(notes, "worker")}, drain_seconds=7.0)
        await app.start()
        await asyncio.sleep(0)
        assert app.address() is None
        await app.stop()
    assert notes == ["worker runs", "worker ends"]


async def test_a_start_that_failed_can_be_stopped() -> None:
    notes: list[str] = []
    async with Background() as background:
        server = NotedServer(notes, OSError("cannot listen"))
        app = ServiceApp(background, server=server, loops={"worker": noted_loop(notes, "worker")}, drain_seconds=0.0)
        with pytest.raises(OSError, match="cannot listen"):
            await app.start()
        await app.stop()
    assert notes == ["server started", "server drained within 0.0"]
