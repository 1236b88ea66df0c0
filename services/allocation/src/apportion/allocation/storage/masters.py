"""Masters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.allocation.domain.masters import Master, MasterFilter
from apportion.allocation.domain.methods import AccountType, AllocationMethod, AllocationMode, RoundingPolicy
from apportion.allocation.errors import MasterAccountTaken, NameTaken
from apportion.allocation.storage import tables
from apportion.allocation.storage.allocations import SEQUENCE, AllocationIds
from apportion.errors import NotFound
from apportion.storage import constraint_errors, fetch_arrays, read_arrays

Lock = Literal["none", "share", "update"]
ROWS = tables.masters

TERMS = (
    "name",
    "method",
    "rounding",
    "allocation_mode",
    "artificial_symbol",
    "residual_rule",
    "min_follower_equity_minor",
    "listed_on_leaderboard",
    "version",
)
# On the path of every deal, so these go to the driver as they are.
COLUMNS = ", ".join(column.name for column in ROWS.columns)
LOAD = f"SELECT {COLUMNS} FROM masters WHERE label = $1 AND master_id = $2"
LOCKS: Mapping[Lock, str] = {"none": "", "share": " FOR SHARE", "update": " FOR UPDATE"}
# Locked against changes until the commit, with an id for a decision on each.
DECIDING = f"SELECT {COLUMNS}, nextval('{SEQUENCE}') AS allocation_id FROM masters WHERE label = $1 AND "
DECIDING_ONE = DECIDING + "master_id = $2 FOR SHARE"
DECIDING_OF_ACCOUNTS = DECIDING + "account_id = ANY($2::bigint[]) ORDER BY master_id FOR SHARE"


async def insert_master(tx: AsyncConnection, master: Master) -> int:
    """The new id. Raises NameTaken or MasterAccountTaken."""
    taken = {
        "masters_name_key": NameTaken(name=master.name),
        "masters_account_key": MasterAccountTaken(account_id=master.account_id),
    }
    values = {column.name: getattr(master, column.name) for column in ROWS.columns if column.name != "master_id"}
    with constraint_errors(taken):
        master_id: int = (await tx.execute(insert(ROWS).values(values).returning(ROWS.c.master_id))).scalar_one()
    return master_id


async def is_master_account(tx: AsyncConnection, label: int, account_id: int) -> bool:
    """Whether some master trades it."""
    query = select(ROWS.c.master_id).where(ROWS.c.label == label, ROWS.c.account_id == account_id)
    return (await tx.execute(query)).one_or_none() is not None


async def load_master(tx: AsyncConnection, label: int, master_id: int, *, lock: Lock = "none") -> Master:
    """Raises NotFound."""
    rows = await fetch_arrays(tx, LOAD + LOCKS[lock], label, master_id)
    if not rows:
        raise NotFound("master", master_id)
    return _master(rows[0])


async def read_master(engine: AsyncEngine, label: int, master_id: int) -> Master:
    """As he is now, in one round trip. Raises NotFound."""
    rows = await read_arrays(engine, LOAD, label, master_id)
    if not rows:
        raise NotFound("master", master_id)
    return _master(rows[0])


async def load_deciding(tx: AsyncConnection, label: int, master_id: int) -> tuple[Master, AllocationIds]:
    """A master, locked against changes until the commit, and the id of a decision on his trade. Raises NotFound."""
    rows = await fetch_arrays(tx, DECIDING_ONE, label, master_id)
    if not rows:
        raise NotFound("master", master_id)
    return _master(rows[0]), AllocationIds([rows[0]["allocation_id"]])


async def load_deciding_of_accounts(
    tx: AsyncConnection, label: int, account_ids: Iterable[int]
) -> tuple[dict[int, Master], AllocationIds]:
    """The same by the accounts that masters trade; other accounts are left out."""
    rows = await fetch_arrays(tx, DECIDING_OF_ACCOUNTS, label, list(account_ids))
    return {row["account_id"]: _master(row) for row in rows}, AllocationIds(row["allocation_id"] for row in rows)


async def load_masters(tx: AsyncConnection, label: int, master_ids: Iterable[int]) -> dict[int, Master]:
    """Masters by id."""
    query = select(ROWS).where(ROWS.c.label == label, ROWS.c.master_id.in_(list(master_ids)))
    return {row["master_id"]: _master(row) for row in (await tx.execute(query)).mappings()}


async def list_masters(
    tx: AsyncConnection, label: int, wanted: MasterFilter, *, after: int, limit: int
) -> list[Master]:
    """In id order, those with an id above `after`."""
    query = select(ROWS).where(ROWS.c.label == label, ROWS.c.master_id > after).order_by(ROWS.c.master_id).limit(limit)
    if wanted.only_listed:
        query = query.where(ROWS.c.listed_on_leaderboard)
    if wanted.wallet_account_id:
        query = query.where(ROWS.c.wallet_account_id == wanted.wallet_account_id)
    return [_master(row) for row in (await tx.execute(query)).mappings()]


async def save_halt(tx: AsyncConnection, master: Master) -> None:
    """Writes the latch of a master that was loaded for update."""
    await tx.execute(
        update(ROWS)
        .where(ROWS.c.master_id == master.master_id)
        .values(halt_causes=list(master.halt_causes), halt_epoch=master.halt_epoch, version=master.version)
    )


async def save_terms(tx: AsyncConnection, master: Master) -> None:
    """Writes the changeable terms of a master that was loaded for update. Raises NameTaken."""
    values = {name: getattr(master, name) for name in TERMS}
    with constraint_errors({"masters_name_key": NameTaken(name=master.name)}):
        await tx.execute(update(ROWS).where(ROWS.c.master_id == master.master_id).values(values))


async def next_set_version(tx: AsyncConnection, master_id: int, *, active_change: int = 0) -> None:
    """Marks that the subscriptions changed, and how many more are active; locks the master until the commit."""
    await tx.execute(
        update(ROWS)
        .where(ROWS.c.master_id == master_id)
        .values(
            set_version=ROWS.c.set_version + 1,
            active_subscription_count=ROWS.c.active_subscription_count + active_change,
        )
    )


def _master(row: Mapping[Any, Any]) -> Master:
    return Master(
        master_id=row["master_id"],
        label=row["label"],
        name=row["name"],
        account_type=AccountType(row["account_type"]),
        account_id=row["account_id"],
        account_login=row["account_login"],
        trading_server_id=row["trading_server_id"],
        wallet_account_id=row["wallet_account_id"],
        currency_code=row["currency_code"],
        currency_digits=row["currency_digits"],
        method=AllocationMethod(row["method"]),
        rounding=RoundingPolicy(row["rounding"]),
        listed_on_leaderboard=row["listed_on_leaderboard"],
        min_follower_equity_minor=row["min_follower_equity_minor"],
        halt_causes=tuple(row["halt_causes"]),
        halt_epoch=row["halt_epoch"],
        set_version=row["set_version"],
        version=row["version"],
        active_subscription_count=row["active_subscription_count"],
        create_time=row["create_time"],
        allocation_mode=AllocationMode(row["allocation_mode"]),
        artificial_symbol=row["artificial_symbol"],
        residual_rule=RoundingPolicy(row["residual_rule"]),
    )
