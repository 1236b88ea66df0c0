"""kill -9 of any process at any moment of the day: the same final books."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from apportion.devstack.books import audit, final_books
from apportion.devstack.day import Day
from apportion.devstack.ledger import read_ledger
from apportion.devstack.scene import Scene, open_scene
from apportion.devstack.stack import SERVICES

pytestmark = pytest.mark.asyncio(loop_scope="module")

INVESTOR_COUNT = 9
# Longest time into a step before the process is killed.
KILL_SECONDS = 1.0


async def _play(home: Path, killer: Killer) -> dict[str, object]:
    """The scripted day, with the killer about from its first step on; audited."""
    async with open_scene(home, investor_count=INVESTOR_COUNT, at_once=1) as scene:
        await Day(scene.world, scene.clients, scene.simulator, lambda _: killer.strike(scene)).play()
        await killer.rest()
        ledger = await read_ledger(scene.world, scene.clients, scene.simulator)
        findings = await audit(scene.world, scene.clients, ledger)
        assert not [problem for finding in findings for problem in finding.problems]
        return final_books(scene.world, ledger)


class Killer:
    """Kills each process once, in a random order, at random steps and moments, and starts it again at once."""

    def __init__(self, seed: int, victims: Sequence[str]) -> None:
        self._chance = random.Random(seed)
        self._victims = [*victims]
        self._chance.shuffle(self._victims)
        self.killed: list[str] = []
        self._running: asyncio.Task[None] | None = None

    async def strike(self, scene: Scene) -> None:
        """At the beginning of a step."""
        await self.rest()
        if self._victims and self._chance.random() < 0.7:
            self._running = asyncio.create_task(self._kill(scene, self._victims.pop()))

    async def rest(self) -> None:
        """Until whom it killed last is back."""
        if self._running is not None:
            await self._running
        self._running = None

    async def _kill(self, scene: Scene, victim: str) -> None:
        await asyncio.sleep(self._chance.random() * KILL_SECONDS)  # the random moment, not a wait for anything
        self.killed.append(victim)
        if victim == "simulator":
            await scene.simulator.kill()
            await scene.simulator.start()
            return
        process = {"postgres": scene.stack.postgres, "valkey": scene.stack.valkey}.get(victim)
        if process is not None:
            process.kill()
            await process.start()
            return
        scene.stack.services[victim].kill()
        await scene.stack.services[victim].start()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def calm(folder: Path) -> dict[str, object]:
    """The final books of a day on which nothing was killed."""
    return await _play(folder / "calm", Killer(1, []))


async def test_the_books_are_the_same_after_crashes(folder: Path, calm: dict[str, object], seed: int) -> None:
    killer = Killer(seed, [*SERVICES, "postgres", "valkey", "simulator"])
    stormy = await _play(folder / f"stormy-{seed}", killer)
    assert len(killer.killed) >= 6, killer.killed
    assert stormy == calm, f"killed {killer.killed}"
