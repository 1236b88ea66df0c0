"""Rows of trading accounts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.errors import NotFound
from apportion.platform_groups.domain.accounts import Account, NewAccount
from apportion.platform_groups.domain.platform_groups import PlatformGroup
from apportion.platform_groups.domain.server_facts import Int64s
from apportion.platform_groups.domain.shards import SHARD_COUNT
from apportion.platform_groups.domain.states import AccountAccess, AccountKind, AccountState, MarginMode
from apportion.platform_groups.errors import LoginAmbiguous
from apportion.storage import fetch_arrays

COLUMNS = """account_id, label, platform_group_id, trading_server_id, kind, state, access, wanted_access,
    COALESCE(login, 0) AS login, currency_code, currency_digits, margin_mode, leverage, holder_name, wallet_account_id,
    initial_balance_minor, request_id, failure_reason, create_time"""

INSERT = f"""
    WITH new AS (SELECT nextval(pg_get_serial_sequence('accounts', 'account_id')) AS account_id)
    INSERT INTO accounts (account_id, label, platform_group_id, trading_server_id, kind, state, access, wanted_access,
        currency_code, currency_digits, margin_mode, leverage, holder_name, wallet_account_id, initial_balance_minor,
        request_id, attempt_time, create_time)
    SELECT account_id, $1::bigint, $2::bigint, $3::bigint, $4::smallint, 1, 1, 1, $5::text, $6::smallint, $7::smallint,
        $8::integer, $9::text, CASE WHEN $4 = 1 THEN account_id ELSE $10::bigint END, $11::bigint, $12::uuid,
        $13::timestamptz, $13
    FROM new RETURNING {COLUMNS}
"""

MISPLACED = """
    SELECT a.account_id, a.login, s.login IS NOT NULL AS is_there FROM accounts a
    JOIN platform_groups g ON g.platform_group_id = a.platform_group_id
    LEFT JOIN unnest($3::bigint[]) AS s (login) ON s.login = a.login
    WHERE a.trading_server_id = $1 AND g.server_group = $2 AND a.state IN (2, 3) AND a.login IS NOT NULL
      AND (a.state = 2) <> (s.login IS NOT NULL)
    ORDER BY a.account_id
"""

SAVE_OPENED = f"UPDATE accounts SET state = 2, login = $2 WHERE account_id = $1 AND state = 1 RETURNING {COLUMNS}"


@dataclass(frozen=True, slots=True)
class KnownLogin:
    """Which account of ours a login on a server is."""

    login: int
    account_id: int
    label: int
    kind: AccountKind
    nets: bool


@dataclass(frozen=True, slots=True)
class MisplacedAccount:
    """One that is OPEN and not in its group on the server, or DISABLED and there."""

    account_id: int
    login: int
    is_there: bool


async def insert_account(
    tx: AsyncConnection,
    label: int,
    account: NewAccount,
    group: PlatformGroup,
    *,
    leverage: int,
    request_id: str,
    now: datetime,
) -> Account:
    """The account in state CREATING. A wallet is its own wallet."""
    (row,) = await fetch_arrays(
        tx,
        INSERT,
        label,
        group.platform_group_id,
        group.trading_server_id,
        int(account.kind),
        group.currency_code,
        group.currency_digits,
        int(group.margin_mode),
        leverage,
        account.holder_name,
        account.wallet_account_id,
        account.initial_balance_minor,
        request_id,
        now,
    )
    return _account(row)


async def load_account(tx: AsyncConnection, label: int, account_id: int, *, for_update: bool = False) -> Account:
    """Raises NotFound."""
    lock = "FOR UPDATE" if for_update else ""
    query = f"SELECT {COLUMNS} FROM accounts WHERE label = $1 AND account_id = $2 {lock}"
    rows = await fetch_arrays(tx, query, label, account_id)
    if not rows:
        raise NotFound("account", account_id)
    return _account(rows[0])


async def load_account_by_login(tx: AsyncConnection, label: int, login: int, kind: int) -> Account:
    """The one of a kind (0: any), an open one before all others. Raises NotFound, LoginAmbiguous."""
    query = f"""SELECT {COLUMNS} FROM accounts
        WHERE label = $1 AND login = $2 AND ($3::smallint = 0 OR kind = $3)
        ORDER BY (state = $4) DESC, account_id LIMIT 2"""
    found = [_account(row) for row in await fetch_arrays(tx, query, label, login, kind, AccountState.OPEN)]
    if not found:
        raise NotFound("account with login", login)
    if len({account.state is AccountState.OPEN for account in found}) < len(found):
        raise LoginAmbiguous(f"login {login} exists on two trading servers", login=login)
    return found[0]


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
    query = f"SELECT {COLUMNS} FROM accounts WHERE label = $1 AND account_id = ANY($2::bigint[])"
    return {row["account_id"]: _account(row) for row in await fetch_arrays(tx, query, label, sorted(set(account_ids)))}


async def list_accounts(
    tx: AsyncConnection, label: int, kind: int, wallet_account_id: int, after_id: int, limit: int
) -> list[Account]:
    """`kind` and `wallet_account_id` 0: all."""
    query = f"""SELECT {COLUMNS} FROM accounts
        WHERE label = $1 AND ($2::smallint = 0 OR kind = $2) AND ($3::bigint = 0 OR wallet_account_id = $3)
          AND account_id > $4 ORDER BY account_id LIMIT $5"""
    return [_account(row) for row in await fetch_arrays(tx, query, label, kind, wallet_account_id, after_id, limit)]


async def list_known_logins(tx: AsyncConnection, trading_server_id: int) -> list[KnownLogin]:
    query = text(
        """SELECT login, account_id, label, kind, margin_mode = 2 AS nets FROM accounts
        WHERE trading_server_id = :id AND login IS NOT NULL"""
    )
    rows = await tx.execute(query, {"id": trading_server_id})
    return [
        KnownLogin(login, account_id, label, AccountKind(kind), nets) for login, account_id, label, kind, nets in rows
    ]


async def list_misplaced(
    tx: AsyncConnection, trading_server_id: int, server_group: str, logins: Int64s
) -> list[MisplacedAccount]:
    """By the logins that this group of the server has: all of them."""
    rows = await fetch_arrays(tx, MISPLACED, trading_server_id, server_group, logins)
    return [MisplacedAccount(row["account_id"], row["login"], row["is_there"]) for row in rows]


async def save_left(tx: AsyncConnection, account_ids: Sequence[int]) -> None:
    """OPEN → DISABLED."""
    query = text("UPDATE accounts SET state = 3 WHERE account_id = ANY(CAST(:ids AS bigint[])) AND state = 2")
    await tx.execute(query, {"ids": list(account_ids)})


async def save_back(tx: AsyncConnection, account_ids: Sequence[int]) -> None:
    """DISABLED → OPEN."""
    query = text("UPDATE accounts SET state = 2 WHERE account_id = ANY(CAST(:ids AS bigint[])) AND state = 3")
    await tx.execute(query, {"ids": list(account_ids)})


async def list_creating(
    tx: AsyncConnection, trading_server_id: int, shards: Sequence[int], attempted_before: datetime
) -> list[Account]:
    """Accounts whose creation nobody works on any more."""
    query = f"""SELECT {COLUMNS} FROM accounts WHERE trading_server_id = $1 AND state = 1
        AND account_id % {SHARD_COUNT} = ANY($2::bigint[]) AND attempt_time < $3 ORDER BY account_id LIMIT 100"""
    rows = await fetch_arrays(tx, query, trading_server_id, list(shards), attempted_before)
    return [_account(row) for row in rows]


async def list_group_logins(tx: AsyncConnection, trading_server_id: int, server_group: str) -> set[int]:
    """The logins of our accounts in this group of the server."""
    query = text(
        """SELECT a.login FROM accounts a
        JOIN platform_groups g ON g.platform_group_id = a.platform_group_id
        WHERE a.trading_server_id = :id AND g.server_group = :server_group AND a.login IS NOT NULL"""
    )
    rows = await tx.execute(query, {"id": trading_server_id, "server_group": server_group})
    return set(rows.scalars())


async def list_access_pending(
    tx: AsyncConnection, trading_server_id: int, shards: Sequence[int], *, except_ids: Sequence[int], limit: int
) -> list[Account]:
    """Accounts for which the server was not seen to have the access since it was last asked for."""
    query = f"""SELECT {COLUMNS} FROM accounts WHERE trading_server_id = $1 AND NOT access_settled AND state IN (2, 3)
        AND account_id % {SHARD_COUNT} = ANY($2::bigint[]) AND account_id <> ALL($3::bigint[])
        ORDER BY account_id LIMIT $4"""
    rows = await fetch_arrays(tx, query, trading_server_id, list(shards), list(except_ids), limit)
    return [_account(row) for row in rows]


async def save_opened(tx: AsyncConnection, account_id: int, login: int) -> Account | None:
    """CREATING → OPEN; None when it was not CREATING any more."""
    rows = await fetch_arrays(tx, SAVE_OPENED, account_id, login)
    return _account(rows[0]) if rows else None


async def save_failed(tx: AsyncConnection, account_id: int, reason: str) -> None:
    """CREATING → FAILED; nothing when it was not CREATING any more."""
    query = text("UPDATE accounts SET state = 4, failure_reason = :reason WHERE account_id = :id AND state = 1")
    await tx.execute(query, {"id": account_id, "reason": reason})


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


def _account(row: Any) -> Account:
    return Account(
        account_id=row["account_id"],
        label=row["label"],
        platform_group_id=row["platform_group_id"],
        trading_server_id=row["trading_server_id"],
        kind=AccountKind(row["kind"]),
        state=AccountState(row["state"]),
        access=AccountAccess(row["access"]),
        wanted_access=AccountAccess(row["wanted_access"]),
        login=row["login"],
        currency_code=row["currency_code"],
        currency_digits=row["currency_digits"],
        margin_mode=MarginMode(row["margin_mode"]),
        leverage=row["leverage"],
        holder_name=row["holder_name"],
        wallet_account_id=row["wallet_account_id"],
        initial_balance_minor=row["initial_balance_minor"],
        request_id=str(row["request_id"]),
        failure_reason=row["failure_reason"],
        create_time=row["create_time"],
    )
