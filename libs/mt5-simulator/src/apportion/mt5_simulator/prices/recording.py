"""Prices from files that the MT5 terminal exports: ticks or M1 bars, one CSV file per symbol, in server time."""

from __future__ import annotations

import csv
from bisect import bisect_right
from datetime import UTC, datetime
from pathlib import Path

from apportion.mt5_simulator.domain.figures import parse_scaled
from apportion.mt5_simulator.domain.settings import SymbolSettings


class RecordedFeed:
    """Files named `<SYMBOL>*.csv` in a folder. The columns of the header line decide: `<BID>` and `<ASK>` are ticks
    (an empty cell keeps the former value), `<CLOSE>` and `<SPREAD>` are bars, whose close is the bid of the bar's end.
    Before the first row and for unknown symbols there is no quote; after the last one it stays."""

    def __init__(self, folder: Path, symbols: list[SymbolSettings]) -> None:
        self._rows: dict[str, tuple[list[int], list[tuple[int, int]]]] = {}
        for symbol in symbols:
            for file in sorted(folder.glob(f"{symbol.name}*.csv")):
                self._read(file, symbol)
        if not self._rows:
            raise ValueError(f"no file in {folder} is named after a symbol")

    def quote(self, symbol: SymbolSettings, server_ms: int) -> tuple[int, int] | None:
        known = self._rows.get(symbol.name)
        if known is None:
            return None
        times, quotes = known
        index = bisect_right(times, server_ms)
        return quotes[index - 1] if index else None

    def _read(self, file: Path, symbol: SymbolSettings) -> None:
        times, quotes = self._rows.setdefault(symbol.name, ([], []))
        bid = ask = 0
        with file.open(newline="", encoding="utf-8-sig") as stream:
            delimiter = "\t" if "\t" in stream.readline() else ","
            stream.seek(0)
            for row in csv.DictReader(stream, delimiter=delimiter):
                moment = _server_ms(row["<DATE>"], row["<TIME>"])
                if "<BID>" in row:
                    bid = parse_scaled(row["<BID>"], 8) if row["<BID>"] else bid
                    ask = parse_scaled(row["<ASK>"], 8) if row["<ASK>"] else ask
                else:
                    moment += 59_999
                    bid = parse_scaled(row["<CLOSE>"], 8)
                    ask = bid + int(row["<SPREAD>"]) * symbol.point_e8
                if bid and ask:
                    times.append(moment)
                    quotes.append((bid, ask))


def _server_ms(day: str, time: str) -> int:
    pattern = "%Y.%m.%d %H:%M:%S.%f" if "." in time else "%Y.%m.%d %H:%M:%S"
    moment = datetime.strptime(f"{day} {time}", pattern).replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
