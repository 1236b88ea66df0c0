"""Writes that may be repeated: the same request id gives the same answer, and the work happens once."""

from __future__ import annotations

import hashlib
import uuid
from datetime import datetime
from typing import TypeVar

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.errors import IdempotencyInProgress, IdempotencyKeyReused
from apportion.runtime.context import RequestKey, replayed

T = TypeVar("T")

# One statement claims a new id. It does nothing when another transaction has the lock, and nothing when the row is
# there: the unique key sees rows that were committed after this statement began, which a SELECT under the lock would
# not.
CLAIM = text(
    """
    INSERT INTO request_ids (label, method, request_id, input_hash, created_time)
    SELECT :label, :method, CAST(:request_id AS uuid), CAST(:input_hash AS bytea), CAST(:now AS timestamptz)
    WHERE pg_try_advisory_xact_lock(:lock)
    ON CONFLICT ON CONSTRAINT request_ids_pkey DO NOTHING
    RETURNING true
    """
)
FIND = text(
    """
    SELECT input_hash, answer FROM request_ids
    WHERE label = :label AND method = :method AND request_id = CAST(:request_id AS uuid)
    """
)
STORE = text(
    """
    UPDATE request_ids SET answer = :answer
    WHERE label = :label AND method = :method AND request_id = CAST(:request_id AS uuid) AND answer IS NULL
    """
)


async def claim_request(tx: AsyncConnection, key: RequestKey, answer_type: type[T], *, now: datetime) -> T | None:
    """None: do the work, then `store_answer` in the same transaction. Otherwise the answer stored by the first call.

    Raises IdempotencyKeyReused when the id came with other content, IdempotencyInProgress while the first call runs.
    """
    row = _identity(key)
    claim = row | {"input_hash": key.input_hash, "now": now, "lock": _lock(key)}
    if (await tx.execute(CLAIM, claim)).one_or_none() is not None:
        return None
    stored = (await tx.execute(FIND, row)).one_or_none()
    if stored is None:
        raise IdempotencyInProgress(request_id=key.request_id)
    if stored.input_hash != key.input_hash:
        raise IdempotencyKeyReused(request_id=key.request_id)
    if stored.answer is None:
        raise RuntimeError(f"{key.method} committed a request without store_answer")
    replayed.set(True)
    return msgspec.json.decode(stored.answer, type=answer_type)


async def store_answer(tx: AsyncConnection, key: RequestKey, answer: object) -> None:
    """Keeps the answer, a frozen dataclass, for repeats of this request."""
    result = await tx.execute(STORE, _identity(key) | {"answer": msgspec.json.encode(answer).decode()})
    if result.rowcount != 1:
        raise RuntimeError(f"{key.method} stored an answer to a request that it had not claimed")


def _identity(key: RequestKey) -> dict[str, object]:
    return {"label": key.label, "method": key.method, "request_id": uuid.UUID(key.request_id)}


def _lock(key: RequestKey) -> int:
    """64 bits for the advisory lock. Two keys that share them only make one caller wait."""
    name = f"{key.label}/{key.method}/{uuid.UUID(key.request_id)}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), signed=True)
