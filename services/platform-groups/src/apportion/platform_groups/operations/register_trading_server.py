"""Register a trading server; its credentials are sealed to its row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.trading_servers import Registration, TradingServer, check_registration
from apportion.platform_groups.operations.ports import HostsPort, VaultPort
from apportion.platform_groups.storage.trading_servers import insert_server, load_server, next_server_id
from apportion.storage import RequestKey, claim_request, store_answer, transaction

TABLE = "trading_servers"
PASSWORD_FIELD = "manager_password"  # noqa: S105  # the name of a column
API_KEY_FIELD = "api_key"


@dataclass(frozen=True, slots=True)
class ServerRef:
    """The stored answer."""

    trading_server_id: int


async def register_trading_server(
    engine: AsyncEngine,
    vault: VaultPort,
    hosts: HostsPort,
    key: RequestKey,
    registration: Registration,
    *,
    now: datetime,
) -> TradingServer:
    """Raises PortRange, TimezoneUnknown, ServerTypeUnsupported, HostNotAllowed, NameTaken."""
    check_registration(registration)
    await hosts.check(registration.host)
    async with transaction(engine) as tx:
        stored = await claim_request(tx, key, ServerRef, now=now)
        if stored is not None:
            return await load_server(tx, key.label, stored.trading_server_id)
        server_id = await next_server_id(tx)
        password = vault.seal(
            registration.manager_password, table=TABLE, label=key.label, row_id=server_id, field=PASSWORD_FIELD
        )
        api_key = vault.seal(registration.api_key, table=TABLE, label=key.label, row_id=server_id, field=API_KEY_FIELD)
        await insert_server(
            tx,
            server_id,
            key.label,
            registration,
            manager_password_sealed=password,
            api_key_sealed=api_key if registration.api_key else None,
            now=now,
        )
        await store_answer(tx, key, ServerRef(server_id))
        return await load_server(tx, key.label, server_id)
