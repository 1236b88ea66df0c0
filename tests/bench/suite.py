"""The whole suite as processes: how soon it is healthy, and what it holds in memory."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.measure import Row, duration, in_turn_async
from tests.bench.servers import Servers

from apportion.devstack.service_process import ServiceProcess
from apportion.devstack.stack import Stack

ROUNDS = 3
ONE = "allocation"
MIB_BYTES = 1 << 20


async def start_seconds(services: Sequence[ServiceProcess]) -> float:
    """From nothing to all ready; stopped again."""
    started = time.perf_counter()
    await asyncio.gather(*(service.start() for service in services))
    taken = time.perf_counter() - started
    await asyncio.gather(*(service.stop() for service in services))
    return taken


def with_bytecode(folder: Path) -> None:
    """Lets our children keep compiled modules, as an installed service does, also where the caller forbids it."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder)


def pss_mib(pid: int) -> float:
    """Proportional set size: shared pages count by their share."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kib = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kib * 1024 / MIB_BYTES


async def rows(servers: Servers) -> list[Row]:
    with_bytecode(servers.folder / "bytecode")
    async with Stack(servers.folder / "stack") as stack:
        services = list(stack.services.values())
        await asyncio.gather(*(service.stop() for service in services))
        ours, floor, ratio = await in_turn_async(
            lambda: start_seconds(services), lambda: start_seconds([stack.services[ONE]]), ROUNDS
        )
        await asyncio.gather(*(service.start() for service in services))
        memory = statistics.mean(pss_mib(service.pid) for service in services if service.pid is not None)
    return [
        Row(f"suite start, {len(services)} services", duration(ours), f"{ONE} alone {duration(floor)}", ratio, 4, 16),
        Row("memory, PSS a service", f"{memory:.0f} MiB", "1 MiB", memory, 30, 90),
    ]
