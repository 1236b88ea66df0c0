"""Rows of trading servers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.errors import NotFound
from apportion.platform_groups.domain.states import ConnectionState, ServerKind, ServerType
from apportion.platform_groups.domain.trading_servers import Registration, TradingServer
from apportion.platform_groups.errors import NameTaken
from apportion.storage import constraint_errors

COLUMNS = """trading_server_id, label, name, type, kind, host, port, time_zone, manager_login, region,
    liquidity_provider, connection_state, last_contact_time, create_time"""


@dataclass(frozen=True, slots=True)
class SealedServer:
    """A server with its credentials as stored: only the vault can open them."""

    server: TradingServer
    ca_certificate_pem: str
    manager_password_sealed: bytes = field(repr=False)


async def next_server_id(tx: AsyncConnection) -> int:
    """The id of a server before its row exists: its credentials are sealed to it."""
    sequence = "pg_get_serial_sequence('trading_servers', 'trading_server_id')"
    return int((await tx.execute(text(f"SELECT nextval({sequence})"))).scalar_one())


async def insert_server(
    tx: AsyncConnection,
    trading_server_id: int,
    label: int,
    registration: Registration,
    *,
    manager_password_sealed: bytes,
    api_key_sealed: bytes | None,
    now: datetime,
) -> None:
    """Raises NameTaken."""
    values = {
        "trading_server_id": trading_server_id,
        "label": label,
        "name": registration.name,
        "type": int(registration.type),
        "kind": int(registration.kind),
        "host": registration.host,
        "port": registration.port,
        "time_zone": registration.time_zone,
        "manager_login": registration.manager_login,
        "manager_password_sealed": manager_password_sealed,
        "api_key_sealed": api_key_sealed,
        "ca_certificate_pem": registration.ca_certificate_pem,
        "region": registration.region,
        "liquidity_provider": registration.liquidity_provider,
        "create_time": now,
    }
    taken = NameTaken(f"a trading server is named {registration.name!r} already", name=registration.name)
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    with constraint_errors({"trading_servers_name_key": taken}):
        await tx.execute(text(f"INSERT INTO trading_servers ({names}) VALUES ({marks})"), values)


async def load_server(tx: AsyncConnection, label: int, trading_server_id: int) -> TradingServer:
    """Raises NotFound."""
    query = text(f"SELECT {COLUMNS} FROM trading_servers WHERE label = :label AND trading_server_id = :id")
    row = (await tx.execute(query, {"label": label, "id": trading_server_id})).one_or_none()
    if row is None:
        raise NotFound("trading server", trading_server_id)
    return _server(row)


async def list_servers(tx: AsyncConnection, label: int, after_id: int, limit: int) -> list[TradingServer]:
    query = text(
        f"""SELECT {COLUMNS} FROM trading_servers WHERE label = :label AND trading_server_id > :after_id
        ORDER BY trading_server_id LIMIT :limit"""
    )
    return [_server(row) for row in await tx.execute(query, {"label": label, "after_id": after_id, "limit": limit})]


async def list_server_ids(tx: AsyncConnection) -> list[int]:
    """Of all labels: what the workers serve."""
    return list((await tx.execute(text("SELECT trading_server_id FROM trading_servers ORDER BY 1"))).scalars())


async def load_sealed(tx: AsyncConnection, trading_server_id: int) -> SealedServer:
    """For the adapter alone. Raises NotFound."""
    query = text(
        f"""SELECT {COLUMNS}, ca_certificate_pem, manager_password_sealed FROM trading_servers
        WHERE trading_server_id = :id"""
    )
    row = (await tx.execute(query, {"id": trading_server_id})).one_or_none()
    if row is None:
        raise NotFound("trading server", trading_server_id)
    return SealedServer(_server(row), row.ca_certificate_pem, bytes(row.manager_password_sealed))


async def save_connection(
    tx: AsyncConnection, trading_server_id: int, state: ConnectionState, last_contact_time: datetime | None
) -> None:
    query = text(
        """UPDATE trading_servers SET connection_state = :state,
        last_contact_time = COALESCE(:last_contact_time, last_contact_time) WHERE trading_server_id = :id"""
    )
    values = {"id": trading_server_id, "state": int(state), "last_contact_time": last_contact_time}
    await tx.execute(query, values)


def _server(row: Row[Any]) -> TradingServer:
    return TradingServer(
        trading_server_id=row.trading_server_id,
        label=row.label,
        name=row.name,
        type=ServerType(row.type),
        kind=ServerKind(row.kind),
        host=row.host,
        port=row.port,
        time_zone=row.time_zone,
        manager_login=row.manager_login,
        region=row.region,
        liquidity_provider=row.liquidity_provider,
        connection_state=ConnectionState(row.connection_state),
        last_contact_time=row.last_contact_time,
        create_time=row.create_time,
    )


async def save_comments_hidden(tx: AsyncConnection, trading_server_id: int, hidden: bool) -> None:
    """Whether the manager was last seen not to be shown the comments of accounts."""
    query = text(
        """UPDATE trading_servers SET comments_hidden = :hidden
        WHERE trading_server_id = :id AND comments_hidden <> :hidden"""
    )
    await tx.execute(query, {"id": trading_server_id, "hidden": hidden})


async def are_comments_hidden(tx: AsyncConnection, trading_server_id: int) -> bool:
    query = text("SELECT comments_hidden FROM trading_servers WHERE trading_server_id = :id")
    return bool((await tx.execute(query, {"id": trading_server_id})).scalar_one())
