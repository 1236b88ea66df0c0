"""Rows of brokers, areas and API passwords."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from ipaddress import ip_network
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.auth_gateway.domain.brokers import Broker, BrokerState, NewBroker
from apportion.auth_gateway.domain.passwords import ApiPassword, HashKind
from apportion.auth_gateway.errors import BrokerExists
from apportion.auth_gateway.storage.tables import api_passwords, areas, audit, brokers
from apportion.errors import NotFound
from apportion.storage import constraint_errors


async def insert_broker(tx: AsyncConnection, new: NewBroker) -> None:
    """Write an active broker. Raises BrokerExists when its label or name is taken."""
    taken = BrokerExists(label=new.label)
    with constraint_errors({"brokers_pk": taken, "brokers_name_unique": taken}):
        await tx.execute(
            brokers.insert().values(
                label=new.label,
                name=new.name,
                state=BrokerState.ACTIVE.value,
                default_language=new.default_language,
                token_ttl_seconds=new.token_ttl_seconds,
                address_allow_list=list(new.address_allow_list),
            )
        )


async def lock_broker(tx: AsyncConnection, label: int) -> Broker:
    """The broker, locked until the transaction ends. Raises NotFound."""
    if (await tx.execute(sa.select(brokers.c.label).where(brokers.c.label == label).with_for_update())).first() is None:
        raise NotFound("broker", label)
    return (await list_brokers(tx, label))[0]


async def list_brokers(tx: AsyncConnection, label: int | None = None) -> list[Broker]:
    """All brokers, or the one with this label, with their areas and passwords, by label."""
    rows = (await tx.execute(_of(brokers, label).order_by(brokers.c.label))).mappings().all()
    urls: dict[int, list[str]] = defaultdict(list)
    for row in await tx.execute(_of(areas, label).order_by(areas.c.area_id)):
        urls[row.label].append(row.url)
    passwords: dict[int, list[ApiPassword]] = defaultdict(list)
    for row in await tx.execute(_of(api_passwords, label).order_by(api_passwords.c.password_id)):
        passwords[row.label].append(
            ApiPassword(row.password_id, HashKind(row.hash_kind), row.digest, row.valid_from_time, row.valid_until_time)
        )
    return [_broker(dict(row), urls[row["label"]], passwords[row["label"]]) for row in rows]


async def insert_area(tx: AsyncConnection, label: int, url: str) -> None:
    """Register an area; nothing happens when it is registered already."""
    # the identity column keeps the order of registration
    known = sa.select(areas.c.area_id).where(areas.c.label == label, areas.c.url == url)
    if (await tx.execute(known)).first() is None:
        await tx.execute(areas.insert().values(label=label, url=url))


async def delete_area(tx: AsyncConnection, label: int, url: str) -> None:
    """Withdraw an area. Raises NotFound when it was not registered."""
    if (await tx.execute(areas.delete().where(areas.c.label == label, areas.c.url == url))).rowcount == 0:
        raise NotFound("area", url)


async def save_extra_origins(tx: AsyncConnection, label: int, origins: Iterable[str]) -> None:
    """Replace the origins that may call the gateway besides those of the areas."""
    await tx.execute(brokers.update().where(brokers.c.label == label).values(extra_origins=sorted(set(origins))))


async def save_state(tx: AsyncConnection, label: int, state: BrokerState) -> None:
    """Enable or disable."""
    await tx.execute(brokers.update().where(brokers.c.label == label).values(state=state.value))


async def insert_password(
    tx: AsyncConnection, label: int, hash_kind: HashKind, digest: bytes, valid_from_time: datetime
) -> int:
    """Write a password that is valid from then on, without an end; its id."""
    row = await tx.execute(
        api_passwords.insert()
        .values(label=label, hash_kind=hash_kind.value, digest=digest, valid_from_time=valid_from_time)
        .returning(api_passwords.c.password_id)
    )
    return int(row.scalar_one())


async def end_password(tx: AsyncConnection, password_id: int, valid_until_time: datetime) -> None:
    """Set the instant from which a password is no longer valid."""
    await tx.execute(
        api_passwords.update()
        .where(api_passwords.c.password_id == password_id)
        .values(valid_until_time=sa.func.greatest(api_passwords.c.valid_from_time, valid_until_time))
    )


async def append_audit(
    tx: AsyncConnection, *, label: int, actor: str, action: str, now: datetime, **detail: object
) -> None:
    """Add one line to the audit log, in the transaction of what it tells. Never pass a secret."""
    await tx.execute(audit.insert().values(label=label, actor=actor, action=action, detail=detail, recorded_time=now))


def _of(table: sa.Table, label: int | None) -> sa.Select[Any]:
    query = sa.select(table)
    return query if label is None else query.where(table.c.label == label)


def _broker(row: dict[str, Any], urls: list[str], passwords: list[ApiPassword]) -> Broker:
    return Broker(
        label=row["label"],
        name=row["name"],
        state=BrokerState(row["state"]),
        default_language=row["default_language"],
        token_ttl_seconds=row["token_ttl_seconds"],
        areas=tuple(urls),
        extra_origins=tuple(row["extra_origins"]),
        address_allow_list=tuple(map(ip_network, row["address_allow_list"])),
        passwords=tuple(passwords),
    )
