"""A service with nothing in it, run as a process by the tests of `service_main`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic_settings import SettingsConfigDict

from apportion.errors import DatabaseUnavailable
from apportion.runtime import Background, ServiceApp, ServiceSettings
from apportion.runtime.service import service_main


class SampleSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="SAMPLE_")

    behaviour: str = "good"


class SampleServer:
    def __init__(self, behaviour: str, roles: set[str]) -> None:
        self._behaviour = behaviour
        self._roles = roles

    async def start(self) -> str:
        if self._behaviour == "refuse":
            raise DatabaseUnavailable("cannot reach db.example:5432", host="db.example")
        if self._behaviour == "never":
            print("starting", flush=True)
            await asyncio.Event().wait()
        if self._behaviour == "crash":
            raise RuntimeError("a bug")
        print("started", *sorted(self._roles), flush=True)
        return "127.0.0.1:1234"

    async def drain(self, grace_seconds: float) -> None:
        print("stopping", flush=True)
        if self._behaviour == "hang":
            await asyncio.Event().wait()


@asynccontextmanager
async def build(settings: SampleSettings, roles: set[str]) -> AsyncIterator[ServiceApp]:
    server = SampleServer(settings.behaviour, roles)
    yield ServiceApp(Background(), server=server, loops={}, drain_seconds=settings.drain_seconds)
    print("closed", flush=True)


async def migrate(settings: SampleSettings) -> None:
    print("migrated", settings.database_url.rpartition("/")[2], flush=True)


if __name__ == "__main__":
    service_main("sample", SampleSettings, build, migrate)
