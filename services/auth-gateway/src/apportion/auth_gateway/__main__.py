"""`python -m apportion.auth_gateway`: serve, run, migrate, check-settings, broker."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from apportion.auth_gateway.app import build, migrate
from apportion.auth_gateway.broker_cli import broker_app
from apportion.auth_gateway.settings import AuthGatewaySettings
from apportion.runtime import ServiceApp
from apportion.runtime.service import service_app

YOUNG_OBJECTS = 10_000


@asynccontextmanager
async def build_quiet(settings: AuthGatewaySettings, roles: set[str]) -> AsyncIterator[ServiceApp]:
    """The app, with a garbage collector that seldom interrupts it."""
    async with build(settings, roles) as app:
        quiet_collector()
        yield app


def quiet_collector() -> None:
    """Take all that is loaded by now out of the collector's sight, and let it look at the rest less often.

    What is loaded lives as long as the process, and walking it stops every request for 80 ms, about once a second
    under load. With the default of 700 objects, those of a few dozen requests in flight are walked over and over, for
    a twelfth of the processor time; what little they leave in cycles can wait.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def main() -> None:
    """The command line."""
    app = service_app("auth-gateway", AuthGatewaySettings, build_quiet, migrate)
    app.add_typer(broker_app, name="broker")
    app()


if __name__ == "__main__":
    main()
