"""State on disk: one SQLite file. A save is one transaction; a killed process loses nothing that was saved.

`synchronous=OFF` leaves the flush to the operating system: safe against the death of the process, not of the machine.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from apportion.mt5_simulator.codes import TradeMode
from apportion.mt5_simulator.domain.ledger import Changes, Ledger
from apportion.mt5_simulator.domain.quotes import Quote
from apportion.mt5_simulator.domain.records import Deal, Order, Position, User

Record = TypeVar("Record", bound=msgspec.Struct)
_TABLES = ("users", "positions", "orders", "deals", "moment")


class Moment(msgspec.Struct, kw_only=True):
    """What is true of the whole server at one moment: its clock, its prices, its counters."""

    utc_ms: int
    speed: float
    paused: bool
    day: int | None
    quotes: list[Quote]
    change: int
    pinned: list[str]
    frozen: bool
    trade_modes: dict[str, TradeMode]
    next_login: int
    next_request: int


class Store:
    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(folder / "state.sqlite3", isolation_level=None, timeout=1.0)
        self._database.execute("PRAGMA locking_mode=EXCLUSIVE")  # one server to a folder
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=OFF")
        for table in _TABLES:
            self._database.execute(f"CREATE TABLE IF NOT EXISTS {table} (key INTEGER PRIMARY KEY, body BLOB NOT NULL)")

    def close(self) -> None:
        self._database.close()

    def load(self, ledger: Ledger) -> Moment | None:
        """Fill an empty ledger; None when nothing was ever saved."""
        ledger.restore(
            self._read("users", User),
            self._read("positions", Position),
            self._read("orders", Order),
            self._read("deals", Deal),
        )
        return next(iter(self._read("moment", Moment)), None)

    def _read(self, table: str, record: type[Record]) -> Iterable[Record]:
        decoder = msgspec.json.Decoder(record)
        for (body,) in self._database.execute(f"SELECT body FROM {table} ORDER BY key"):
            yield decoder.decode(body)

    def save(self, changes: Changes, moment: Moment) -> None:
        self._database.execute("BEGIN")
        self._write("users", changes.users)
        self._write("positions", changes.positions)
        self._write("orders", changes.orders)
        self._write("deals", changes.deals)
        self._write("moment", {1: moment})
        self._database.execute("COMMIT")

    def _write(self, table: str, records: Mapping[int, msgspec.Struct | None]) -> None:
        gone = [(key,) for key, record in records.items() if record is None]
        kept = [(key, msgspec.json.encode(record)) for key, record in records.items() if record is not None]
        if kept:
            self._database.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", kept)
        if gone:
            self._database.executemany(f"DELETE FROM {table} WHERE key = ?", gone)
