"""Columns on the wire against the same bytes by hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from tests.bench.kernel import CHILDREN
from tests.bench.measure import Row, duration, in_turn, seconds
from tests.bench.servers import Servers

from apportion.api.allocation.v1.allocations_pb2 import ChildColumns
from apportion.money import Int64Array
from apportion.rpc import column, set_column

NAMES = ("subscription_ids", "account_ids", "volumes_e8")
REPEAT = 300
LENGTH_DELIMITED = 2


def columns() -> list[Int64Array]:
    random = np.random.default_rng(7)
    return [random.integers(-(2**40), 2**40, CHILDREN) for _ in NAMES]


def encode(values: list[Int64Array]) -> bytes:
    message = ChildColumns()
    for name, array in zip(NAMES, values, strict=True):
        set_column(message, name, array)
    return message.SerializeToString()


def decode(wire: bytes) -> list[Int64Array]:
    message = ChildColumns.FromString(wire)
    return [column(getattr(message, name)) for name in NAMES]


def header(number: int, length: int) -> bytes:
    out = [number << 3 | LENGTH_DELIMITED]
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*out, length])


def bare_encode(values: list[Int64Array]) -> bytes:
    parts: list[bytes | memoryview] = []
    for number, array in enumerate(values, start=1):
        parts += (header(number, array.nbytes), array.data.cast("B"))
    return b"".join(parts)


def bare_decode(wire: bytes) -> list[NDArray[np.int64]]:
    """Arrays of their own, too: a copy each."""
    size = len(header(1, CHILDREN * 8))
    starts = [size + number * (size + CHILDREN * 8) for number in range(len(NAMES))]
    return [np.frombuffer(wire, dtype="<i8", count=CHILDREN, offset=start).copy() for start in starts]


async def rows(_servers: Servers) -> list[Row]:
    values = columns()
    wire = encode(values)
    assert wire == bare_encode(values)
    assert all(np.array_equal(a, b) for a, b in zip(decode(wire), bare_decode(wire), strict=True))
    encoding = in_turn(
        lambda: seconds(lambda: encode(values), REPEAT), lambda: seconds(lambda: bare_encode(values), REPEAT)
    )
    decoding = in_turn(
        lambda: seconds(lambda: decode(wire), REPEAT), lambda: seconds(lambda: bare_decode(wire), REPEAT)
    )
    return [
        Row(
            "codec, 10k × 3 columns, encode", duration(encoding[0]), f"join {duration(encoding[1])}", encoding[2], 4, 20
        ),
        Row(
            "codec, 10k × 3 columns, decode",
            duration(decoding[0]),
            f"frombuffer, copy {duration(decoding[1])}",
            decoding[2],
            3,
            20,
        ),
    ]
