"""Integer columns as bytes: little-endian, and in half the space where every value fits into 32 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from apportion.money import Int64Array

NARROW_BYTES = 4
WIDE_BYTES = 8
_NARROW = np.iinfo(np.int32)
_DTYPES: dict[int, np.dtype[np.signedinteger]] = {NARROW_BYTES: np.dtype("<i4"), WIDE_BYTES: np.dtype("<i8")}


def pack(column: Int64Array) -> tuple[int, bytes]:
    """Bytes per value (4 or 8) and the values."""
    fits = not column.size or (int(column.min()) >= _NARROW.min and int(column.max()) <= _NARROW.max)
    width = NARROW_BYTES if fits else WIDE_BYTES
    return width, column.astype(_DTYPES[width]).tobytes()


def unpack(width: int, packed: bytes) -> Int64Array:
    """The values; empty when there are no bytes."""
    return np.frombuffer(packed, dtype=_DTYPES[width] if packed else _DTYPES[WIDE_BYTES]).astype(np.int64)


def from_aggregate(packed: bytes | None) -> Int64Array:
    """The values that `string_agg(int8send(x), '')` gathered in the database; None (no rows) is empty."""
    return np.frombuffer(packed or b"", dtype=">i8").astype(np.int64)


def flags(column: NDArray[Any], bit: int) -> NDArray[np.bool_]:
    """Where a bit of an int8 column is set."""
    is_set: NDArray[np.bool_] = (column & bit) != 0
    return is_set
