"""Parked aggregates, for the person on duty: list them, and let one go on after its cause was mended.

python -m apportion.events parked --consumer fees --database-url postgresql://…
python -m apportion.events unpark --consumer fees --label 1 --topic children --aggregate 7 --database-url …
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.events.inbox import list_parked, unpark
from apportion.storage import create_engine

app = typer.Typer(help="Parked aggregates of a consumer.", no_args_is_help=True, add_completion=False)
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
