"""A stack with a simulated server and a world on it: what the demo shows and the process tests play in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from apportion.devstack.clients import Clients
from apportion.devstack.day import START
from apportion.devstack.ports import free_port
from apportion.devstack.room import Room, create_broker
from apportion.devstack.stack import Stack
from apportion.devstack.world import World, build_world
from apportion.mt5_simulator.process import SimulatorProcess

LABEL = 1
SETTINGS = {
    # The simulated server stands on the loopback.
    "PLATFORM_GROUPS_ALLOW_LOOPBACK_SERVERS": "true",
    # A machine that also runs everything else may be slow: decisions wait for what is not told yet, and a child that
    # was missed by a crash or refused in passing may still be opened.
    "ALLOCATION_STATES_SECONDS": "60",
    "ALLOCATION_CATCH_UP_SECONDS": "120",
    "ALLOCATION_RETRY_SECONDS": "60",
    "ALLOCATION_RETRY_COUNT": "20",
    # By the clock of a server that is played many times faster.
    "ALLOCATION_DEAL_SECONDS": "86400",
    "PLATFORM_GROUPS_SERVER_TIMEOUT_SECONDS": "3",
    "PLATFORM_GROUPS_ANSWER_TIMEOUT_SECONDS": "3",
}


@dataclass(frozen=True)
class Scene:
    stack: Stack
    simulator: SimulatorProcess
    clients: Clients
    world: World
    # The broker's trader's room, with the first manager in front of it.
    room: Room


@asynccontextmanager
async def open_scene(
    folder: Path,
    *,
    investor_count: int,
    seed: int = 1,
    speed: float = 1.0,
    paused: bool = True,
    at_once: int = 16,
    split: Mapping[str, int] | None = None,
    settings: Mapping[str, str] = MappingProxyType({}),
    progress: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[Scene]:
    """Everything started and the world built; stopped in order at the end. Data and logs lie in `folder`.

    `at_once` 1 gives every account the same login in each run; `settings` win over those of all scenes.
    """
    ports = ["--https-port", str(free_port()), "--admin-port", str(free_port())]
    simulator = SimulatorProcess(
        folder / "simulator", start=START, seed=seed, paused=paused, speed=speed, options=ports
    )
    async with simulator, Stack(folder, {**SETTINGS, **settings}, split) as stack:
        clients = stack.clients(LABEL)
        try:
            room, world = await asyncio.gather(
                create_broker(stack, LABEL),
                build_world(clients, simulator, investor_count, seed, at_once, progress),
            )
            first = next(iter(world.masters.values()))
            yield Scene(stack, simulator, clients, world, room.of(first.wallet_login))
        finally:
            await clients.close()
