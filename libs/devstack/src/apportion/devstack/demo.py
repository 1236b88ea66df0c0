"""`make demo`: everything on one machine, live or as one scripted day."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from apportion.devstack.board import Board
from apportion.devstack.books import Finding, audit
from apportion.devstack.clients import Clients
from apportion.devstack.day import START, Day
from apportion.devstack.ledger import read_ledger
from apportion.devstack.room import Room, create_broker
from apportion.devstack.stack import Stack
from apportion.devstack.trading import trade_for_ever
from apportion.devstack.world import World, build_world
from apportion.errors import DomainError
from apportion.mt5_simulator.process import SimulatorProcess

LABEL = 1
BOARD_SECONDS = 1.0
# The simulated server stands on the loopback, and its clock may run faster than ours.
SETTINGS = {
    "PLATFORM_GROUPS_ALLOW_LOOPBACK_SERVERS": "true",
}
console = Console()


@dataclass(frozen=True)
class Demo:
    stack: Stack
    simulator: SimulatorProcess
    clients: Clients
    world: World
    room: Room


async def live(investor_count: int, seed: int, speed: float, folder: Path | None) -> None:
    """Real EUR prices, seeded strategies and a live board, until Ctrl-C."""
    async with _demo(investor_count, seed, folder, paused=False, speed=speed) as demo:
        board = Board(demo.stack, demo.clients, demo.world, speed, demo.room.notices())
        players = asyncio.create_task(trade_for_ever(demo.world, demo.simulator, seed))
        try:
            with Live(console=console, screen=console.is_terminal, auto_refresh=False) as screen:
                while True:
                    try:
                        screen.update(await board.read(), refresh=True)
                    except DomainError as error:
                        console.log(f"{error.reason}: {error.message}")
                    await asyncio.sleep(BOARD_SECONDS)
        finally:
            players.cancel()
            await asyncio.gather(players, return_exceptions=True)
            console.print("stopping …")


async def once(investor_count: int, seed: int, folder: Path | None) -> int:
    """One scripted day, then the audit. Returns the exit code: 0 only if the books balance."""
    async with _demo(investor_count, seed, folder, paused=True, speed=1.0) as demo:

        async def announce(step: str) -> None:
            status = await demo.simulator.admin.status()
            console.print(f"  {status['server_time']}  {step}")

        await Day(demo.world, demo.clients, demo.simulator, announce).play()
        ledger = await read_ledger(demo.world, demo.clients, demo.simulator)
        findings = await audit(demo.world, demo.clients, ledger)
        answer = await demo.room.sign_in()
        console.print(f"  la.auth: {json.dumps(answer)}")
    _print_findings(findings)
    return 1 if any(finding.problems for finding in findings) else 0


@asynccontextmanager
async def _demo(
    investor_count: int, seed: int, folder: Path | None, *, paused: bool, speed: float
) -> AsyncIterator[Demo]:
    """The whole suite with its world, in `folder` or in a temporary one that is removed at the end."""
    home = folder or Path(tempfile.mkdtemp(prefix="apportion-demo-"))
    simulator = SimulatorProcess(home / "simulator", start=START, seed=seed, paused=paused, speed=speed)
    try:
        console.print(f"starting servers and services, logs in {home}")
        async with simulator, Stack(home, SETTINGS) as stack:
            room = await create_broker(stack, LABEL)
            clients = stack.clients(LABEL)
            try:
                world = await build_world(clients, simulator, investor_count, seed, _progress)
                yield Demo(stack, simulator, clients, world, room.of(next(iter(world.masters.values())).wallet_login))
            finally:
                await clients.close()
    finally:
        if folder is None:
            shutil.rmtree(home, ignore_errors=True)


def _progress(step: str) -> None:
    console.print(f"  creating {step}")


def _print_findings(findings: list[Finding]) -> None:
    table = Table(title="The books")
    for column in ("check", "counted", "result"):
        table.add_column(column)
    for finding in findings:
        result = f"[red]{len(finding.problems)} wrong[/]" if finding.problems else "[green]good[/]"
        table.add_row(finding.check, finding.counted, result)
    console.print(table)
    for finding in findings:
        for problem in finding.problems[:10]:
            print(f"{finding.check}: {problem}", file=sys.stderr)
