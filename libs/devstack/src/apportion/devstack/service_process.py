"""One process of a service as our child: started with its settings, killed and started again at will."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from apportion.devstack.server_process import ServerNotStarted, ServerProcess


class ServiceProcess:
    """`role` is the subcommand: run, serve or work. `folder` gets the log and the ready file."""

    def __init__(self, name: str, service: str, role: str, environment: Mapping[str, str], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.service = service
        self.log_file = folder / f"{name}.log"
        self._module = f"apportion.{service.replace('-', '_')}"
        self._role = role
        self._ready_file = folder / f"{name}.ready"
        prefix = service.upper().replace("-", "_") + "_"
        self.environment = {
            **os.environ,
            **environment,
            f"{prefix}READY_FILE": str(self._ready_file),
            f"{prefix}WORKER_ID": name,
        }
        self._process: ServerProcess | None = None

    @property
    def pid(self) -> int | None:
        """None while stopped."""
        return None if self._process is None else self._process.pid

    @property
    def ready(self) -> bool:
        return self._process is not None and self._ready_file.exists()

    async def start(self) -> None:
        """Start and wait until it is ready."""
        self._ready_file.unlink(missing_ok=True)
        self._process = ServerProcess(
            [sys.executable, "-m", self._module, self._role],
            log_file=self.log_file,
            stop_signal=signal.SIGTERM,
            environment=self.environment,
        )
        await self._process.wait_ready(self._is_ready)

    async def stop(self) -> None:
        if self._process is not None:
            await self._process.stop()
            self._process = None

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process = None
        self._ready_file.unlink(missing_ok=True)

    def suspend(self) -> None:
        """SIGSTOP: it holds its connections and does nothing."""
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise ServerNotStarted(f"{self.name} is not running")
        os.kill(self._process.pid, number)

    async def _is_ready(self) -> bool:
        return self._ready_file.exists()
