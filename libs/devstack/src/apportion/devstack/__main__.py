"""Command line of the development stack: `demo`, `run`, `errors`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from apportion.devstack import demo as demos
from apportion.devstack.registry import errors_page
from apportion.devstack.run import run_services

app = typer.Typer(
    help="Apportion on one machine.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
Folder = Annotated[Path | None, typer.Option(help="Keep data and logs here instead of a temporary folder.")]


@app.command()
def demo(
    once: Annotated[bool, typer.Option(help="Play one scripted day, check the books, exit.")] = False,
    investors: Annotated[int, typer.Option(min=3, help="How many investors, shared by three masters.")] = 300,
    seed: Annotated[int, typer.Option(help="Draws sizes, prices and strategies.")] = 1,
    speed: Annotated[float, typer.Option(min=0.1, help="How fast the server's clock runs in the live demo.")] = 60.0,
    folder: Folder = None,
) -> None:
    """Servers, simulator and all services, with something to look at."""
    if once:
        raise typer.Exit(asyncio.run(demos.once(investors, seed, folder)))
    _until_interrupted(demos.live(investors, seed, speed, folder))


@app.command()
def run(folder: Folder = None) -> None:
    """The five services on embedded servers, until Ctrl-C."""
    _until_interrupted(run_services(folder))


@app.command()
def errors() -> None:
    """Print docs/errors.md: every reason, who raises it and what to do."""
    typer.echo(errors_page(), nl=False)


def _until_interrupted(work: object) -> None:
    try:
        asyncio.run(work)  # type: ignore[arg-type]
    except KeyboardInterrupt:
        typer.echo("stopped")


if __name__ == "__main__":
    app()
