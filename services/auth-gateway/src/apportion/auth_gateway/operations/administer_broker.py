"""What operators do to brokers from the command line. Each step is one transaction with its audit line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.auth_gateway.domain.areas import parse_area, parse_origin
from apportion.auth_gateway.domain.brokers import Broker, BrokerState, NewBroker
from apportion.auth_gateway.domain.passwords import (
    GENERATED_BYTES,
    MAX_SECRET_BYTES,
    VALID_AT_ONCE,
    HashKind,
    render_password,
)
from apportion.auth_gateway.errors import BrokerFieldInvalid, RotationOpen
from apportion.auth_gateway.operations.check_password import PasswordCheck
from apportion.auth_gateway.operations.ports import RandomBytes
from apportion.auth_gateway.storage.brokers import (
    append_audit,
    delete_area,
    end_password,
    insert_area,
    insert_broker,
    insert_password,
    list_brokers,
    lock_broker,
    save_extra_origins,
    save_state,
)
from apportion.runtime import Clock
from apportion.storage import transaction


@dataclass(frozen=True, slots=True)
class BrokerOffice:
    """What administration needs; `actor` is who does it, for the audit."""

    engine: AsyncEngine
    clock: Clock
    random: RandomBytes
    passwords: PasswordCheck
    actor: str


async def create_broker(office: BrokerOffice, new: NewBroker, areas: list[str]) -> str:
    """Write a broker with its areas; its generated password, told this once. Raises AreaInvalid, BrokerExists."""
    urls = [parse_area(area) for area in areas]
    now = office.clock.now()
    async with transaction(office.engine) as tx:
        await insert_broker(tx, new)
        for url in urls:
            await insert_area(tx, new.label, url)
        await append_audit(
            tx, label=new.label, actor=office.actor, action="broker_created", now=now, name=new.name, areas=urls
        )
        return await _generate(tx, office, new.label, now)


async def add_area(office: BrokerOffice, label: int, area: str) -> str:
    """Register an area; the form in which it is compared. Raises AreaInvalid, NotFound."""
    url = parse_area(area)
    async with _changing(office, label, "area_added", url=url) as (tx, _broker, _now):
        await insert_area(tx, label, url)
    return url


async def remove_area(office: BrokerOffice, label: int, area: str) -> None:
    """Withdraw an area: links and pages of it stop working. Raises AreaInvalid, NotFound."""
    url = parse_area(area)
    async with _changing(office, label, "area_removed", url=url) as (tx, _broker, _now):
        await delete_area(tx, label, url)


async def allow_origin(office: BrokerOffice, label: int, origin: str) -> str:
    """Let pages of one more origin call the gateway. Raises AreaInvalid, NotFound."""
    parsed = parse_origin(origin)
    async with _changing(office, label, "origin_allowed", origin=parsed) as (tx, broker, _now):
        await save_extra_origins(tx, label, (*broker.extra_origins, parsed))
    return parsed


async def set_broker_state(office: BrokerOffice, label: int, state: BrokerState) -> None:
    """Disable or enable. Raises NotFound."""
    async with _changing(office, label, f"broker_{state.value}") as (tx, _broker, _now):
        await save_state(tx, label, state)


async def rotate_password(office: BrokerOffice, label: int, grace_seconds: int) -> str:
    """A new password, told this once; the old one stays valid for the grace. Raises NotFound, RotationOpen."""
    async with _changing(office, label, "password_rotated", grace_seconds=grace_seconds) as (tx, broker, now):
        await _end_current(tx, broker, now, grace_seconds)
        return await _generate(tx, office, label, now)


async def import_password(office: BrokerOffice, label: int, secret: bytes, grace_seconds: int) -> None:
    """Take over a password that rooms use already, kept as argon2id. Raises NotFound, RotationOpen."""
    if not 1 <= len(secret) <= MAX_SECRET_BYTES or secret.strip(b'" \t\r\n') != secret:
        raise BrokerFieldInvalid("a password has from 1 to 4096 bytes, no quotes or white space at its ends")
    encoded = await office.passwords.hash_slowly(secret)
    async with _changing(office, label, "password_imported", grace_seconds=grace_seconds) as (tx, broker, now):
        await _end_current(tx, broker, now, grace_seconds)
        await insert_password(tx, label, HashKind.ARGON2ID, encoded, now)


async def finish_rotation(office: BrokerOffice, label: int) -> None:
    """End all passwords but the newest at once. Raises NotFound."""
    async with _changing(office, label, "rotation_finished") as (tx, broker, now):
        for password in [p for p in broker.passwords if p.valid(now)][:-1]:
            await end_password(tx, password.password_id, now)


async def read_brokers(office: BrokerOffice) -> list[Broker]:
    """All brokers."""
    async with transaction(office.engine) as tx:
        return await list_brokers(tx)


@asynccontextmanager
async def _changing(
    office: BrokerOffice, label: int, action: str, **detail: object
) -> AsyncIterator[tuple[AsyncConnection, Broker, datetime]]:
    """One transaction on a locked broker, with its audit line."""
    now = office.clock.now()
    async with transaction(office.engine) as tx:
        broker = await lock_broker(tx, label)
        yield tx, broker, now
        await append_audit(tx, label=label, actor=office.actor, action=action, now=now, **detail)


async def _end_current(tx: AsyncConnection, broker: Broker, now: datetime, grace_seconds: int) -> None:
    valid = [password for password in broker.passwords if password.valid(now)]
    if len(valid) >= VALID_AT_ONCE:
        raise RotationOpen(label=broker.label)
    for password in valid:
        await end_password(tx, password.password_id, now + timedelta(seconds=grace_seconds))


async def _generate(tx: AsyncConnection, office: BrokerOffice, label: int, now: datetime) -> str:
    secret = render_password(office.random(GENERATED_BYTES))
    digest = office.passwords.digest(label, secret.encode("ascii"))
    await insert_password(tx, label, HashKind.HMAC_SHA256, digest, now)
    return secret
