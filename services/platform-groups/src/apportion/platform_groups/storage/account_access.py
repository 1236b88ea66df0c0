"""The access of accounts: what was asked for, what may be on the wire, what the server was seen to have."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import DateTime, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.platform_groups.domain.accounts import Account
from apportion.platform_groups.domain.states import AccountAccess

WRITE_UNTIL = {AccountAccess.FULL: "full_write_until", AccountAccess.READ_ONLY: "read_only_write_until"}
"""Until when a write of an access whose answer is missing may still come in."""


async def is_access_settled(tx: AsyncConnection, account_id: int) -> bool:
    """Whether the server was seen to have the access since it was last asked for."""
    query = text("SELECT access_settled FROM accounts WHERE account_id = :id")
    return bool((await tx.execute(query, {"id": account_id})).scalar_one())


async def list_read_only(tx: AsyncConnection, account_ids: Sequence[int]) -> set[int]:
    """Those of the accounts that the server was seen to have read-only, and nobody wished otherwise since."""
    query = text(
        """SELECT account_id FROM accounts
        WHERE account_id = ANY(CAST(:ids AS bigint[])) AND access = 2 AND access_settled"""
    )
    return set((await tx.execute(query, {"ids": list(account_ids)})).scalars())


async def save_wanted_access(
    tx: AsyncConnection, account: Account, access: AccountAccess, cause: str, request_id: str, now: datetime
) -> None:
    """What is asked for, with its audit row."""
    values = {
        "label": account.label,
        "id": account.account_id,
        "access": int(access),
        "cause": cause,
        "request_id": request_id,
        "now": now,
    }
    await tx.execute(
        text(
            """UPDATE accounts SET wanted_access = :access, access_cause = :cause, access_settled = false
            WHERE account_id = :id"""
        ),
        values,
    )
    await tx.execute(
        text(
            """INSERT INTO access_changes (label, account_id, request_id, access, cause, create_time)
            VALUES (:label, :id, CAST(:request_id AS uuid), :access, :cause, :now)"""
        ),
        values,
    )


async def save_write_begun(
    tx: AsyncConnection, account_id: int, access: AccountAccess, until: datetime
) -> datetime | None:
    """A write of this access is about to go out and may come in until then. Returns until when an earlier one may."""
    column = WRITE_UNTIL[access]
    query = text(
        f"""UPDATE accounts a SET {column} = GREATEST(a.{column}, :until)
        FROM (SELECT account_id, {column} FROM accounts WHERE account_id = :id FOR UPDATE) AS before
        WHERE a.account_id = before.account_id RETURNING before.{column}"""
    )
    found: datetime | None = (await tx.execute(query, {"id": account_id, "until": until})).scalar_one()
    return found


async def save_write_ended(
    tx: AsyncConnection, account_id: int, access: AccountAccess, *, begun: datetime, until: datetime | None
) -> None:
    """In place of `begun` stands until when a write of this access may still come in; None: all were answered.

    Whoever holds the shard by now looks at the server again: this write may have come in after a newer one.
    """
    column = WRITE_UNTIL[access]
    query = text(
        f"""UPDATE accounts SET access_settled = false,
            {column} = CASE WHEN {column} = :begun THEN :until ELSE GREATEST({column}, :until) END
        WHERE account_id = :id"""
    ).bindparams(bindparam("until", type_=DateTime(timezone=True)))
    await tx.execute(query, {"id": account_id, "begun": begun, "until": until})


async def save_seen_access(tx: AsyncConnection, account_id: int, access: AccountAccess, read_time: datetime) -> bool:
    """What the server has, as read from that time on. It is settled if it was asked for last and nothing can undo it.

    False: it is what was asked for last, but a write of another access may still come in.
    """
    others = [column for other, column in WRITE_UNTIL.items() if other is not access]
    past = " AND ".join(f"COALESCE({column} <= :read_time, true)" for column in others)
    query = text(
        f"""UPDATE accounts SET access = :access, access_settled = (wanted_access = :access AND {past})
        WHERE account_id = :id RETURNING access_settled OR wanted_access <> :access"""
    )
    values = {"id": account_id, "access": int(access), "read_time": read_time}
    return bool((await tx.execute(query, values)).scalar_one())
