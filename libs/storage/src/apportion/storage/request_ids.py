"""Writes that may be repeated: the same request id gives the same answer, and the work happens once."""

from __future__ import annotations

import hashlib
import uuid
from datetime import datetime
from typing import TypeVar

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.errors import IdempotencyInProgress, IdempotencyKeyReused
from apportion.runtime.context import RequestKey, replayed
from apportion.storage.copy import fetch_arrays

T = TypeVar("T")

# One statement claims a new id. It does nothing when another transaction has the lock, and nothing when the row is
# there: the unique key sees rows that were committed after this statement began, which a SELECT under the lock would
# not.
CLAIM = """
    INSERT INTO request_ids (label, method, request_id, input_hash, created_time)
    SELECT $1::bigint, $2::text, $3::uuid, $4::bytea, $5::timestamptz
    WHERE pg_try_advisory_xact_lock($6)
    ON CONFLICT ON CONSTRAINT request_ids_pkey DO NOTHING
    RETURNING true
"""
FIND = "SELECT input_hash, answer FROM request_ids WHERE label = $1 AND method = $2 AND request_id = $3"
STORE = """
    UPDATE request_ids SET answer = $4 WHERE label = $1 AND method = $2 AND request_id = $3 AND answer IS NULL
    RETURNING true
"""


async def claim_request(tx: AsyncConnection, key: RequestKey, answer_type: type[T], *, now: datetime) -> T | None:
    """None: do the work, then `store_answer` in the same transaction. Otherwise the answer stored by the first call.

    Raises IdempotencyKeyReused when the id came with other content, IdempotencyInProgress while the first call runs.
    """
    row = _identity(key)
    if await fetch_arrays(tx, CLAIM, *row, key.input_hash, now, _lock(key)):
        return None
    stored = await fetch_arrays(tx, FIND, *row)
    if not stored:
        raise IdempotencyInProgress(request_id=key.request_id)
    input_hash, answer = stored[0]["input_hash"], stored[0]["answer"]
    if input_hash != key.input_hash:
        raise IdempotencyKeyReused(request_id=key.request_id)
    if answer is None:
        raise RuntimeError(f"{key.method} committed a request without store_answer")
    replayed.set(True)
    return msgspec.json.decode(answer, type=answer_type)


async def store_answer(tx: AsyncConnection, key: RequestKey, answer: object) -> None:
    """Keeps the answer, a frozen dataclass, for repeats of this request."""
    if not await fetch_arrays(tx, STORE, *_identity(key), msgspec.json.encode(answer).decode()):
        raise RuntimeError(f"{key.method} stored an answer to a request that it had not claimed")


def _identity(key: RequestKey) -> tuple[int, str, uuid.UUID]:
    return key.label, key.method, uuid.UUID(key.request_id)


def _lock(key: RequestKey) -> int:
    """64 bits for the advisory lock. Two keys that share them only make one caller wait."""
    name = f"{key.label}/{key.method}/{uuid.UUID(key.request_id)}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), signed=True)
