"""What PostgreSQL can do at best: a durable row, and rows by COPY. Through asyncpg, with nothing above it."""

from __future__ import annotations

import io
import random
import time
from typing import Any

import asyncpg
import numpy as np
from tests.bench.kernel import CHILDREN
from tests.bench.measure import latency

INSERTS = 200
BIG_BYTES = 1 << 17
BIG_INSERTS = 30
ROWS = 10 * CHILDREN
COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
COPY_TRAILER = b"\xff\xff"


async def connect(url: str) -> Any:
    connection = await asyncpg.connect(url)
    await connection.execute(
        """
        CREATE TABLE IF NOT EXISTS bare_inserts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload bytea);
        ALTER TABLE bare_inserts ALTER payload SET STORAGE EXTERNAL;
        CREATE TABLE IF NOT EXISTS bare_rows (id bigint PRIMARY KEY, account_id bigint, volume_e8 bigint);
        """
    )
    return connection


async def insert_seconds(connection: Any, size: int = 100) -> float:
    """One durable single-row insert of so many bytes, committed by itself."""
    statement = await connection.prepare("INSERT INTO bare_inserts (payload) VALUES ($1)")
    payload = random.Random(size).randbytes(size)
    return await latency(lambda: statement.fetch(payload), INSERTS if size < BIG_BYTES else BIG_INSERTS)


async def copied_rows_a_second(connection: Any) -> float:
    """COPY of three-column rows with a primary key, laid out by numpy, in one transaction."""
    await connection.execute("TRUNCATE bare_rows")
    started = time.perf_counter()
    await connection.copy_to_table("bare_rows", source=io.BytesIO(binary_rows()), format="binary")
    return ROWS / (time.perf_counter() - started)


def binary_rows() -> bytes:
    row = np.dtype([("count", ">i2"), *((f"{name}{n}", kind) for n in range(3) for name, kind in _FIELD)])
    rows = np.zeros(ROWS, dtype=row)
    rows["count"] = 3
    for number in range(3):
        rows[f"size{number}"] = 8
        rows[f"value{number}"] = np.arange(ROWS)
    return COPY_HEADER + rows.tobytes() + COPY_TRAILER


_FIELD = (("size", ">i4"), ("value", ">i8"))
