"""`export …`: lists as Excel workbooks or HTML pages, from the command line."""

from __future__ import annotations

import asyncio
import enum
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import Annotated, BinaryIO, NoReturn

import typer
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.app import SCHEMA
from apportion.allocation.domain.child_listing import ChildTradeFilter
from apportion.allocation.domain.history import SECOND_MS, HistoryFilter
from apportion.allocation.domain.masters import Master
from apportion.allocation.exports import (
    Report,
    allocations_report,
    children_report,
    history_report,
    write_html,
    write_xlsx,
)
from apportion.allocation.operations.collect_report import collect_allocations, collect_children, collect_history
from apportion.allocation.operations.find_scope import Owner
from apportion.allocation.operations.get_master import get_master
from apportion.allocation.settings import AllocationSettings
from apportion.errors import DomainError
from apportion.runtime import SystemClock
from apportion.runtime.settings import problems_of
from apportion.storage import DatabaseNotDurable, SchemaMismatch, open_database

EXIT_REFUSED = 1
EXIT_BAD_SETTINGS = 2
STDOUT = Path("-")
FIRST_TIME, LAST_TIME = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


class Format(enum.StrEnum):
    XLSX = "xlsx"
    HTML = "html"


class Span:
    """From the first instant on, before the second; what the operator left out is open."""

    def __init__(self, start: datetime | None, end: datetime | None) -> None:
        self.start = FIRST_TIME if start is None else start.replace(tzinfo=UTC)
        self.end = LAST_TIME if end is None else end.replace(tzinfo=UTC)
        self.note = f"{self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M}" if start or end else "all"


export_app = typer.Typer(help="Write lists to files for people.", no_args_is_help=True)
Label = Annotated[int, typer.Option(help="the broker's number")]
MasterId = Annotated[int, typer.Option(min=1, help="the master")]
SubscriptionId = Annotated[int, typer.Option(min=0, help="only this subscription of the master")]
Start = Annotated[datetime | None, typer.Option("--from", help="2026-01-31 or 2026-01-31T12:00:00, included")]
End = Annotated[datetime | None, typer.Option("--to", help="likewise, excluded")]
Kind = Annotated[Format, typer.Option("--format", help="the kind of file")]
Output = Annotated[Path, typer.Option(help="the file; - writes to stdout")]
Collect = Callable[[AsyncEngine, Master], Report]


@export_app.command()
def history(
    label: Label,
    master_id: MasterId,
    output: Output,
    subscription_id: SubscriptionId = 0,
    start: Start = None,
    end: End = None,
    format_: Kind = Format.XLSX,
) -> None:
    """Deals of the master's account, or of a subscription's; times are the trading server's."""
    span = Span(start, end)

    def collect(engine: AsyncEngine, master: Master) -> Report:
        owner = Owner(subscription_id=subscription_id) if subscription_id else Owner(master_id=master_id)
        start_ms, end_ms = (int(time.timestamp()) * SECOND_MS for time in (span.start, span.end))
        rows = collect_history(engine, label, owner, HistoryFilter(start_ms, end_ms))
        digits, currency = master.currency_digits, master.currency_code
        title = f"History of {_named(master, subscription_id)}"
        return history_report(title, rows, currency_code=currency, amount_digits=digits, note=span.note)

    _finish(label, master_id, collect, format_, output)


@export_app.command()
def children(
    label: Label,
    master_id: MasterId,
    output: Output,
    subscription_id: SubscriptionId = 0,
    start: Start = None,
    end: End = None,
    format_: Kind = Format.XLSX,
) -> None:
    """Child trades; times are UTC."""
    span = Span(start, end)

    def collect(engine: AsyncEngine, master: Master) -> Report:
        wanted = ChildTradeFilter(
            master_id=master_id, subscription_id=subscription_id, start_time=span.start, end_time=span.end
        )
        rows = collect_children(engine, label, wanted)
        return children_report(f"Child trades of {_named(master, subscription_id)}", rows, note=span.note)

    _finish(label, master_id, collect, format_, output)


@export_app.command()
def allocations(
    label: Label,
    master_id: MasterId,
    output: Output,
    start: Start = None,
    end: End = None,
    format_: Kind = Format.XLSX,
) -> None:
    """Decisions, each with the subscriptions that got less than their share, and why; times are UTC."""
    span = Span(start, end)

    def collect(engine: AsyncEngine, master: Master) -> Report:
        decisions = collect_allocations(engine, label, master_id, start_time=span.start, end_time=span.end)
        return allocations_report(f"Allocations of {_named(master)}", decisions, note=span.note)

    _finish(label, master_id, collect, format_, output)


def _named(master: Master, subscription_id: int = 0) -> str:
    whose = f"{master.name} (master {master.master_id}, account {master.account_login})"
    return f"subscription {subscription_id} of {whose}" if subscription_id else whose


def _finish(label: int, master_id: int, collect: Collect, format_: Format, output: Path) -> None:
    """Run with the service's settings; a refusal goes to stderr with its cure, and leaves no file behind."""
    try:
        settings = AllocationSettings.model_validate({})
        with TemporaryFile() as file:
            count = asyncio.run(_write(settings, label, master_id, collect, format_, file))
            _deliver(file, output)
    except ValidationError as error:
        for line in problems_of(error, AllocationSettings):
            typer.echo(line, err=True)
        raise typer.Exit(EXIT_BAD_SETTINGS) from None
    except DomainError as error:
        details = [f"{violation.field} {violation.description}" for violation in error.violations]
        _refuse("; ".join([f"{error} — {error.cure}", *details]))
    except (DatabaseNotDurable, SchemaMismatch, OSError) as error:
        _refuse(str(error))
    if output != STDOUT:
        typer.echo(f"{count} rows written to {output}", err=True)


async def _write(
    settings: AllocationSettings, label: int, master_id: int, collect: Collect, format_: Format, file: BinaryIO
) -> int:
    """The number of rows."""
    async with open_database(settings, SCHEMA) as engine:
        report = collect(engine, await get_master(engine, label, master_id))
        if format_ is Format.HTML:
            return await write_html(report, file)
        return await write_xlsx(report, file, now=SystemClock().now())


def _deliver(file: BinaryIO, output: Path) -> None:
    """Only what is whole gets to the operator."""
    file.seek(0)
    if output == STDOUT:
        copyfileobj(file, sys.stdout.buffer)
        return
    with output.open("wb") as target:
        copyfileobj(file, target)


def _refuse(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(EXIT_REFUSED) from None
