"""Lists as files that people open: Excel workbooks and HTML pages that need nothing else.

Rows are written as they come and never held together, so a million of them needs no more memory than a thousand.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any, BinaryIO

import xlsxwriter

from apportion.allocation.domain.allocations import Allocation
from apportion.allocation.domain.child_listing import ChildTradeRow
from apportion.allocation.domain.history import HistoryRow
from apportion.allocation.domain.reasons import SkippedChild
from apportion.money import format_amount

VOLUME_DIGITS = PRICE_DIGITS = 8
EXACT_IN_EXCEL = 10**15
"""Excel counts with 15 digits; longer numbers are written as texts."""
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - Excel knows no zones, and server times have none either
STYLE = """
body { font: 10pt/1.4 system-ui, sans-serif; margin: 2em; color: #111; background: #fff }
h1 { font-size: 14pt } table { border-collapse: collapse; width: 100% }
th, td { border-bottom: 1px solid #bbb; padding: 2px 6px; text-align: left; white-space: nowrap }
.n { text-align: right; font-variant-numeric: tabular-nums } .t { mso-number-format: "\\@" }
@media print { body { margin: 0; font-size: 8pt } thead { display: table-header-group } tr { break-inside: avoid } }
@page { size: landscape; margin: 1cm }
"""
PAGE_START = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title><style>{style}</style></head>
<body><h1 class="t">{title}</h1><p class="t">{note}</p>
<table><thead><tr>{heads}</tr></thead><tbody>
"""
PAGE_END = "</tbody></table></body></html>\n"


class Kind(enum.Enum):
    """What a column holds; None is an empty cell."""

    TEXT = enum.auto()
    NUMBER = enum.auto()
    AMOUNT = enum.auto()
    """Minor units of the report's currency."""
    LOTS = enum.auto()
    PRICE = enum.auto()
    SERVER_TIME = enum.auto()
    """Raw server time in milliseconds; 0: not known."""
    TIME = enum.auto()


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Report:
    """A table: each row has a cell for each column. It is read once."""

    title: str
    columns: Sequence[Column]
    rows: AsyncIterable[Sequence[Any]]
    amount_digits: int = 2
    note: str = ""


def history_report(
    title: str, rows: AsyncIterable[HistoryRow], *, currency_code: str, amount_digits: int, note: str = ""
) -> Report:
    columns = (
        Column("Server time", Kind.SERVER_TIME),
        Column("Account", Kind.NUMBER),
        Column("Deal", Kind.NUMBER),
        Column("Position", Kind.NUMBER),
        Column("Entry", Kind.TEXT),
        Column("Symbol", Kind.TEXT),
        Column("Lots", Kind.LOTS),
        Column("Price", Kind.PRICE),
        Column(f"Profit {currency_code}", Kind.AMOUNT),
        Column(f"Swap {currency_code}", Kind.AMOUNT),
        Column(f"Commission {currency_code}", Kind.AMOUNT),
        Column("Child trade", Kind.NUMBER),
    )
    cells = (
        (
            row.server_time_ms,
            row.account_id,
            row.deal_ticket,
            row.position_ticket or None,
            row.entry.name,
            row.symbol,
            row.volume_e8 or None,
            row.price_e8 or None,
            row.profit_minor,
            row.swap_minor,
            row.commission_minor,
            row.child_trade_id or None,
        )
        async for row in rows
    )
    return Report(title, columns, cells, amount_digits, note)


def children_report(title: str, rows: AsyncIterable[ChildTradeRow], *, note: str = "") -> Report:
    columns = (
        Column("Time (UTC)", Kind.TIME),
        Column("Child trade", Kind.NUMBER),
        Column("Allocation", Kind.NUMBER),
        Column("Master position", Kind.NUMBER),
        Column("Subscription", Kind.NUMBER),
        Column("Login", Kind.NUMBER),
        Column("Symbol", Kind.TEXT),
        Column("State", Kind.TEXT),
        Column("Reason", Kind.TEXT),
        Column("Limited by", Kind.TEXT),
        Column("Lots decided", Kind.LOTS),
        Column("Lots filled", Kind.LOTS),
        Column("Lots open", Kind.LOTS),
        Column("Open price", Kind.PRICE),
        Column("Position", Kind.NUMBER),
        Column("Mismatch", Kind.TEXT),
    )
    cells = (
        (
            child.create_time,
            child.child_trade_id,
            child.allocation_id,
            child.master_position_ticket,
            child.subscription_id,
            child.account_login,
            child.symbol,
            child.state.name,
            child.reason,
            child.skip_reason.name if child.skip_reason else "",
            child.volume_e8,
            child.filled_volume_e8,
            child.open_volume_e8,
            child.open_price_e8 or None,
            child.position_ticket or None,
            " ".join(mismatch.name for mismatch in row.mismatches),
        )
        async for row in rows
        for child in [row.child]
    )
    return Report(title, columns, cells, note=note)


def allocations_report(
    title: str, decisions: AsyncIterable[tuple[Allocation, Sequence[SkippedChild]]], *, note: str = ""
) -> Report:
    """A row for each decision, and below it one for each subscription that has a reason."""
    columns = (
        Column("Time (UTC)", Kind.TIME),
        Column("Allocation", Kind.NUMBER),
        Column("Kind", Kind.TEXT),
        Column("Master position", Kind.NUMBER),
        Column("Deal", Kind.NUMBER),
        Column("Symbol", Kind.TEXT),
        Column("Method", Kind.TEXT),
        Column("Rounding", Kind.TEXT),
        Column("Price", Kind.PRICE),
        Column("Master lots", Kind.LOTS),
        Column("Lots allotted", Kind.LOTS),
        Column("Lots unallocated", Kind.LOTS),
        Column("Children", Kind.NUMBER),
        Column("Skipped", Kind.NUMBER),
        Column("Subscription", Kind.NUMBER),
        Column("Login", Kind.NUMBER),
        Column("Skip reason", Kind.TEXT),
    )
    return Report(title, columns, _decision_rows(decisions), note=note)


async def _decision_rows(
    decisions: AsyncIterable[tuple[Allocation, Sequence[SkippedChild]]],
) -> AsyncIterator[tuple[Any, ...]]:
    async for allocation, skipped in decisions:
        trade = allocation.trade
        head = (allocation.decide_time, allocation.allocation_id, allocation.kind.name)
        yield (
            *head,
            trade.position_ticket,
            trade.deal_ticket,
            trade.symbol,
            allocation.method.name,
            allocation.rounding.name,
            trade.price_e8 or None,
            allocation.master_volume_e8,
            allocation.volume_sum_e8,
            allocation.unallocated_volume_e8,
            allocation.child_count,
            allocation.skipped_count,
            None,
            None,
            allocation.blanket_reason.name if allocation.blanket_reason else "",
        )
        for child in skipped:
            blank = (None,) * 2 + ("",) * 3 + (None,) * 2
            own = (child.subscription_id, child.account_login, child.reason.name)
            yield (*head, *blank, child.volume_e8, None, None, None, *own)


async def write_html(report: Report, target: BinaryIO) -> int:
    """One page in UTF-8, every text escaped; Excel, too, takes its texts for texts. Returns the number of rows."""
    heads = "".join(f"<th{_class(column)}>{escape(column.name)}</th>" for column in report.columns)
    title, note = escape(report.title), escape(report.note)
    target.write(PAGE_START.format(title=title, note=note, style=STYLE, heads=heads).encode())
    count = 0
    async for row in report.rows:
        cells = "".join(
            f"<td{_class(column)}>{escape(_text(column.kind, value, report.amount_digits))}</td>"
            for column, value in zip(report.columns, row, strict=True)
        )
        target.write(f"<tr>{cells}</tr>\n".encode())
        count += 1
    target.write(PAGE_END.encode())
    return count


async def write_xlsx(report: Report, target: BinaryIO, *, now: datetime) -> int:
    """One sheet with filters and a header that stays. Numbers are numbers, texts are never formulas.

    Rows wait in a temporary file. Returns their number, the header not counted.
    """
    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    with xlsxwriter.Workbook(target, options) as book:  # closed in any case: it holds a file
        book.set_properties({"title": report.title, "comments": report.note, "created": _naive(now)})
        sheet = book.add_worksheet("Report")
        bold = book.add_format({"bold": True})
        for place, column in enumerate(report.columns):
            is_time = column.kind in (Kind.TIME, Kind.SERVER_TIME)
            sheet.set_column(place, place, 24 if is_time else max(12, len(column.name) + 2))
            sheet.write_string(0, place, column.name, bold)
        count = await _write_rows(report, book, sheet)
        sheet.freeze_panes(1, 0)
        sheet.autofilter(0, 0, max(count, 1), len(report.columns) - 1)
    return count


async def _write_rows(report: Report, book: xlsxwriter.Workbook, sheet: Any) -> int:
    """Below the header, in order: the sheet forgets a row when the next one begins."""
    quoted = book.add_format({"quote_prefix": True})
    styles = {kind: book.add_format({"num_format": _number_format(kind, report.amount_digits)}) for kind in Kind}
    count = 0
    async for row in report.rows:
        count += 1
        for place, (column, value) in enumerate(zip(report.columns, row, strict=True)):
            cell = _cell(column.kind, value, report.amount_digits)
            if isinstance(cell, str):
                sheet.write_string(count, place, cell, quoted if cell.startswith(FORMULA_SIGNS) else None)
            elif isinstance(cell, datetime):
                sheet.write_datetime(count, place, cell, styles[column.kind])
            elif cell is not None:
                sheet.write_number(count, place, cell, styles[column.kind])
    return count


def _cell(kind: Kind, value: Any, amount_digits: int) -> str | int | float | datetime | None:
    """As Excel keeps it; a number that Excel cannot hold exactly is a text."""
    if value is None or (kind is Kind.SERVER_TIME and not value):
        return None
    if kind is Kind.TEXT:
        return str(value)
    if kind is Kind.TIME:
        return _naive(value)
    if kind is Kind.SERVER_TIME:
        return EPOCH + timedelta(milliseconds=value)
    if abs(value) >= EXACT_IN_EXCEL:
        return _text(kind, value, amount_digits)
    digits = _digits(kind, amount_digits)
    return value / 10**digits if digits else int(value)


def _text(kind: Kind, value: Any, amount_digits: int) -> str:
    """As people read it: exact, without superfluous zeros behind lots and prices."""
    if value is None or (kind is Kind.SERVER_TIME and not value):
        return ""
    if kind is Kind.TEXT:
        return str(value)
    if kind is Kind.TIME:
        return _naive(value).isoformat(" ", "milliseconds")
    if kind is Kind.SERVER_TIME:
        return (EPOCH + timedelta(milliseconds=value)).isoformat(" ", "milliseconds")
    written = format_amount(value, _digits(kind, amount_digits))
    return written.rstrip("0").rstrip(".") if kind in (Kind.LOTS, Kind.PRICE) else written


def _digits(kind: Kind, amount_digits: int) -> int:
    return {Kind.AMOUNT: amount_digits, Kind.LOTS: VOLUME_DIGITS, Kind.PRICE: PRICE_DIGITS}.get(kind, 0)


def _number_format(kind: Kind, amount_digits: int) -> str:
    if kind is Kind.AMOUNT:
        return "#,##0" + "." * bool(amount_digits) + "0" * amount_digits
    formats = {Kind.TEXT: "@", Kind.NUMBER: "0", Kind.LOTS: "0.00######", Kind.PRICE: "0.00######"}
    return formats.get(kind, "yyyy-mm-dd hh:mm:ss.000")


def _class(column: Column) -> str:
    return ' class="t"' if column.kind is Kind.TEXT else ' class="n"'


def _naive(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(tzinfo=None)
