"""Subscriptions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, bindparam, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.methods import AccountType, LotMode
from apportion.allocation.domain.subscriptions import Parameters, Subscription, SubscriptionFilter, SubscriptionState
from apportion.allocation.errors import SubscriptionExists
from apportion.allocation.storage import tables
from apportion.allocation.storage.copy_settings import parse_settings, save_settings
from apportion.errors import NotFound
from apportion.storage import constraint_errors

ROWS = tables.subscriptions
SETTINGS = tables.copy_settings
PARAMETERS = ("ratio_e8", "lot_e8", "percent_e8", "lot_mode")
MAPPED = frozenset({*PARAMETERS, "copy_settings_id", "state"})
# Both locks are held until the commit; the key is of two ints, so the label takes part by its lower bits only.
LOCK_ACCOUNT = text("SELECT pg_advisory_xact_lock(hashint8(:label), hashint8(:account_id))")


@dataclass(frozen=True, slots=True)
class ParameterSums:
    """Over a master's active subscriptions."""

    lot_e8: int
    percent_e8: int


async def insert_subscription(tx: AsyncConnection, subscription: Subscription) -> int:
    """The new id. Raises SubscriptionExists."""
    exists = SubscriptionExists(master_id=subscription.master_id, account_id=subscription.account_id)
    values = await _values(tx, subscription)
    with constraint_errors({"subscriptions_account_key": exists}):
        result = await tx.execute(insert(ROWS).values(values).returning(ROWS.c.subscription_id))
    subscription_id: int = result.scalar_one()
    return subscription_id


async def load_subscription(
    tx: AsyncConnection, label: int, subscription_id: int, *, for_update: bool = False
) -> Subscription:
    """Raises NotFound."""
    query = _rows(label).where(ROWS.c.subscription_id == subscription_id)
    row = (await tx.execute(query.with_for_update(of=ROWS) if for_update else query)).one_or_none()
    if row is None:
        raise NotFound("subscription", subscription_id)
    return _subscription(row._mapping)


async def load_subscriptions(
    tx: AsyncConnection, label: int, master_id: int, subscription_ids: Iterable[int]
) -> dict[int, Subscription]:
    """Those of a master by id, locked in the order of their ids; ids that he does not have are absent."""
    query = (
        _rows(label)
        .where(ROWS.c.master_id == master_id, ROWS.c.subscription_id.in_(list(subscription_ids)))
        .order_by(ROWS.c.subscription_id)
        .with_for_update(of=ROWS)
    )
    return {row.subscription_id: _subscription(row._mapping) for row in await tx.execute(query)}


async def load_reversed(tx: AsyncConnection, label: int, master_id: int) -> Subscription | None:
    """The oldest running subscription of a master whose settings reverse; None: there is none."""
    query = (
        _rows(label)
        .where(ROWS.c.master_id == master_id, ROWS.c.state == SubscriptionState.RUNNING)
        .where(SETTINGS.c.settings.contains({"reverse": True}))
        .order_by(ROWS.c.subscription_id)
        .limit(1)
    )
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _subscription(row._mapping)


async def lock_account(tx: AsyncConnection, label: int, account_id: int) -> None:
    """Until the commit nobody else subscribes this account, to whatever master."""
    await tx.execute(LOCK_ACCOUNT, {"label": label, "account_id": account_id})


async def load_account_types(
    tx: AsyncConnection, label: int, account_id: int, except_master_id: int
) -> set[AccountType]:
    """The account types of the other masters that an account follows."""
    query = (
        select(tables.masters.c.account_type)
        .join(ROWS, ROWS.c.master_id == tables.masters.c.master_id)
        .where(
            ROWS.c.label == label,
            ROWS.c.account_id == account_id,
            ROWS.c.master_id != except_master_id,
            ROWS.c.state < SubscriptionState.ENDED,
        )
    )
    return {AccountType(row.account_type) for row in await tx.execute(query)}


async def list_subscriptions(
    tx: AsyncConnection, label: int, wanted: SubscriptionFilter, *, after: int, limit: int
) -> list[Subscription]:
    """In id order, those with an id above `after`."""
    query = _rows(label).where(ROWS.c.subscription_id > after)
    if wanted.master_id:
        query = query.where(ROWS.c.master_id == wanted.master_id)
    if wanted.wallet_account_id:
        query = query.where(ROWS.c.wallet_account_id == wanted.wallet_account_id)
    if not wanted.with_ended:
        query = query.where(ROWS.c.state < SubscriptionState.ENDED)
    result = await tx.execute(query.order_by(ROWS.c.subscription_id).limit(limit))
    return [_subscription(row._mapping) for row in result]


async def save_subscriptions(tx: AsyncConnection, subscriptions: Sequence[Subscription]) -> None:
    """Writes what may change of subscriptions that were loaded for update."""
    changeable = ("active", *PARAMETERS, "copy_settings_id", "state", "end_time", "version")
    settings_ids: dict[Any, int] = {}
    rows = []
    for subscription in subscriptions:
        if subscription.settings not in settings_ids:
            settings_ids[subscription.settings] = await save_settings(tx, subscription.settings)
        values = _columns(subscription, settings_ids[subscription.settings])
        rows.append({f"new_{name}": values[name] for name in changeable} | {"id": subscription.subscription_id})
    if rows:
        statement = update(ROWS).where(ROWS.c.subscription_id == bindparam("id"))
        await tx.execute(statement.values({name: bindparam(f"new_{name}") for name in changeable}), rows)


async def load_parameter_sums(tx: AsyncConnection, master_id: int) -> ParameterSums:
    """Of a master whose row is locked, so that they stand until the commit."""
    query = select(func.coalesce(func.sum(ROWS.c.lot_e8), 0), func.coalesce(func.sum(ROWS.c.percent_e8), 0)).where(
        ROWS.c.master_id == master_id, ROWS.c.active
    )
    lot_e8, percent_e8 = (await tx.execute(query)).one()
    return ParameterSums(int(lot_e8), int(percent_e8))


def _rows(label: int) -> Select[Any]:
    joined = ROWS.join(SETTINGS, SETTINGS.c.copy_settings_id == ROWS.c.copy_settings_id)
    return select(ROWS, SETTINGS.c.settings).select_from(joined).where(ROWS.c.label == label)


async def _values(tx: AsyncConnection, subscription: Subscription) -> dict[str, Any]:
    values = _columns(subscription, await save_settings(tx, subscription.settings))
    del values["subscription_id"]
    return values


def _columns(subscription: Subscription, settings_id: int) -> dict[str, Any]:
    own = {
        column.name: getattr(subscription, column.name)
        for column in ROWS.columns
        if column.name not in (*PARAMETERS, "copy_settings_id")
    }
    parameters = {name: getattr(subscription.parameters, name) for name in PARAMETERS}
    return own | parameters | {"copy_settings_id": settings_id}


def _subscription(row: Mapping[Any, Any]) -> Subscription:
    parameters = Parameters(row["ratio_e8"], row["lot_e8"], row["percent_e8"], LotMode(row["lot_mode"]))
    own = {column.name: row[column.name] for column in ROWS.columns if column.name not in MAPPED}
    return Subscription(
        **own,
        parameters=parameters,
        settings=parse_settings(row["settings"]),
        state=SubscriptionState(row["state"]),
    )
