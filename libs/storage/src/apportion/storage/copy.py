"""Many rows at once: COPY, and statements over arrays."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BigInteger, Boolean, Column, DateTime, Integer, LargeBinary, SmallInteger, Table, Text, Uuid
from sqlalchemy.ext.asyncio import AsyncConnection

Scalar = int | bool | str | bytes | datetime | uuid.UUID | None
Values = NDArray[Any] | Sequence[Any] | Scalar

# https://www.postgresql.org/docs/18/sql-copy.html, "Binary Format": signature, flags, no header extension.
HEADER = b"PGCOPY\n\xff\r\n\x00" + struct.pack(">ii", 0, 0)
TRAILER = struct.pack(">h", -1)
NULL_LENGTH = -1
POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
POSTGRES_EPOCH_NUMPY = np.datetime64("2000-01-01", "us")
UUID_BYTES = 16


async def copy_rows(tx: AsyncConnection, table: Table, columns: Mapping[str, Values]) -> None:
    """Appends rows, given column by column, inside the transaction `tx`; a single value stands in every row.

    numpy columns (integers, bool, datetime64, fixed-width bytes `S16`/`V16`) and lists of ints or UUIDs are laid out by
    numpy, about 2 million rows a second; with any other list (texts, values that may be None) all rows go one by one,
    about a tenth of that. Raises ValueError for columns of different lengths or without any, OverflowError for an
    integer that its column cannot hold, and what the constraints of the table raise.
    """
    if not columns:
        raise ValueError("no columns to copy")
    encoded = {name: _fixed_width(table.columns[name], values) for name, values in columns.items()}
    row_count = _row_count(columns)
    if row_count == 0:
        return
    connection = driver_connection(tx)
    target = {"schema_name": table.schema, "columns": list(columns)}
    fields = [field for field in encoded.values() if field is not None]
    if len(fields) == len(encoded):
        rows = memoryview(_binary_rows(fields, row_count))
        await connection.copy_to_table(table.name, source=rows, format="binary", **target)
    else:
        lists = [_as_list(values, row_count) for values in columns.values()]
        await connection.copy_records_to_table(table.name, records=zip(*lists, strict=True), **target)


async def fetch_arrays(tx: AsyncConnection, statement: str, *arguments: object) -> list[Any]:
    """Runs one statement over whole columns, arrays or lists, and single values. Returns records: `row["account_id"]`.

    `INSERT INTO t (a, b) SELECT * FROM unnest($1::bigint[], $2::bigint[])`: one round trip for thousands of rows. Also
    for single rows on a hot path: a statement costs a third of what it does through SQLAlchemy.
    """
    connection = driver_connection(tx)
    plain = [argument.tolist() if isinstance(argument, np.ndarray) else argument for argument in arguments]
    return cast("list[Any]", await connection.fetch(statement, *plain))


def driver_connection(tx: AsyncConnection) -> Any:
    """asyncpg's own connection, for what SQLAlchemy cannot do or takes three times as long for."""
    connection: Any = tx.sync_connection
    return connection.connection.driver_connection


def _row_count(columns: Mapping[str, Values]) -> int:
    counts = {len(values) for values in columns.values() if not _is_scalar(values)}  # type: ignore[arg-type]
    if len(counts) > 1:
        raise ValueError(f"columns of different lengths: {sorted(counts)}")
    return counts.pop() if counts else 1


def _is_scalar(values: Values) -> bool:
    return values is None or isinstance(values, int | str | bytes | datetime | uuid.UUID)


def _binary_rows(fields: Sequence[NDArray[Any] | bytes | int], row_count: int) -> bytes:
    """Each row: the number of fields, then each field as its length in bytes and its bytes, all big-endian."""
    layout: list[tuple[str, Any]] = [("count", ">i2")]
    for number, field in enumerate(fields):
        layout.append((f"length{number}", ">i4"))
        if isinstance(field, bytes) and field:
            layout.append((f"value{number}", f"V{len(field)}"))
        elif isinstance(field, np.ndarray):
            layout.append((f"value{number}", field.dtype))
    rows = np.empty(row_count, dtype=layout)
    rows["count"] = len(fields)
    for number, field in enumerate(fields):
        if isinstance(field, int):
            rows[f"length{number}"] = field
            continue
        rows[f"length{number}"] = len(field) if isinstance(field, bytes) else field.dtype.itemsize
        if isinstance(field, np.ndarray) or field:
            rows[f"value{number}"] = np.void(field) if isinstance(field, bytes) else field
    return HEADER + rows.tobytes() + TRAILER


def _fixed_width(column: Column[Any], values: Values) -> NDArray[Any] | bytes | int | None:
    """The column as the server reads it: an array, bytes for every row, NULL_LENGTH; None when widths may differ."""
    if values is None:
        return NULL_LENGTH
    kind = column.type
    if isinstance(kind, SmallInteger):
        return _integers(column, values, ">i2")
    if isinstance(kind, BigInteger):
        return _integers(column, values, ">i8")
    if isinstance(kind, Integer):
        return _integers(column, values, ">i4")
    if isinstance(kind, Boolean):
        return _booleans(values)
    if isinstance(kind, DateTime) and kind.timezone:
        return _instants(values)
    if isinstance(kind, Uuid):
        return _uuids(values)
    if isinstance(kind, Text) and isinstance(values, str):
        return values.encode()
    if isinstance(kind, LargeBinary) and isinstance(values, bytes):
        return values
    if isinstance(kind, LargeBinary) and isinstance(values, np.ndarray) and values.dtype.kind in "SV":
        return values.view(f"V{values.dtype.itemsize}")
    return None


def _integers(column: Column[Any], values: Values, target: str) -> NDArray[Any] | bytes | None:
    array = np.asarray(values)
    if array.size == 0:
        array = array.astype(target)
    if array.dtype.kind not in "iu":
        return None
    limits = np.iinfo(np.dtype(target).newbyteorder("="))
    if array.size and (int(array.min()) < limits.min or int(array.max()) > limits.max):
        raise OverflowError(f"{column} cannot hold {array.min()} to {array.max()}")
    encoded = array.astype(target)
    return encoded.tobytes() if array.ndim == 0 else encoded


def _booleans(values: Values) -> NDArray[Any] | bytes | None:
    array = np.asarray(values)
    if array.dtype.kind != "b":
        return None
    return array.tobytes() if array.ndim == 0 else array.view(np.uint8)


def _instants(values: Values) -> NDArray[Any] | bytes | None:
    """Microseconds since 2000."""
    if isinstance(values, datetime):
        return struct.pack(">q", (values - POSTGRES_EPOCH) // timedelta(microseconds=1))
    if isinstance(values, np.ndarray) and values.dtype.kind == "M" and not np.isnat(values).any():
        return (values.astype("datetime64[us]") - POSTGRES_EPOCH_NUMPY).astype(">i8")
    return None


def _uuids(values: Values) -> NDArray[Any] | bytes | None:
    if isinstance(values, uuid.UUID):
        return values.bytes
    if isinstance(values, np.ndarray):
        fits = values.dtype.kind in "SV" and values.dtype.itemsize == UUID_BYTES
        return values.view(f"V{UUID_BYTES}") if fits else None
    if not isinstance(values, Sequence) or not all(isinstance(value, uuid.UUID) for value in values):
        return None
    return np.frombuffer(b"".join(cast("uuid.UUID", value).bytes for value in values), dtype=f"V{UUID_BYTES}")


def _as_list(values: Values, row_count: int) -> Sequence[Any]:
    if _is_scalar(values):
        return [values] * row_count
    if not isinstance(values, np.ndarray):
        return cast("Sequence[Any]", values)
    if values.dtype.kind == "M":
        return [moment.replace(tzinfo=UTC) for moment in values.astype("datetime64[us]").tolist()]
    if values.dtype.kind in "SV":
        return [values[row : row + 1].tobytes() for row in range(row_count)]
    return cast("list[Any]", values.tolist())
