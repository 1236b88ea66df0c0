"""What consumers could not apply, for the person on duty: parked aggregates, and parts of events set aside.

python -m apportion.events parked --consumer fees --database-url postgresql://…
python -m apportion.events unpark --consumer fees --label 1 --topic children --aggregate 7 --database-url …
python -m apportion.events set-aside --database-url …
python -m apportion.events settle 12 --note "closed by hand" --database-url …
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.events.inbox import list_parked, unpark
from apportion.events.set_aside import list_set_aside, settle_set_aside
from apportion.runtime import SystemClock
from apportion.storage import create_engine

app = typer.Typer(help="What a consumer could not apply.", no_args_is_help=True, add_completion=False)
DatabaseUrl = Annotated[str, typer.Option(envvar="DATABASE_URL", help="of the consuming service")]
Consumer = Annotated[str, typer.Option(help="the service's name: allocation, fees, risk")]


@app.command(name="parked")
def print_parked(database_url: DatabaseUrl, consumer: Consumer) -> None:
    """Print what is parked, one aggregate a line."""

    async def work(engine: AsyncEngine) -> None:
        for key in await list_parked(engine, consumer):
            typer.echo(f"label {key.label} topic {key.aggregate_type} aggregate {key.aggregate_id}")

    _run(database_url, work)


@app.command(name="unpark")
def let_go_on(
    database_url: DatabaseUrl,
    consumer: Consumer,
    label: Annotated[int, typer.Option()],
    topic: Annotated[str, typer.Option()],
    aggregate: Annotated[str, typer.Option()],
) -> None:
    """Let one aggregate go on, in order, from the event that failed."""

    async def work(engine: AsyncEngine) -> None:
        await unpark(engine, consumer, label, topic, aggregate)

    _run(database_url, work)


@app.command(name="set-aside")
def print_set_aside(database_url: DatabaseUrl) -> None:
    """Print what was set aside and is not settled, one part a line."""

    async def work(engine: AsyncEngine) -> None:
        for row in await list_set_aside(engine):
            where = f"label {row.label} topic {row.aggregate_type} aggregate {row.aggregate_id} event {row.sequence}"
            typer.echo(f"{row.set_aside_id} {row.set_aside_time.isoformat()} {where} {row.part}: {row.error}")

    _run(database_url, work)


@app.command(name="settle")
def settle(
    database_url: DatabaseUrl,
    set_aside_id: Annotated[int, typer.Argument(help="the number that `set-aside` prints")],
    note: Annotated[str, typer.Option(help="what was done about it")],
) -> None:
    """Say that a part set aside was dealt with by hand."""

    async def work(engine: AsyncEngine) -> None:
        await settle_set_aside(engine, set_aside_id, note=note, now=SystemClock().now())

    _run(database_url, work)


def _run(database_url: str, work: Callable[[AsyncEngine], Awaitable[None]]) -> None:
    async def main() -> None:
        engine = create_engine(database_url, pool_size=1)
        try:
            await work(engine)
        finally:
            await engine.dispose()

    asyncio.run(main())


if __name__ == "__main__":
    app()
