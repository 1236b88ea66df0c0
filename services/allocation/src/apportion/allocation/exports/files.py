"""Reports as files that people open: Excel workbooks and HTML pages that need nothing else.

Rows are written as they come and never held together, so a million of them needs no more memory than a thousand.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any, BinaryIO, Generic, TypeVar

import xlsxwriter

from apportion.money import format_amount

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
    """1e-8 lot."""
    PRICE = enum.auto()
    """1e-8."""
    PROPORTION = enum.auto()
    """1e-9."""
    SERVER_TIME = enum.auto()
    """Raw server time in milliseconds; 0: not known."""
    TIME = enum.auto()


Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """What a list shows of each of its rows."""

    name: str
    kind: Kind
    cell: Callable[[Row], Any]


@dataclass(frozen=True, slots=True)
class Report(Generic[Row]):
    """A list and what is shown of it. It is read once."""

    title: str
    columns: Sequence[Column[Row]]
    rows: AsyncIterable[Row]
    currency_code: str
    amount_digits: int
    note: str = ""

    @property
    def heads(self) -> list[str]:
        """Of amounts with their currency."""
        return [f"{c.name} {self.currency_code}" if c.kind is Kind.AMOUNT else c.name for c in self.columns]


async def write_html(report: Report[Row], target: BinaryIO) -> int:
    """One page in UTF-8, every text escaped; Excel, too, takes its texts for texts. Returns the number of rows."""
    named = zip(report.columns, report.heads, strict=True)
    heads = "".join(f"<th{_class(column.kind)}>{escape(head)}</th>" for column, head in named)
    title, note = escape(report.title), escape(report.note)
    target.write(PAGE_START.format(title=title, note=note, style=STYLE, heads=heads).encode())
    count = 0
    async for row in report.rows:
        cells = "".join(
            f"<td{_class(column.kind)}>{escape(_text(column.kind, column.cell(row), report.amount_digits))}</td>"
            for column in report.columns
        )
        target.write(f"<tr>{cells}</tr>\n".encode())
        count += 1
    target.write(PAGE_END.encode())
    return count


async def write_xlsx(report: Report[Row], target: BinaryIO, *, now: datetime) -> int:
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
        for place, (column, head) in enumerate(zip(report.columns, report.heads, strict=True)):
            is_time = column.kind in (Kind.TIME, Kind.SERVER_TIME)
            sheet.set_column(place, place, 24 if is_time else max(12, len(head) + 2))
            sheet.write_string(0, place, head, bold)
        count = await _write_rows(report, book, sheet)
        sheet.freeze_panes(1, 0)
        sheet.autofilter(0, 0, max(count, 1), len(report.columns) - 1)
    return count


async def _write_rows(report: Report[Row], book: xlsxwriter.Workbook, sheet: Any) -> int:
    """Below the header, in order: the sheet forgets a row when the next one begins."""
    quoted = book.add_format({"quote_prefix": True})
    styles = {kind: book.add_format({"num_format": _number_format(kind, report.amount_digits)}) for kind in Kind}
    count = 0
    async for row in report.rows:
        count += 1
        for place, column in enumerate(report.columns):
            cell = _cell(column.kind, column.cell(row), report.amount_digits)
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
    return {Kind.AMOUNT: amount_digits, Kind.LOTS: 8, Kind.PRICE: 8, Kind.PROPORTION: 9}.get(kind, 0)


def _number_format(kind: Kind, amount_digits: int) -> str:
    if kind is Kind.AMOUNT:
        return "#,##0" + "." * bool(amount_digits) + "0" * amount_digits
    formats = {
        Kind.TEXT: "@",
        Kind.NUMBER: "0",
        Kind.LOTS: "0.00######",
        Kind.PRICE: "0.00######",
        Kind.PROPORTION: "0.000000000",
    }
    return formats.get(kind, "yyyy-mm-dd hh:mm:ss.000")


def _class(kind: Kind) -> str:
    return ' class="t"' if kind is Kind.TEXT else ' class="n"'


def _naive(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(tzinfo=None)
