"""Distinct copy settings, each kept once: a row never changes, so that a set of subscriptions can name it for ever."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import msgspec
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.copy_settings import CopySettings
from apportion.allocation.storage import tables

ROWS = tables.copy_settings
# The insert tells nothing about a row that was there; the select sees it also when it was committed meanwhile.
INSERT = text(
    """
    INSERT INTO copy_settings (digest, settings) VALUES (:digest, CAST(:settings AS jsonb))
    ON CONFLICT ON CONSTRAINT copy_settings_digest_key DO NOTHING
    """
)


async def save_settings(tx: AsyncConnection, settings: CopySettings) -> int:
    """The id of these settings."""
    encoded = msgspec.json.encode(settings)
    digest = sha256(encoded).digest()
    find = select(ROWS.c.copy_settings_id).where(ROWS.c.digest == digest)
    known: int | None = (await tx.execute(find)).scalar_one_or_none()
    if known is not None:
        return known
    await tx.execute(INSERT, {"digest": digest, "settings": encoded.decode()})
    settings_id: int = (await tx.execute(find)).scalar_one()
    return settings_id


async def load_settings(tx: AsyncConnection, ids: Iterable[int]) -> dict[int, CopySettings]:
    """By id."""
    query = select(ROWS.c.copy_settings_id, ROWS.c.settings).where(ROWS.c.copy_settings_id.in_(list(ids)))
    return {row.copy_settings_id: parse_settings(row.settings) for row in await tx.execute(query)}


def parse_settings(stored: object) -> CopySettings:
    """As the database has them, a JSON object."""
    return msgspec.convert(stored, CopySettings)
