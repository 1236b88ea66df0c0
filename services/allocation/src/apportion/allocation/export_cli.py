"""`export …`: lists as Excel workbooks or HTML pages, from the command line."""

from __future__ import annotations

import asyncio
import enum
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import Annotated, Any, BinaryIO, Generic, NoReturn, TypeVar

import typer
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.app import SCHEMA
from apportion.allocation.domain.allocations import AllocationFilter
from apportion.allocation.domain.child_listing import ChildTradeFilter, ChildTradeRow
from apportion.allocation.domain.child_trades import ChildTradeState
from apportion.allocation.domain.distributions import DistributionFilter
from apportion.allocation.domain.fairness_totals import Span
from apportion.allocation.domain.history import SECOND_MS, HistoryFilter, HistoryRow
from apportion.allocation.domain.master_trades import MasterTradeFilter, MasterTradeRow
from apportion.allocation.domain.masters import Master
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.exports.files import Column, Report, Row, write_html, write_xlsx
from apportion.allocation.exports.reports import ALLOCATIONS, CHILDREN, DISTRIBUTIONS, HISTORY, MASTER_TRADES
from apportion.allocation.operations.collect_report import (
    DecisionLine,
    DistributionLine,
    at_most_max_rows,
    collect_allocations,
    collect_children,
    collect_distributions,
    collect_history,
    collect_master_trades,
)
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
TOLD_BEFORE = {"master_id", "subscription_id"} | {
    "start_time",
    "end_time",
    "start_server_time_ms",
    "end_server_time_ms",
}
"""What the title tells of a filter, and what the span tells."""

EnumT = TypeVar("EnumT", bound=enum.Enum)


class Format(enum.StrEnum):
    XLSX = "xlsx"
    HTML = "html"


@dataclass(frozen=True, slots=True)
class Target:
    """Whose list is written, and where."""

    label: int
    master_id: int
    format: Format
    output: Path
    subscription_id: int = 0


@dataclass(frozen=True, slots=True)
class Table(Generic[Row]):
    """What is written."""

    name: str
    columns: Sequence[Column[Row]]
    collect: Callable[[AsyncEngine], AsyncIterator[Row]]
    note: str


def _names(kind: type[enum.Enum]) -> str:
    return " or ".join(name for name, member in kind.__members__.items() if member.value)


def _member(kind: type[EnumT]) -> Callable[[str], EnumT]:
    """Parses the name of a member, in small or capital letters."""

    def parse(name: str) -> EnumT:
        try:
            return kind[name.upper()]
        except KeyError:
            raise typer.BadParameter(f"must be {_names(kind)}") from None

    return parse


export_app = typer.Typer(help="Write lists to files for people.", no_args_is_help=True)
Label = Annotated[int, typer.Option(help="the broker's number")]
MasterId = Annotated[int, typer.Option(min=1, help="the master")]
SubscriptionId = Annotated[int, typer.Option(min=0, help="only this subscription of the master")]
Reason = Annotated[
    SkipReason | None,
    typer.Option(
        "--skip-reason", parser=_member(SkipReason), metavar="REASON", help=f"only where it was {_names(SkipReason)}"
    ),
]
States = Annotated[
    list[ChildTradeState] | None,
    typer.Option(
        "--state",
        parser=_member(ChildTradeState),
        metavar="STATE",
        help=f"only {_names(ChildTradeState)}; repeat for more",
    ),
]
Start = Annotated[datetime | None, typer.Option("--from", help="2026-01-31 or 2026-01-31T12:00:00, included")]
End = Annotated[datetime | None, typer.Option("--to", help="likewise, excluded")]
Kind = Annotated[Format, typer.Option("--format", help="the kind of file")]
Output = Annotated[Path, typer.Option(help="the file; - writes to stdout")]


OnlyMismatched = Annotated[bool, typer.Option("--only-mismatched", help="only with a mismatch")]


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
    span = _span(start, end)
    owner = Owner(subscription_id=subscription_id) if subscription_id else Owner(master_id=master_id)
    start_ms, end_ms = (int(time.timestamp()) * SECOND_MS for time in (span.start_time, span.end_time))
    wanted = HistoryFilter(start_ms, end_ms)

    def collect(engine: AsyncEngine) -> AsyncIterator[HistoryRow]:
        return collect_history(engine, label, owner, wanted)

    target = Target(label, master_id, format_, output, subscription_id)
    _export(target, Table("History", HISTORY, collect, _note(span, wanted)))


@export_app.command()
def children(
    label: Label,
    master_id: MasterId,
    output: Output,
    subscription_id: SubscriptionId = 0,
    allocation_id: Annotated[int, typer.Option(min=0, help="only of this decision")] = 0,
    master_position_ticket: Annotated[int, typer.Option(min=0, help="only of this position of the master")] = 0,
    symbol: Annotated[str, typer.Option(help="only in this symbol")] = "",
    states: States = None,
    skip_reason: Reason = None,
    only_open: Annotated[bool, typer.Option("--only-open", help="only with something open")] = False,
    only_mismatched: OnlyMismatched = False,
    include_foreign: Annotated[bool, typer.Option("--include-foreign", help="positions opened by hand, too")] = False,
    start: Start = None,
    end: End = None,
    format_: Kind = Format.XLSX,
) -> None:
    """Child trades, or the records of a master who distributes profit; times are UTC."""
    span = _span(start, end)
    wanted = ChildTradeFilter(
        master_id=master_id,
        allocation_id=allocation_id,
        subscription_id=subscription_id,
        master_position_ticket=master_position_ticket,
        symbol=symbol,
        skip_reason=skip_reason or SkipReason.NONE,
        states=tuple(sorted(set(states or ()))),
        start_time=span.start_time,
        end_time=span.end_time,
        only_open=only_open,
        only_mismatched=only_mismatched,
        include_foreign=include_foreign,
    )

    def collect(engine: AsyncEngine) -> AsyncIterator[ChildTradeRow]:
        return collect_children(engine, label, wanted)

    target = Target(label, master_id, format_, output, subscription_id)
    _export(target, Table("Child trades", CHILDREN, collect, _note(span, wanted)))


@export_app.command()
def master_trades(
    label: Label,
    master_id: MasterId,
    output: Output,
    include_closed: Annotated[bool, typer.Option("--include-closed", help="those with nothing open, too")] = False,
    only_mismatched: OnlyMismatched = False,
    start: Start = None,
    end: End = None,
    format_: Kind = Format.XLSX,
) -> None:
    """The master's positions, as they should be and as they are; times are UTC, of the first opening."""
    span, wanted = _span(start, end), MasterTradeFilter(master_id, include_closed, only_mismatched)

    def collect(engine: AsyncEngine) -> AsyncIterator[MasterTradeRow]:
        return collect_master_trades(engine, label, wanted, span)

    target = Target(label, master_id, format_, output)
    _export(target, Table("Master trades", MASTER_TRADES, collect, _note(span, wanted)))


@export_app.command()
def allocations(
    label: Label,
    master_id: MasterId,
    output: Output,
    skip_reason: Reason = None,
    only_unallocated: Annotated[
        bool, typer.Option("--only-unallocated", help="only those that left volume to nobody")
    ] = False,
    with_follow_ups: Annotated[
        bool, typer.Option("--include-follow-ups/--exclude-follow-ups", help="further decisions on a deal, too")
    ] = True,
    start: Start = None,
    end: End = None,
    format_: Kind = Format.XLSX,
) -> None:
    """Decisions, each with all subscriptions that got less than their share, and why; times are UTC."""
    span = _span(start, end)
    wanted = AllocationFilter(master_id, skip_reason or SkipReason.NONE, only_unallocated, with_follow_ups)

    def collect(engine: AsyncEngine) -> AsyncIterator[DecisionLine]:
        return collect_allocations(engine, label, wanted, span)

    target = Target(label, master_id, format_, output)
    _export(target, Table("Allocations", ALLOCATIONS, collect, _note(span, wanted)))


@export_app.command()
def distributions(
    label: Label,
    master_id: MasterId,
    output: Output,
    only_unpaid: Annotated[
        bool, typer.Option("--only-unpaid", help="only those with shares that are to be booked")
    ] = False,
    only_undistributed: Annotated[
        bool, typer.Option("--only-undistributed", help="only those with money that belongs to nobody")
    ] = False,
    start: Start = None,
    end: End = None,
    format_: Kind = Format.XLSX,
) -> None:
    """Profit that was distributed deal by deal, each with everybody's share and its payout; times are UTC."""
    span, wanted = _span(start, end), DistributionFilter(master_id, only_unpaid, only_undistributed)

    def collect(engine: AsyncEngine) -> AsyncIterator[DistributionLine]:
        return collect_distributions(engine, label, wanted, span)

    target = Target(label, master_id, format_, output)
    _export(target, Table("Distributions", DISTRIBUTIONS, collect, _note(span, wanted)))


def _span(start: datetime | None, end: datetime | None) -> Span:
    """What the operator left out is open."""
    return Span(
        FIRST_TIME if start is None else start.replace(tzinfo=UTC),
        LAST_TIME if end is None else end.replace(tzinfo=UTC),
    )


def _note(span: Span, wanted: Any) -> str:
    """What was selected: the span, and what the filter has beyond its defaults."""
    parts = [f"{span.start_time:%Y-%m-%d %H:%M} to {span.end_time:%Y-%m-%d %H:%M}"]
    if span == _span(None, None):
        parts = ["all times"]
    for field in fields(wanted):
        value = getattr(wanted, field.name)
        if field.name not in TOLD_BEFORE and value != field.default:
            parts.append(field.name.replace("_", " ") + _told(value))
    return ", ".join(parts)


def _told(value: object) -> str:
    if value is True:
        return ""
    members = value if isinstance(value, tuple) else (value,)
    return " " + " ".join(member.name if isinstance(member, enum.Enum) else str(member) for member in members)


def _export(target: Target, table: Table[Row]) -> None:
    """Run with the service's settings; a refusal goes to stderr with its cure, and leaves no file behind."""
    try:
        settings = AllocationSettings.model_validate({})
        with TemporaryFile() as file:
            count = asyncio.run(_write(settings, target, table, file))
            _deliver(file, target.output)
    except ValidationError as error:
        for line in problems_of(error, AllocationSettings):
            typer.echo(line, err=True)
        raise typer.Exit(EXIT_BAD_SETTINGS) from None
    except DomainError as error:
        details = [f"{violation.field} {violation.description}" for violation in error.violations]
        _refuse("; ".join([f"{error} — {error.cure}", *details]))
    except (DatabaseNotDurable, SchemaMismatch, OSError) as error:
        _refuse(str(error))
    if target.output != STDOUT:
        typer.echo(f"{count} rows written to {target.output}", err=True)


async def _write(settings: AllocationSettings, target: Target, table: Table[Row], file: BinaryIO) -> int:
    """The number of rows."""
    async with open_database(settings, SCHEMA) as engine:
        master = await get_master(engine, target.label, target.master_id)
        report = Report(
            f"{table.name} of {_named(master, target.subscription_id)}",
            table.columns,
            at_most_max_rows(table.collect(engine)),
            master.currency_code,
            master.currency_digits,
            table.note,
        )
        if target.format is Format.HTML:
            return await write_html(report, file)
        return await write_xlsx(report, file, now=SystemClock().now())


def _named(master: Master, subscription_id: int) -> str:
    whose = f"{master.name} (master {master.master_id}, account {master.account_login})"
    return f"subscription {subscription_id} of {whose}" if subscription_id else whose


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
