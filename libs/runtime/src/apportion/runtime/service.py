"""The `main()` of every service: subcommands, one event loop, readiness, and a clean end on SIGTERM.

serve   answer calls; work   run consumers and schedules; run   both in one process
migrate   bring the database to this version; check-settings   read the settings, say what is wrong, exit
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from typing import TypeVar

import structlog
import typer
from pydantic import ValidationError

from apportion.errors import DomainError
from apportion.runtime import logs, telemetry
from apportion.runtime.allocator import keep_big_blocks
from apportion.runtime.app import ServiceApp
from apportion.runtime.metrics import OperationsEndpoint
from apportion.runtime.ready_file import ReadyFile
from apportion.runtime.settings import ServiceSettings, problems_of

log = structlog.get_logger()

SERVE = "serve"
WORK = "work"
EXIT_FAILED = 1
EXIT_BAD_SETTINGS = 2

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)

Build = Callable[[SettingsT, set[str]], AbstractAsyncContextManager[ServiceApp]]
Migrate = Callable[[SettingsT], Awaitable[object]]


def service_main(
    name: str, settings_type: type[SettingsT], build: Build[SettingsT], migrate: Migrate[SettingsT]
) -> None:
    """Parse the command line and run one subcommand; exits 0 after a clean stop, 1 on failure, 2 on bad settings.

    `build(settings, roles)` opens the app with its engine and clients; roles is a subset of {"serve", "work"}.
    """
    service_app(name, settings_type, build, migrate)()


def service_app(
    name: str, settings_type: type[SettingsT], build: Build[SettingsT], migrate: Migrate[SettingsT]
) -> typer.Typer:
    """The Typer application behind `service_main`."""
    app = typer.Typer(name=name, help=f"Apportion {name}.", no_args_is_help=True, add_completion=False)

    def run_roles(roles: set[str]) -> None:
        settings = _read(settings_type)
        logs.configure(name, settings.log_level, development=settings.development)
        telemetry.configure(name, settings.trace_endpoint, settings.trace_sample_ratio)
        _finish(_run(_serve_until_signal(name, settings, roles, build)))

    @app.command()
    def serve() -> None:
        """Answer calls."""
        run_roles({SERVE})

    @app.command()
    def work() -> None:
        """Run consumers and schedules."""
        run_roles({WORK})

    @app.command()
    def run() -> None:
        """Serve and work in one process."""
        run_roles({SERVE, WORK})

    @app.command(name="migrate")
    def migrate_database() -> None:
        """Bring the database schema to this version."""
        settings = _read(settings_type)
        logs.configure(name, settings.log_level, development=settings.development)
        _finish(_run(migrate(settings)))

    @app.command()
    def check_settings() -> None:
        """Read all settings and print them, passwords masked."""
        for key, value in _read(settings_type).described().items():
            typer.echo(f"{key} = {value}")

    return app


def _read(settings_type: type[SettingsT]) -> SettingsT:
    try:
        return settings_type.model_validate({})
    except ValidationError as error:
        for line in problems_of(error, settings_type):
            typer.echo(line, err=True)
        raise typer.Exit(EXIT_BAD_SETTINGS) from None


async def _serve_until_signal(name: str, settings: SettingsT, roles: set[str], build: Build[SettingsT]) -> None:
    stop = _stop_signal()
    async with AsyncExitStack() as stack:
        stack.callback(telemetry.shut_down)
        operations = None
        if settings.metrics_address is not None:
            operations = await stack.enter_async_context(OperationsEndpoint(settings.metrics_address))
        app = await stack.enter_async_context(build(settings, roles))
        ready_file = ReadyFile(settings.ready_file)
        try:
            if not await _started(app, stop):
                return
            if operations is not None:
                operations.ready = True
            ready_file.write(app.address(), operations.address if operations is not None else None)
            log.info("service_ready", roles=sorted(roles), address=app.address(), pid=os.getpid())
            await stop.wait()
            log.info("service_draining")
        finally:
            ready_file.remove()
            if operations is not None:
                operations.ready = False
            await app.stop()
    log.info("service_stopped")


async def _started(app: ServiceApp, stop: asyncio.Event) -> bool:
    """False when a stop was asked for before the start had ended."""
    starting = asyncio.ensure_future(app.start())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
    for task in (stopping, starting):
        task.cancel()
    with suppress(asyncio.CancelledError):
        await starting
    return not starting.cancelled()


def _stop_signal() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; the second one ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    return stop


def _run(main: Awaitable[object]) -> int:
    import uvloop  # here, so that tests which import this module keep the plain loop

    async def guarded() -> int:
        try:
            await main
        except DomainError as error:
            log.error("service_failed", reason=error.reason, message=error.message, cure=error.cure, **error.metadata)
            return EXIT_FAILED
        except Exception:
            log.exception("service_failed")
            return EXIT_FAILED
        return 0

    keep_big_blocks()
    return uvloop.run(guarded())


def _finish(code: int) -> None:
    sys.stderr.flush()
    if code:
        raise typer.Exit(code)
