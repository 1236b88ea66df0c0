"""Newest account states of the trading servers: followed through Redis, asked for where nothing is heard."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import numpy as np
import structlog

from apportion.allocation.domain.accounts import AccountStates
from apportion.api.platform_groups.v1 import accounts_pb2_grpc, events_pb2
from apportion.errors import DomainError, UpstreamUnavailable
from apportion.events import Redis, WeatherCell
from apportion.events.account_states import ask_account_states
from apportion.events.weather import accounts_key
from apportion.money import Int64Array
from apportion.rpc import column, from_timestamp
from apportion.runtime import Background

log = structlog.get_logger()

ASK_PAUSE_SECONDS = 1.0


class LiveStates:
    """Follows each server from its first question on; a snapshot is parsed once."""

    def __init__(self, redis: Redis, background: Background, platform: grpc.aio.Channel, ask_seconds: float) -> None:
        self._redis = redis
        self._background = background
        self._stub = accounts_pb2_grpc.AccountsServiceStub(platform)
        self._ask_seconds = ask_seconds
        self._cells: dict[int, WeatherCell] = {}
        self._parsed: dict[int, tuple[int, AccountStates]] = {}
        self._asked: dict[int, AccountStates] = {}
        self._asking: dict[int, asyncio.Task[None]] = {}
        self._answered_at: dict[int, float] = {}

    async def newest(self, trading_server_id: int) -> AccountStates | None:
        """From memory, but for the first question about a server; None while nothing was heard of it."""
        heard, asked = await self._heard(trading_server_id), self._asked.get(trading_server_id)
        if heard is None or (asked is not None and asked.observed_time > heard.observed_time):
            return asked
        return heard

    async def ask(self, label: int, trading_server_id: int) -> None:
        """Ask the server itself, at most once a second for all who want to know; `newest` then tells what it said.

        Where it cannot be asked, nothing is known that was not known before.
        """
        asking = self._asking.get(trading_server_id)
        if asking is None or asking.done():
            answered_at = self._answered_at.get(trading_server_id)
            if answered_at is not None and asyncio.get_running_loop().time() - answered_at < ASK_PAUSE_SECONDS:
                return
            asking = self._asking[trading_server_id] = asyncio.create_task(self._ask(label, trading_server_id))
        await asyncio.shield(asking)

    async def _ask(self, label: int, trading_server_id: int) -> None:
        try:
            states = await ask_account_states(self._stub, label, trading_server_id, call_seconds=self._ask_seconds)
            self._asked[trading_server_id] = _parse(states, self._asked.get(trading_server_id))
        except DomainError as error:
            log.warning("account_states_not_asked", trading_server_id=trading_server_id, cause=str(error))
        finally:
            self._answered_at[trading_server_id] = asyncio.get_running_loop().time()

    async def _heard(self, trading_server_id: int) -> AccountStates | None:
        cell = self._cells.get(trading_server_id)
        if cell is None:
            cell = self._cells[trading_server_id] = WeatherCell(self._redis, accounts_key(trading_server_id))
            self._background.spawn(f"weather_{trading_server_id}", cell.run)
        latest = cell.latest()
        if latest is None:
            await self._read(cell)
            latest = cell.latest()
        if latest is None:
            return None
        version, payload = latest
        known = self._parsed.get(trading_server_id)
        if known is None or known[0] != version:
            message = events_pb2.AccountStates.FromString(payload)
            known = (version, _parse(message, None if known is None else known[1]))
            self._parsed[trading_server_id] = known
        return known[1]

    async def _read(self, cell: WeatherCell) -> None:
        try:
            await cell.read()
        except UpstreamUnavailable as error:
            log.warning("account_states_unavailable", cause=str(error))


def _parse(message: events_pb2.AccountStates, before: AccountStates | None) -> AccountStates:
    account_ids = column(message.account_ids)
    if before is not None and np.array_equal(before.account_ids, account_ids):
        # The same array as before: what was aligned with it still is, at the cost of a look.
        account_ids = before.account_ids
    return AccountStates(
        observed_time=from_timestamp(message.observed_time, "observed_time"),
        account_ids=account_ids,
        balances_minor=_column(message.balances_minor, account_ids.size),
        equities_minor=_column(message.equities_minor, account_ids.size),
        margins_minor=_column(message.margins_minor, account_ids.size),
        free_margins_minor=_column(message.free_margins_minor, account_ids.size),
        leverages=_column(message.leverages, account_ids.size),
        server_time_ms=message.server_time_ms,
    )


def _column(values: Any, length: int) -> Int64Array:
    """A column that an older publisher did not fill is all 0."""
    return column(values).astype(np.int64, copy=False) if len(values) else np.zeros(length, dtype=np.int64)
