"""Ask a trading server itself for the states of its accounts, for those who do not hear the weather."""

from __future__ import annotations

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.account_states import AccountStates
from apportion.platform_groups.operations.get_trading_server import get_trading_server
from apportion.platform_groups.operations.ports import TradingServersPort
from apportion.platform_groups.operations.read_account_states import StatesReader
from apportion.platform_groups.operations.server_calls import server_call
from apportion.platform_groups.storage.accounts import list_known_logins
from apportion.platform_groups.storage.platform_groups import list_server_groups
from apportion.runtime import Clock
from apportion.storage import transaction

FRESH_SECONDS = 1.0


async def get_account_states(
    engine: AsyncEngine, fresh: FreshStates, label: int, trading_server_id: int
) -> AccountStates:
    """A server and all accounts on it belong to one label. Raises NotFound, TradingServerUnavailable."""
    await get_trading_server(engine, label, trading_server_id)
    return await fresh.newest(trading_server_id)


class FreshStates:
    """One reading a second serves all who ask; those who ask while one is under way wait for it."""

    def __init__(self, engine: AsyncEngine, servers: TradingServersPort, clock: Clock) -> None:
        self._engine = engine
        self._servers = servers
        self._clock = clock
        self._readings: dict[int, tuple[float, asyncio.Task[AccountStates]]] = {}

    async def newest(self, trading_server_id: int) -> AccountStates:
        """Raises TradingServerUnavailable. A caller may leave; the reading goes on."""
        begun_at, reading = self._readings.get(trading_server_id, (0.0, None))
        now = self._clock.monotonic()
        if reading is None or (reading.done() and (now - begun_at >= FRESH_SECONDS or reading.exception() is not None)):
            reading = asyncio.create_task(self._read(trading_server_id), name=f"states-{trading_server_id}")
            self._readings[trading_server_id] = (now, reading)
        # asyncio.wait ends no task: neither with its caller nor with an error that nobody else would hear of.
        await asyncio.wait([reading])
        return reading.result()

    async def _read(self, trading_server_id: int) -> AccountStates:
        async with transaction(self._engine) as tx:
            groups = await list_server_groups(tx, trading_server_id)
            account_ids = {known.login: known.account_id for known in await list_known_logins(tx, trading_server_id)}
        with server_call(trading_server_id):
            server = await self._servers.reserved(trading_server_id)
            return await StatesReader(server, trading_server_id, self._clock).read(groups, account_ids)
