"""Columns on the wire: packed `repeated sfixed64` and `sfixed32` fields as numpy arrays.

A packed fixed-width field is a tag, a length and the little-endian numbers: exactly the bytes of an array.
Merging those bytes costs a memory copy, where `extend()` costs a Python object for each row.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence, Sized

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from numpy.typing import NDArray

from apportion.errors import MalformedMessage

CHUNK_ROWS = 5_000
"""Most rows one columnar message carries: 200 KB at five columns, well under the message limit."""

_LENGTH_DELIMITED = 2
_DTYPES: dict[int, np.dtype[np.signedinteger]] = {
    FieldDescriptor.TYPE_SFIXED64: np.dtype("<i8"),
    FieldDescriptor.TYPE_SFIXED32: np.dtype("<i4"),
}
_layouts: dict[tuple[str, str], tuple[bytes, np.dtype[np.signedinteger]]] = {}

if sys.byteorder != "little":
    raise ImportError("columns are read in place and need a little-endian machine")


def set_column(message: Message, field: str, values: NDArray[np.signedinteger] | Sequence[int]) -> None:
    """Replace `message.field` by a one-dimensional integer array.

    Raises TypeError for a field that is not a packed sfixed column or values that are not integers,
    OverflowError for a value that does not fit.
    """
    tag, dtype = _layout(message, field)
    message.ClearField(field)
    body = _fitted(np.asarray(values), dtype, field).tobytes()
    if body:
        message.MergeFromString(b"".join((tag, _varint(len(body)), body)))


def column(field: Sequence[int]) -> NDArray[np.int64]:
    """A repeated integer field of any width as an int64 array of its own, shape (rows,)."""
    return np.array(field, dtype=np.int64)


def check_lengths(message: Message, *columns: Sized) -> None:
    """Raises MalformedMessage when columns of `message` that belong together are not of one length."""
    if len({len(values) for values in columns}) != 1:
        raise MalformedMessage("columns of different lengths", type=message.DESCRIPTOR.full_name)


def _fitted(
    values: NDArray[np.signedinteger], dtype: np.dtype[np.signedinteger], field: str
) -> NDArray[np.signedinteger]:
    if values.ndim != 1:
        raise TypeError(f"{field} needs one dimension, not {values.ndim}")
    if values.dtype == dtype or not values.size:
        return values.astype(dtype, copy=False)
    if values.dtype.kind not in "iu":
        raise TypeError(f"{field} needs integers, not {values.dtype}")
    limits = np.iinfo(dtype)
    if int(values.min()) < limits.min or int(values.max()) > limits.max:
        raise OverflowError(f"{field} has a value that does not fit in {limits.bits} bits")
    return values.astype(dtype)


def _layout(message: Message, field: str) -> tuple[bytes, np.dtype[np.signedinteger]]:
    key = (message.DESCRIPTOR.full_name, field)
    layout = _layouts.get(key)
    if layout is None:
        descriptor = message.DESCRIPTOR.fields_by_name[field]
        dtype = _DTYPES.get(descriptor.type)
        if dtype is None or not descriptor.is_packed:
            raise TypeError(f"{key[0]}.{field} is not a packed sfixed column")
        layout = _layouts[key] = (_varint(descriptor.number << 3 | _LENGTH_DELIMITED), dtype)
    return layout


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
