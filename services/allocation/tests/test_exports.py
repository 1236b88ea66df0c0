"""Lists as files, read back as a reader sees them."""

from __future__ import annotations

import io
import tracemalloc
import xml.etree.ElementTree as ET
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from html.parser import HTMLParser
from operator import itemgetter
from tempfile import TemporaryFile

import pytest

from apportion.allocation.domain.history import HistoryEntry, HistoryRow
from apportion.allocation.exports.files import Column, Kind, Report, write_html, write_xlsx
from apportion.allocation.exports.reports import HISTORY

NOW = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
EVIL = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "<script>alert(1)</script>", '"quoted" & more', "https://x.example")
ROW = HistoryRow(64, 3, 900, HistoryEntry.OUT, "EURUSD", -12_500_000, 108_123_000, -1_234_567, -5, 0, 90_000_000, 7)


class Sheet:
    """The cells of the first sheet and how they are shown."""

    def __init__(self, content: bytes) -> None:
        with zipfile.ZipFile(io.BytesIO(content)) as book:
            self.names = book.namelist()
            root = ET.fromstring(book.read("xl/worksheets/sheet1.xml"))
            styles = ET.fromstring(book.read("xl/styles.xml"))
        formats = {item.get("numFmtId"): item.get("formatCode") for item in styles.iter(f"{SHEET}numFmt")}
        cells = [
            (formats.get(style.get("numFmtId"), ""), style.get("quotePrefix") == "1")
            for style in styles.find(f"{SHEET}cellXfs")
        ]
        self.has_formula = root.find(f".//{SHEET}f") is not None
        self.rows = [
            {
                cell.get("r"): "".join(part.text or "" for part in cell.iter(f"{SHEET}t"))
                if cell.get("t") == "inlineStr"
                else float(cell.find(f"{SHEET}v").text)
                for cell in row
            }
            for row in root.iter(f"{SHEET}row")
        ]
        self.styles = {cell.get("r"): cells[int(cell.get("s", 0))] for cell in root.iter(f"{SHEET}c")}


class Page(HTMLParser):
    """The table's rows, and every tag of the page."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text_classes: set[str] = set()
        self.rows: list[list[str]] = []
        self._in_cell = False
        self.feed(content.decode())

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if dict(attrs).get("class") == "t":
            self.text_classes.add(tag)
        self._in_cell = tag in ("td", "th")
        if tag == "tr":
            self.rows.append([])
        if self._in_cell:
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self._in_cell = False

    def handle_data(self, data):
        if self._in_cell:
            self.rows[-1][-1] += data


async def each(*rows):
    for row in rows:
        yield row


def report(*rows: HistoryRow, currency: tuple[str, int] = ("USD", 2), **more) -> Report:
    return Report("History", HISTORY, each(*(rows or [ROW])), *currency, **more)


def table(title: str, columns: list[tuple[str, Kind]], *rows: tuple, **more) -> Report:
    """Of rows that are tuples of their cells."""
    shown = [Column(name, kind, itemgetter(place)) for place, (name, kind) in enumerate(columns)]
    return Report(title, shown, each(*rows), "USD", 2, **more)


async def html(made: Report) -> bytes:
    file = io.BytesIO()
    await write_html(made, file)
    return file.getvalue()


async def xlsx(made: Report) -> bytes:
    file = io.BytesIO()
    await write_xlsx(made, file, now=NOW)
    return file.getvalue()


async def test_a_history_row_in_excel():
    sheet = Sheet(await xlsx(report()))
    assert list(sheet.rows[0].values()) == [
        "Server time", "Account", "Deal", "Position", "Entry", "Symbol", "Lots", "Price",
        "Profit USD", "Swap USD", "Commission USD", "Child trade",
    ]  # fmt: skip
    assert list(sheet.rows[1].values())[1:] == [64, 3, 900, "OUT", "EURUSD", -0.125, 1.08123, -12_345.67, -0.05, 0, 7]
    # 90 000 s after 1970: a day and an hour behind Excel's day 25 569.
    assert sheet.rows[1]["A2"] == pytest.approx(25_570 + 1 / 24)
    assert sheet.styles["A2"] == ("yyyy-mm-dd hh:mm:ss.000", False)
    assert sheet.styles["I2"][0] == "#,##0.00"


async def test_a_history_row_in_html():
    page = Page(await html(report(note="all")))
    assert page.rows[1] == [
        "1970-01-02 01:00:00.000", "64", "3", "900", "OUT", "EURUSD", "-0.125", "1.08123",
        "-12345.67", "-0.05", "0.00", "7",
    ]  # fmt: skip


@pytest.mark.parametrize(("digits", "shown"), [(0, "-1234567"), (2, "-12345.67"), (3, "-1234.567")])
async def test_amounts_have_the_digits_of_their_currency(digits, shown):
    def made() -> Report:
        return report(currency=("TST", digits))

    assert Page(await html(made())).rows[1][8] == shown
    sheet = Sheet(await xlsx(made()))
    assert sheet.rows[1]["I2"] == pytest.approx(float(shown))
    assert sheet.styles["I2"][0] == ("#,##0." + "0" * digits).rstrip(".")


async def test_what_looks_like_a_formula_is_text():
    def made() -> Report:
        return table("=HYPERLINK(1)", [("=Name", Kind.TEXT)], *((name,) for name in EVIL), note="=1+1")

    sheet = Sheet(await xlsx(made()))
    assert [row[f"A{number}"] for number, row in enumerate(sheet.rows, 1)] == ["=Name", *EVIL]
    assert not sheet.has_formula
    assert not any("hyperlink" in name.lower() or "rels/sheet" in name for name in sheet.names)
    assert [sheet.styles[f"A{number}"][1] for number in range(2, 10)] == [True] * 5 + [False] * 3
    content = await html(made())
    page = Page(content)
    assert page.rows == [["=Name"], *([name] for name in EVIL)]
    assert b"mso-number-format" in content
    # Excel that opens the page takes every place of texts for texts.
    assert page.text_classes == {"h1", "p", "th", "td"}


async def test_texts_that_xml_cannot_hold_spoil_no_file():
    names = ["a\x01b", "\x0b", "line\nbreak", "]]>", "&amp;", "\ufffe", "\U0001f4b0"]
    content = await xlsx(table("Odd", [("Name", Kind.TEXT)], *((name,) for name in names)))
    shown = [row[f"A{number}"] for number, row in enumerate(Sheet(content).rows[1:], 2)]
    assert shown == ["a_x0001_b", "_x000B_", "line\nbreak", "]]>", "&amp;", "_xFFFE_", "\U0001f4b0"]
    assert Page(await html(table("Odd", [("Name", Kind.TEXT)], ("&amp; ]]>",)))).rows[1] == ["&amp; ]]>"]


async def test_a_page_needs_nothing_else_and_runs_nothing():
    made = table("<b>Alpha</b>", [("Name", Kind.TEXT)], *((name,) for name in EVIL), note="<i>all</i>")
    content = await html(made)
    allowed = {"html", "head", "meta", "title", "style", "body", "h1", "p", "table", "thead", "tbody", "tr", "th", "td"}
    assert Page(content).tags <= allowed
    assert b"src=" not in content
    assert b"default-src 'none'" in content


async def test_numbers_that_excel_cannot_hold_are_texts():
    big = 9_007_199_254_740_993
    columns = [("Id", Kind.NUMBER), ("Sum", Kind.AMOUNT)]
    sheet = Sheet(await xlsx(table("Big", columns, (big, big), (None, None))))
    assert (sheet.rows[1]["A2"], sheet.rows[1]["B2"]) == (str(big), "90071992547409.93")
    page = Page(await html(table("Big", columns, (big, big), (None, None))))
    assert page.rows[1:] == [[str(big), "90071992547409.93"], ["", ""]]


async def test_times_are_utc_and_unknown_server_times_empty():
    columns = [("Time", Kind.TIME), ("Server", Kind.SERVER_TIME)]
    assert Page(await html(table("Times", columns, (NOW, 0)))).rows[1] == ["2026-01-05 10:00:00.000", ""]
    assert Sheet(await xlsx(table("Times", columns, (NOW, 0)))).rows[1] == {"A2": pytest.approx(46_027 + 10 / 24)}


async def test_a_report_without_rows():
    columns = [("Name", Kind.TEXT)]
    assert len(Sheet(await xlsx(table("Nothing", columns))).rows) == 1
    assert Page(await html(table("Nothing", columns))).rows == [["Name"]]


async def test_the_same_rows_give_the_same_file():
    assert await xlsx(report()) == await xlsx(report())


@pytest.mark.parametrize("write", [write_html, partial(write_xlsx, now=NOW)], ids=["html", "xlsx"])
async def test_many_rows_need_no_more_memory_than_few(write):
    async def peak_bytes(count: int) -> int:
        async def rows():
            for number in range(count):
                yield replace(ROW, deal_ticket=number, symbol=f"SYMBOL{number}")

        with TemporaryFile() as file:
            tracemalloc.start()
            written = await write(Report("Many", HISTORY, rows(), "USD", 2), file)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert written == count
        return peak

    assert await peak_bytes(4_000) < 2 * await peak_bytes(400) + 100_000


async def test_proportions_have_nine_decimals():
    def made() -> Report:
        return table("Shares", [("Proportion", Kind.PROPORTION)], (333_333_334,), (500_000_000,), (None,))

    sheet = Sheet(await xlsx(made()))
    assert [sheet.rows[1]["A2"], sheet.rows[2]["A3"]] == [0.333333334, 0.5]
    assert sheet.styles["A2"][0] == "0.000000000"
    assert Page(await html(made())).rows[1:] == [["0.333333334"], ["0.500000000"], [""]]
