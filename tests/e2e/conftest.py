"""Real processes on the loopback: one stack with a small world for the tests of a module."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from apportion.devstack.scene import Scene, open_scene

INVESTOR_COUNT = 9
# The suite plays one seed, `make soak` many.
SEEDS = range(1, 1 + int(os.environ.get("APPORTION_SEEDS", "1")))
# Set: what a module with a failed test leaves behind (databases, logs, the server's state) is kept.
KEEPS_FAILED = bool(os.environ.get("APPORTION_KEEP_FAILED"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes a `seed`, or whose scene does, is played for each."""
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", SEEDS, scope="module")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if len(SEEDS) > 1:
        for report in [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]:
            for name, line in report.user_properties:
                if name == "soak":
                    terminalreporter.write_line(line)
        passed = len(terminalreporter.getreports("passed"))
        broken = [report.nodeid for kind in ("failed", "error") for report in terminalreporter.getreports(kind)]
        terminalreporter.write_line(
            f"soak: {len(SEEDS)} seeds, {passed} tests passed, {len(broken)} failed {' '.join(broken)}"
        )


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A temporary folder that PostgreSQL, which does not run as root, may pass; pytest's own are closed."""
    made = Path(tempfile.mkdtemp(prefix="apportion-e2e-"))
    made.chmod(0o711)
    failed_before = request.session.testsfailed
    yield made
    if not KEEPS_FAILED or request.session.testsfailed == failed_before:
        shutil.rmtree(made, ignore_errors=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """Five services, a paused simulator, three masters with three investors each."""
    async with open_scene(folder, investor_count=INVESTOR_COUNT) as opened:
        yield opened
