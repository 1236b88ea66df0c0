"""Rows of platform groups."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.errors import NotFound
from apportion.platform_groups.domain.platform_groups import NewGroup, PlatformGroup
from apportion.platform_groups.domain.server_facts import ServerGroup
from apportion.platform_groups.domain.states import GroupState, MarginMode
from apportion.platform_groups.errors import NameTaken
from apportion.storage import constraint_errors, fetch_arrays

SELECT = """
    SELECT g.platform_group_id, g.label, g.trading_server_id, s.name AS server_name, g.name, g.server_group,
        g.currency_code, g.currency_digits, g.margin_mode, g.default_leverage, g.account_capacity, g.weight, g.tags,
        g.state, g.backup_platform_group_id, g.create_time, s.comments_hidden
    FROM platform_groups g JOIN trading_servers s ON s.trading_server_id = g.trading_server_id
"""


async def insert_group(
    tx: AsyncConnection, label: int, group: NewGroup, on_server: ServerGroup, *, now: datetime
) -> int:
    """The new id. Raises NameTaken."""
    values = {
        "label": label,
        "trading_server_id": group.trading_server_id,
        "name": group.name,
        "server_group": group.server_group,
        "currency_code": group.currency_code,
        "currency_digits": on_server.currency_digits,
        "margin_mode": int(on_server.margin_mode),
        "default_leverage": group.default_leverage,
        "account_capacity": group.account_capacity,
        "weight": group.weight,
        "tags": list(group.tags),
        "backup_platform_group_id": group.backup_platform_group_id,
        "create_time": now,
    }
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    query = text(f"INSERT INTO platform_groups ({names}) VALUES ({marks}) RETURNING platform_group_id")
    taken = NameTaken(f"a platform group is named {group.name!r} already", name=group.name)
    with constraint_errors({"platform_groups_name_key": taken}):
        return int((await tx.execute(query, values)).scalar_one())


async def load_group(
    tx: AsyncConnection, label: int, platform_group_id: int, *, for_update: bool = False
) -> PlatformGroup:
    """Raises NotFound."""
    lock = "FOR UPDATE OF g" if for_update else ""
    query = f"{SELECT} WHERE g.label = $1 AND g.platform_group_id = $2 {lock}"
    rows = await fetch_arrays(tx, query, label, platform_group_id)
    if not rows:
        raise NotFound("platform group", platform_group_id)
    return _group(rows[0])


async def list_groups(
    tx: AsyncConnection, label: int, trading_server_id: int, after_id: int, limit: int
) -> list[PlatformGroup]:
    """`trading_server_id` 0: of all servers."""
    query = f"""{SELECT}
        WHERE g.label = $1 AND ($2::bigint = 0 OR g.trading_server_id = $2) AND g.platform_group_id > $3
        ORDER BY g.platform_group_id LIMIT $4"""
    return [_group(row) for row in await fetch_arrays(tx, query, label, trading_server_id, after_id, limit)]


async def list_server_groups(tx: AsyncConnection, trading_server_id: int) -> list[str]:
    """The paths on the server of all platform groups that are on it."""
    query = text("SELECT DISTINCT server_group FROM platform_groups WHERE trading_server_id = :id ORDER BY 1")
    return list((await tx.execute(query, {"id": trading_server_id})).scalars())


async def count_accounts(tx: AsyncConnection, platform_group_id: int) -> int:
    """Accounts that take a place in the group: all but the failed ones."""
    query = text("SELECT count(*) FROM accounts WHERE platform_group_id = :id AND state <> 4")
    return int((await tx.execute(query, {"id": platform_group_id})).scalar_one())


async def list_without_margin_mode(tx: AsyncConnection, trading_server_id: int) -> list[str]:
    """Groups on the server of which nobody knows how their accounts hold positions."""
    query = text(
        """SELECT DISTINCT server_group FROM platform_groups WHERE trading_server_id = :id AND margin_mode = 0
        ORDER BY server_group"""
    )
    return list((await tx.execute(query, {"id": trading_server_id})).scalars())


async def save_margin_mode(tx: AsyncConnection, trading_server_id: int, server_group: str, mode: MarginMode) -> None:
    """Of all groups on this group of the server that have none, and of their accounts."""
    values = {"id": trading_server_id, "server_group": server_group, "mode": int(mode)}
    await tx.execute(
        text(
            """WITH learnt AS (
                UPDATE platform_groups SET margin_mode = :mode
                WHERE trading_server_id = :id AND server_group = :server_group AND margin_mode = 0
                RETURNING platform_group_id
            )
            UPDATE accounts SET margin_mode = :mode
            WHERE margin_mode = 0 AND platform_group_id IN (SELECT platform_group_id FROM learnt)"""
        ),
        values,
    )


def _group(row: Any) -> PlatformGroup:
    return PlatformGroup(
        platform_group_id=row["platform_group_id"],
        label=row["label"],
        trading_server_id=row["trading_server_id"],
        server_name=row["server_name"],
        name=row["name"],
        server_group=row["server_group"],
        currency_code=row["currency_code"],
        currency_digits=row["currency_digits"],
        margin_mode=MarginMode(row["margin_mode"]),
        default_leverage=row["default_leverage"],
        account_capacity=row["account_capacity"],
        weight=row["weight"],
        tags=tuple(row["tags"]),
        state=GroupState(row["state"]),
        backup_platform_group_id=row["backup_platform_group_id"],
        create_time=row["create_time"],
        comments_hidden=row["comments_hidden"],
    )
