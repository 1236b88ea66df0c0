"""A server as our child process: its log in a file, and never alive after us."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

START_SECONDS = 120.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.02
LOG_TAIL_CHARACTERS = 2_000

# Reads until our end of the pipe closes, also by a kill -9 of us, then ends the server it was given.
WATCHDOG = 'read -r _; kill -"$1" "$2"'


class ServerNotStarted(Exception):
    """The server ended or never answered; the message carries the end of its log."""


class ServerProcess:
    """One running server. `user` is the account it runs under and `environment` its own; None for ours."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log_file: Path,
        stop_signal: signal.Signals,
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._name = Path(command[0]).name
        self._log_file = log_file
        self._stop_signal = stop_signal
        with log_file.open("ab") as log:
            self._server = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=environment,
                user=user,
                extra_groups=[] if user else None,
                start_new_session=True,  # Ctrl-C in the terminal reaches us, and we stop it in order
            )
        self._watchdog = subprocess.Popen(
            ["sh", "-c", WATCHDOG, "watchdog", stop_signal.name.removeprefix("SIG"), str(self._server.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._server.pid

    async def wait_ready(self, answers: Callable[[], Awaitable[bool]]) -> None:
        """Polls `answers` until it is true. Raises ServerNotStarted when the server ends or stays silent."""
        for _ in range(int(START_SECONDS / POLL_SECONDS)):
            if self._server.poll() is not None:
                break
            if await answers():
                return
            await asyncio.sleep(POLL_SECONDS)
        await self.stop()
        tail = self._log_file.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]
        raise ServerNotStarted(f"{self._name} ended with {self._server.returncode}:\n{tail}")

    async def stop(self) -> None:
        """Ends the server in order, or by force when it takes longer than STOP_SECONDS. May be called twice."""
        self._dismiss_watchdog()
        if self._server.poll() is None:
            self._server.send_signal(self._stop_signal)
        try:
            await asyncio.to_thread(self._server.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Ends the server as a power cut would, all its processes at once."""
        self._dismiss_watchdog()
        if self._server.poll() is None:
            server = psutil.Process(self._server.pid)
            server.suspend()  # or it would start new processes and end the others in order
            processes = [server, *server.children(recursive=True)]
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            while not all(map(_has_ended, processes)):
                time.sleep(0.001)
        self._server.wait()

    def _dismiss_watchdog(self) -> None:
        """Before the server ends: its process id may be another's soon after."""
        self._watchdog.kill()
        self._watchdog.communicate()


def _has_ended(process: psutil.Process) -> bool:
    """A dead process holds nothing any more, even before its parent has asked for it."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
