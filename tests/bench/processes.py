"""Servers under measurement in processes of their own, so that client and server do not share a core."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvloop

from apportion.runtime.allocator import keep_big_blocks

SERVER_CORE = 0
CLIENT_CORE = 1

Serve = Callable[..., Awaitable[tuple[str, object]]]
"""Starts a server; returns its address and whatever has to stay alive."""


@contextmanager
def serving(serve: Serve, *arguments: object) -> Iterator[str]:
    """The address of `serve(*arguments)`, which runs in a new process on a core of its own."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_run, args=(serve, theirs, *arguments), daemon=True)
    process.start()
    try:
        theirs.close()
        yield mine.recv()
    finally:
        process.terminate()
        process.join()


@contextmanager
def on_client_core() -> Iterator[None]:
    """Keeps this process off the core of the servers."""
    before = os.sched_getaffinity(0)
    _pin(CLIENT_CORE)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _run(serve: Serve, pipe: Any, *arguments: object) -> None:
    async def main() -> None:
        address, _alive = await serve(*arguments)
        pipe.send(address)
        await asyncio.Event().wait()

    _pin(SERVER_CORE)
    keep_big_blocks()
    uvloop.run(main())


def _pin(core: int) -> None:
    if core in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {core})
