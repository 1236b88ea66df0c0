"""Rows of platform groups."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.errors import NotFound
from apportion.platform_groups.domain.platform_groups import NewGroup, PlatformGroup
from apportion.platform_groups.domain.server_facts import ServerGroup
from apportion.platform_groups.domain.states import GroupState, MarginMode
from apportion.platform_groups.errors import NameTaken
from apportion.storage import constraint_errors

COLUMNS = """platform_group_id, label, trading_server_id, name, server_group, currency_code, currency_digits,
    margin_mode, default_leverage, account_capacity, weight, tags, state, backup_platform_group_id, create_time"""


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
    lock = "FOR UPDATE" if for_update else ""
    query = text(f"SELECT {COLUMNS} FROM platform_groups WHERE label = :label AND platform_group_id = :id {lock}")
    row = (await tx.execute(query, {"label": label, "id": platform_group_id})).one_or_none()
    if row is None:
        raise NotFound("platform group", platform_group_id)
    return _group(row)


async def list_groups(
    tx: AsyncConnection, label: int, trading_server_id: int, after_id: int, limit: int
) -> list[PlatformGroup]:
    """`trading_server_id` 0: of all servers."""
    query = text(
        f"""SELECT {COLUMNS} FROM platform_groups
        WHERE label = :label AND (:server_id = 0 OR trading_server_id = :server_id) AND platform_group_id > :after_id
        ORDER BY platform_group_id LIMIT :limit"""
    )
    values = {"label": label, "server_id": trading_server_id, "after_id": after_id, "limit": limit}
    return [_group(row) for row in await tx.execute(query, values)]


async def currency_digits_of(tx: AsyncConnection, platform_group_id: int) -> int:
    query = text("SELECT currency_digits FROM platform_groups WHERE platform_group_id = :id")
    return int((await tx.execute(query, {"id": platform_group_id})).scalar_one())


async def count_accounts(tx: AsyncConnection, platform_group_id: int) -> int:
    """Accounts that take a place in the group: all but the failed ones."""
    query = text("SELECT count(*) FROM accounts WHERE platform_group_id = :id AND state <> 4")
    return int((await tx.execute(query, {"id": platform_group_id})).scalar_one())


def _group(row: Row[Any]) -> PlatformGroup:
    return PlatformGroup(
        platform_group_id=row.platform_group_id,
        label=row.label,
        trading_server_id=row.trading_server_id,
        name=row.name,
        server_group=row.server_group,
        currency_code=row.currency_code,
        margin_mode=MarginMode(row.margin_mode),
        default_leverage=row.default_leverage,
        account_capacity=row.account_capacity,
        weight=row.weight,
        tags=tuple(row.tags),
        state=GroupState(row.state),
        backup_platform_group_id=row.backup_platform_group_id,
        create_time=row.create_time,
    )


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
