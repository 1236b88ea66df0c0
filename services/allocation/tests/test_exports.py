"""Lists as files, read back as a reader sees them."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
import zipfile
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from apportion.allocation.domain.history import HistoryEntry, HistoryRow
from apportion.allocation.exports import Column, Kind, Report, history_report, to_html, to_xlsx

NOW = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
EVIL = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "<script>alert(1)</script>", '"quoted" & more', "https://x.example")
ROW = HistoryRow(64, 3, 900, HistoryEntry.OUT, "EURUSD", -12_500_000, 108_123_000, -1_234_567, -5, 0, 90_000_000, 7)


class Sheet:
    """The cells of the first sheet: (style, value), texts resolved."""

    def __init__(self, content: bytes) -> None:
        with zipfile.ZipFile(io.BytesIO(content)) as book:
            self.names = book.namelist()
            shared = ET.fromstring(book.read("xl/sharedStrings.xml"))
            texts = ["".join(part.text or "" for part in item.iter(f"{SHEET}t")) for item in shared]
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
                cell.get("r"): texts[int(cell.find(f"{SHEET}v").text)]
                if cell.get("t") == "s"
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
        self.rows: list[list[str]] = []
        self._in_cell = False
        self.feed(content.decode())

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
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


def report(**more) -> Report:
    return history_report("History", [ROW], currency_code="USD", amount_digits=2, **more)


def test_a_history_row_in_excel():
    sheet = Sheet(to_xlsx(report(), now=NOW))
    assert list(sheet.rows[0].values()) == [
        "Server time", "Account", "Deal", "Position", "Entry", "Symbol", "Lots", "Price",
        "Profit USD", "Swap USD", "Commission USD", "Child trade",
    ]  # fmt: skip
    assert list(sheet.rows[1].values())[1:] == [64, 3, 900, "OUT", "EURUSD", -0.125, 1.08123, -12_345.67, -0.05, 0, 7]
    # 90 000 s after 1970: a day and an hour behind Excel's day 25 569.
    assert sheet.rows[1]["A2"] == pytest.approx(25_570 + 1 / 24)
    assert sheet.styles["A2"] == ("yyyy-mm-dd hh:mm:ss.000", False)
    assert sheet.styles["I2"][0] == "#,##0.00"


def test_a_history_row_in_html():
    page = Page(to_html(report(note="all")))
    assert page.rows[1] == [
        "1970-01-02 01:00:00.000", "64", "3", "900", "OUT", "EURUSD", "-0.125", "1.08123",
        "-12345.67", "-0.05", "0.00", "7",
    ]  # fmt: skip


@pytest.mark.parametrize(("digits", "shown"), [(0, "-1234567"), (2, "-12345.67"), (3, "-1234.567")])
def test_amounts_have_the_digits_of_their_currency(digits, shown):
    made = history_report("History", [ROW], currency_code="TST", amount_digits=digits)
    assert Page(to_html(made)).rows[1][8] == shown
    assert Sheet(to_xlsx(made, now=NOW)).rows[1]["I2"] == pytest.approx(float(shown))
    assert Sheet(to_xlsx(made, now=NOW)).styles["I2"][0] == ("#,##0." + "0" * digits).rstrip(".")


def test_what_looks_like_a_formula_is_text():
    made = Report("=HYPERLINK(1)", [Column("=Name", Kind.TEXT)], [(name,) for name in EVIL])
    sheet = Sheet(to_xlsx(made, now=NOW))
    assert [row[f"A{number}"] for number, row in enumerate(sheet.rows, 1)] == ["=Name", *EVIL]
    assert not sheet.has_formula
    assert not any("hyperlink" in name.lower() or "rels/sheet" in name for name in sheet.names)
    assert [sheet.styles[f"A{number}"][1] for number in range(2, 10)] == [True] * 5 + [False] * 3
    page = Page(to_html(made))
    assert page.rows == [["=Name"], *([name] for name in EVIL)]
    assert b"mso-number-format" in to_html(made)


def test_a_page_needs_nothing_else_and_runs_nothing():
    made = Report("<b>Alpha</b>", [Column("Name", Kind.TEXT)], [(name,) for name in EVIL], note="<i>all</i>")
    page = Page(to_html(made))
    allowed = {"html", "head", "meta", "title", "style", "body", "h1", "p", "table", "thead", "tbody", "tr", "th", "td"}
    assert page.tags <= allowed
    assert b"src=" not in to_html(made)
    assert b"default-src 'none'" in to_html(made)


def test_numbers_that_excel_cannot_hold_are_texts():
    big = 9_007_199_254_740_993
    columns = [Column("Id", Kind.NUMBER), Column("Sum", Kind.AMOUNT)]
    made = Report("Big", columns, [(big, big), (None, None)])
    sheet = Sheet(to_xlsx(made, now=NOW))
    assert (sheet.rows[1]["A2"], sheet.rows[1]["B2"]) == (str(big), "90071992547409.93")
    assert Page(to_html(made)).rows[1:] == [[str(big), "90071992547409.93"], ["", ""]]


def test_times_are_utc_and_unknown_server_times_empty():
    columns = [Column("Time", Kind.TIME), Column("Server", Kind.SERVER_TIME)]
    made = Report("Times", columns, [(NOW, 0)])
    assert Page(to_html(made)).rows[1] == ["2026-01-05 10:00:00.000", ""]
    assert Sheet(to_xlsx(made, now=NOW)).rows[1] == {"A2": pytest.approx(46_027 + 10 / 24)}


def test_a_report_without_rows():
    made = Report("Nothing", [Column("Name", Kind.TEXT)], [])
    assert len(Sheet(to_xlsx(made, now=NOW)).rows) == 1
    assert Page(to_html(made)).rows == [["Name"]]


def test_the_same_rows_give_the_same_file():
    assert to_xlsx(report(), now=NOW) == to_xlsx(report(), now=NOW)
