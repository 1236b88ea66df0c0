"""Who asked for new passwords of which account: the audit, which holds no password."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.platform_groups.domain.accounts import Account


async def insert_password_reset(
    tx: AsyncConnection, account: Account, request_id: str, peer: str, now: datetime
) -> None:
    """Who asked for new passwords, before the server hears of it."""
    query = text(
        """INSERT INTO password_resets (label, account_id, request_id, peer, is_confirmed, create_time)
        VALUES (:label, :id, CAST(:request_id AS uuid), :peer, false, :now)"""
    )
    values = {"label": account.label, "id": account.account_id, "request_id": request_id, "peer": peer, "now": now}
    await tx.execute(query, values)


async def confirm_password_reset(tx: AsyncConnection, account_id: int, request_id: str) -> None:
    """The server was seen to have the new passwords."""
    query = text(
        """UPDATE password_resets SET is_confirmed = true
        WHERE account_id = :id AND request_id = CAST(:request_id AS uuid)"""
    )
    await tx.execute(query, {"id": account_id, "request_id": request_id})
