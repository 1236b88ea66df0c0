"""Rows of trading accounts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, Row, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.errors import NotFound
from apportion.platform_groups.domain.accounts import Account, NewAccount
from apportion.platform_groups.domain.platform_groups import PlatformGroup
from apportion.platform_groups.domain.shards import SHARD_COUNT
from apportion.platform_groups.domain.states import AccountAccess, AccountKind, AccountState, MarginMode
from apportion.platform_groups.errors import LoginAmbiguous

COLUMNS = """account_id, label, platform_group_id, trading_server_id, kind, state, access, wanted_access,
    COALESCE(login, 0) AS login, currency_code, currency_digits, margin_mode, leverage, holder_name, wallet_account_id,
    initial_balance_minor, request_id, failure_reason, create_time"""

WRITE_UNTIL = {AccountAccess.FULL: "full_write_until", AccountAccess.READ_ONLY: "read_only_write_until"}
"""Until when a write of an access whose answer is missing may still come in."""


@dataclass(frozen=True, slots=True)
class KnownLogin:
    """Which account of ours a login on a server is."""

    login: int
    account_id: int
    label: int
    kind: AccountKind
    nets: bool


async def insert_account(
    tx: AsyncConnection,
    label: int,
    account: NewAccount,
    group: PlatformGroup,
    *,
    currency_digits: int,
    leverage: int,
    request_id: str,
    now: datetime,
) -> int:
    """A row in state CREATING; returns its id. A wallet becomes its own wallet."""
    query = text(
        """
        INSERT INTO accounts (label, platform_group_id, trading_server_id, kind, state, access, wanted_access,
            currency_code, currency_digits, margin_mode, leverage, holder_name, wallet_account_id,
            initial_balance_minor, request_id, attempt_time, create_time)
        VALUES (:label, :group_id, :server_id, :kind, 1, 1, 1, :currency_code, :currency_digits, :margin_mode,
            :leverage, :holder_name, :wallet_account_id, :initial_balance_minor,
            CAST(:request_id AS uuid), :now, :now)
        RETURNING account_id
        """
    )
    values = {
        "label": label,
        "group_id": account.platform_group_id,
        "server_id": group.trading_server_id,
        "kind": int(account.kind),
        "currency_code": group.currency_code,
        "currency_digits": currency_digits,
        "margin_mode": int(group.margin_mode),
        "leverage": leverage,
        "holder_name": account.holder_name,
        "wallet_account_id": account.wallet_account_id,
        "initial_balance_minor": account.initial_balance_minor,
        "request_id": request_id,
        "now": now,
    }
    account_id = int((await tx.execute(query, values)).scalar_one())
    if account.kind is AccountKind.WALLET:
        own = text("UPDATE accounts SET wallet_account_id = account_id WHERE account_id = :id")
        await tx.execute(own, {"id": account_id})
    return account_id


async def load_account(tx: AsyncConnection, label: int, account_id: int, *, for_update: bool = False) -> Account:
    """Raises NotFound."""
    lock = "FOR UPDATE" if for_update else ""
    query = text(f"SELECT {COLUMNS} FROM accounts WHERE label = :label AND account_id = :id {lock}")
    row = (await tx.execute(query, {"label": label, "id": account_id})).one_or_none()
    if row is None:
        raise NotFound("account", account_id)
    return _account(row)


async def load_account_by_login(tx: AsyncConnection, label: int, login: int) -> Account:
    """Raises NotFound, LoginAmbiguous."""
    query = text(f"SELECT {COLUMNS} FROM accounts WHERE label = :label AND login = :login ORDER BY account_id LIMIT 2")
    rows = (await tx.execute(query, {"label": label, "login": login})).all()
    if not rows:
        raise NotFound("account with login", login)
    if len(rows) > 1:
        raise LoginAmbiguous(f"login {login} exists on two trading servers", login=login)
    return _account(rows[0])


async def load_accounts(tx: AsyncConnection, label: int, account_ids: Iterable[int]) -> dict[int, Account]:
    """By id; raises NotFound for the first that is missing."""
    wanted = sorted(set(account_ids))
    found = await find_accounts(tx, label, wanted)
    for account_id in wanted:
        if account_id not in found:
            raise NotFound("account", account_id)
    return found


async def find_accounts(tx: AsyncConnection, label: int, account_ids: Iterable[int]) -> dict[int, Account]:
    """Those of the label, by id."""
    query = text(f"SELECT {COLUMNS} FROM accounts WHERE label = :label AND account_id = ANY(CAST(:ids AS bigint[]))")
    wanted = {"label": label, "ids": sorted(set(account_ids))}
    return {row.account_id: _account(row) for row in await tx.execute(query, wanted)}


async def list_accounts(
    tx: AsyncConnection, label: int, kind: int, wallet_account_id: int, after_id: int, limit: int
) -> list[Account]:
    """`kind` and `wallet_account_id` 0: all."""
    query = text(
        f"""SELECT {COLUMNS} FROM accounts
        WHERE label = :label AND (:kind = 0 OR kind = :kind) AND (:wallet = 0 OR wallet_account_id = :wallet)
          AND account_id > :after_id ORDER BY account_id LIMIT :limit"""
    )
    values = {"label": label, "kind": kind, "wallet": wallet_account_id, "after_id": after_id, "limit": limit}
    return [_account(row) for row in await tx.execute(query, values)]


async def list_known_logins(tx: AsyncConnection, trading_server_id: int) -> list[KnownLogin]:
    query = text(
        """SELECT login, account_id, label, kind, margin_mode = 2 AS nets FROM accounts
        WHERE trading_server_id = :id AND login IS NOT NULL"""
    )
    rows = await tx.execute(query, {"id": trading_server_id})
    return [
        KnownLogin(login, account_id, label, AccountKind(kind), nets) for login, account_id, label, kind, nets in rows
    ]


async def list_creating(
    tx: AsyncConnection, trading_server_id: int, shards: Sequence[int], attempted_before: datetime
) -> list[Account]:
    """Accounts whose creation nobody works on any more."""
    query = text(
        f"""SELECT {COLUMNS} FROM accounts WHERE trading_server_id = :id AND state = 1
        AND account_id % {SHARD_COUNT} = ANY(CAST(:shards AS bigint[])) AND attempt_time < :before
        ORDER BY account_id LIMIT 100"""
    )
    values = {"id": trading_server_id, "shards": list(shards), "before": attempted_before}
    return [_account(row) for row in await tx.execute(query, values)]


async def list_access_pending(
    tx: AsyncConnection, trading_server_id: int, shards: Sequence[int], *, except_ids: Sequence[int], limit: int
) -> list[Account]:
    """Accounts for which the server was not seen to have the access since it was last asked for."""
    query = text(
        f"""SELECT {COLUMNS} FROM accounts WHERE trading_server_id = :id AND NOT access_settled AND state = 2
        AND account_id % {SHARD_COUNT} = ANY(CAST(:shards AS bigint[]))
        AND account_id <> ALL(CAST(:except_ids AS bigint[])) ORDER BY account_id LIMIT :limit"""
    )
    values = {"id": trading_server_id, "shards": list(shards), "except_ids": list(except_ids), "limit": limit}
    return [_account(row) for row in await tx.execute(query, values)]


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


async def save_opened(tx: AsyncConnection, account_id: int, login: int) -> bool:
    """CREATING → OPEN; False when it was not CREATING any more."""
    query = text("UPDATE accounts SET state = 2, login = :login WHERE account_id = :id AND state = 1")
    result = await tx.execute(query, {"id": account_id, "login": login})
    return result.rowcount == 1


async def save_failed(tx: AsyncConnection, account_id: int, reason: str) -> bool:
    """CREATING → FAILED; False when it was not CREATING any more."""
    query = text("UPDATE accounts SET state = 4, failure_reason = :reason WHERE account_id = :id AND state = 1")
    return (await tx.execute(query, {"id": account_id, "reason": reason})).rowcount == 1


async def save_absent(tx: AsyncConnection, account_id: int, now: datetime) -> int:
    """One more complete report without this CREATING account; returns how many there are now."""
    query = text(
        """UPDATE accounts SET absent_count = absent_count + 1, attempt_time = :now
        WHERE account_id = :id AND state = 1 RETURNING absent_count"""
    )
    return int((await tx.execute(query, {"id": account_id, "now": now})).scalar_one_or_none() or 0)


async def claim_creation(tx: AsyncConnection, account_id: int, now: datetime) -> bool:
    """Before another try: no other worker looks at the row for a while, and old absences count no more."""
    query = text("UPDATE accounts SET attempt_time = :now, absent_count = 0 WHERE account_id = :id AND state = 1")
    return (await tx.execute(query, {"id": account_id, "now": now})).rowcount == 1


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


def _account(row: Row[Any]) -> Account:
    return Account(
        account_id=row.account_id,
        label=row.label,
        platform_group_id=row.platform_group_id,
        trading_server_id=row.trading_server_id,
        kind=AccountKind(row.kind),
        state=AccountState(row.state),
        access=AccountAccess(row.access),
        wanted_access=AccountAccess(row.wanted_access),
        login=row.login,
        currency_code=row.currency_code,
        currency_digits=row.currency_digits,
        margin_mode=MarginMode(row.margin_mode),
        leverage=row.leverage,
        holder_name=row.holder_name,
        wallet_account_id=row.wallet_account_id,
        initial_balance_minor=row.initial_balance_minor,
        request_id=str(row.request_id),
        failure_reason=row.failure_reason,
        create_time=row.create_time,
    )
