"""Integer columns as bytes: little-endian, and as narrow as the values allow: a row's bytes are most of its cost."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from apportion.money import INT64_MIN, Int64Array

WIDE_BYTES = 8
DENSE_BYTES = 1
SPARSE_BYTES = 5
_DTYPES: dict[int, np.dtype[np.signedinteger]] = {width: np.dtype(f"<i{width}") for width in (1, 2, 4, WIDE_BYTES)}
_ROW_BYTES = 4


def pack(column: Int64Array) -> tuple[int, bytes]:
    """Bytes per value (1, 2, 4 or 8) and the values.

    INT64_MIN, which stands for an unknown figure, is the least value of the width: it makes no column wide.
    """
    is_unknown = column == INT64_MIN if column.size and int(column.min()) == INT64_MIN else None
    known = column if is_unknown is None else column[~is_unknown]
    least, greatest = (int(known.min()), int(known.max())) if known.size else (0, 0)
    width = next(width for width, kind in _DTYPES.items() if _holds(np.iinfo(kind), least, greatest))
    if is_unknown is not None:
        column = np.where(is_unknown, np.iinfo(_DTYPES[width]).min, column)
    return width, column.astype(_DTYPES[width]).tobytes()


def unpack(width: int, packed: bytes) -> Int64Array:
    """The values; empty when there are no bytes."""
    kind = _DTYPES[width or WIDE_BYTES]
    narrow = np.frombuffer(packed, dtype=kind)
    column = narrow.astype(np.int64)
    column[narrow == np.iinfo(kind).min] = INT64_MIN
    return column


def pack_sparse(column: NDArray[np.int8]) -> tuple[int, bytes]:
    """Small numbers that are mostly 0, in the shorter of two ways.

    (1, one byte for each row), or (5, the numbers of the rows with another value, as int32, and then their values).
    """
    rows = np.flatnonzero(column != 0)
    if rows.size * SPARSE_BYTES < column.size:
        return SPARSE_BYTES, rows.astype(_DTYPES[_ROW_BYTES]).tobytes() + column[rows].tobytes()
    return DENSE_BYTES, column.tobytes()


def unpack_sparse(width: int, packed: bytes, row_count: int) -> NDArray[np.int8]:
    """The column of `row_count` values; no bytes are all 0."""
    column = np.zeros(row_count, dtype=np.int8)
    if width == DENSE_BYTES and packed:
        column[:] = np.frombuffer(packed, dtype=np.int8)
    elif packed:
        count = len(packed) // SPARSE_BYTES
        rows = np.frombuffer(packed, dtype=_DTYPES[_ROW_BYTES], count=count)
        column[rows] = np.frombuffer(packed, dtype=np.int8, offset=count * _ROW_BYTES)
    return column


def from_aggregate(packed: bytes | None) -> Int64Array:
    """The values that `string_agg(int8send(x), '')` gathered in the database; None (no rows) is empty."""
    return np.frombuffer(packed or b"", dtype=">i8").astype(np.int64)


def _holds(limits: np.iinfo[Any], least: int, greatest: int) -> bool:
    """The least value of a width is taken."""
    return least > int(limits.min) and greatest <= int(limits.max)
