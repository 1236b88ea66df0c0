"""`make demo`: everything on one machine, live or as one scripted day."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from apportion.devstack.board import Board
from apportion.devstack.books import Finding, audit
from apportion.devstack.day import Day, server_clock
from apportion.devstack.ledger import read_ledger
from apportion.devstack.scene import Scene, open_scene
from apportion.devstack.trading import trade_for_ever
from apportion.errors import DomainError

BOARD_SECONDS = 1.0
console = Console()


async def live(investor_count: int, seed: int, speed: float, folder: Path | None) -> None:
    """Real EUR prices, seeded strategies and a live board, until Ctrl-C."""
    async with _scene(investor_count, seed, folder, paused=False, speed=speed) as scene:
        board = Board(scene.stack, scene.clients, scene.world, speed, _notices(scene))
        players = asyncio.create_task(trade_for_ever(scene.world, scene.simulator, seed))
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
    async with _scene(investor_count, seed, folder, paused=True, speed=1.0) as scene:

        async def announce(step: str) -> None:
            console.print(f"  {await server_clock(scene.simulator):%a %H:%M:%S}  {step}")

        await Day(scene.world, scene.clients, scene.simulator, announce).play()
        ledger = await read_ledger(scene.world, scene.clients, scene.simulator)
        findings = await audit(scene.world, scene.clients, ledger)
        answer = await scene.room.sign_in()
        console.print(f"  la.auth: {json.dumps(answer)}", soft_wrap=True)
    _print_findings(findings)
    return 1 if any(finding.problems for finding in findings) else 0


@asynccontextmanager
async def _scene(
    investor_count: int, seed: int, folder: Path | None, *, paused: bool, speed: float
) -> AsyncIterator[Scene]:
    """The scene in `folder`, or in a temporary folder that is removed at the end, unless something failed."""
    home = (folder or Path(tempfile.mkdtemp(prefix="apportion-demo-"))).resolve()
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o711)  # PostgreSQL, which does not run as root, must pass
    console.print(f"starting servers and services, logs in {home}")
    is_kept = folder is not None
    try:
        async with open_scene(
            home, investor_count=investor_count, seed=seed, paused=paused, speed=speed, progress=_progress
        ) as scene:
            yield scene
    except Exception:
        is_kept = True
        console.print(f"failed; data and logs are kept in {home}")
        raise
    finally:
        if not is_kept:
            shutil.rmtree(home, ignore_errors=True)


def _notices(scene: Scene) -> list[str]:
    """How to sign a user in. The request is in a file, for the board breaks lines that are longer than the terminal."""
    script = scene.stack.folder / "sign-in.sh"
    script.write_text(scene.room.request_script())
    script.chmod(0o600)  # it holds the broker's password
    return [f"sh {script}", "signs a user in by la.auth; the url in the answer leads to the broker's own site"]


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
