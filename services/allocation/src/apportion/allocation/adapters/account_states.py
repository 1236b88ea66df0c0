"""Newest account states of the trading servers: followed through Redis, asked for where nothing is heard."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import structlog

from apportion.allocation.adapters.weather import ServerWeather
from apportion.allocation.domain.accounts import AccountStates
from apportion.api.platform_groups.v1 import accounts_pb2_grpc, events_pb2
from apportion.errors import DomainError
from apportion.events import Redis
from apportion.events.account_states import ask_account_states
from apportion.events.weather import accounts_key
from apportion.money import Int64Array
from apportion.rpc import column, from_timestamp
from apportion.runtime import Background

log = structlog.get_logger()

ASK_PAUSE_SECONDS = 1.0


@dataclass(slots=True)
class _Asked:
    """What one server said when it was asked."""

    states: AccountStates | None = None
    question: asyncio.Task[None] | None = None
    answered_at: float = -math.inf
    """By the clock of the event loop; a question that failed is answered too."""


class LiveStates:
    """The newer of what was heard of a server and what it said when it was asked."""

    def __init__(self, redis: Redis, background: Background, platform: grpc.aio.Channel, ask_seconds: float) -> None:
        self._heard = ServerWeather(redis, background, accounts_key, _parse_payload)
        self._stub = accounts_pb2_grpc.AccountsServiceStub(platform)
        self._ask_seconds = ask_seconds
        self._asked: defaultdict[int, _Asked] = defaultdict(_Asked)

    async def newest(self, trading_server_id: int) -> AccountStates | None:
        """From memory, once something was heard of the server; None while nothing is known of it."""
        heard, asked = await self._heard.newest(trading_server_id), self._asked[trading_server_id].states
        if heard is None or (asked is not None and asked.observed_time > heard.observed_time):
            return asked
        return heard

    async def ask(self, label: int, trading_server_id: int) -> None:
        """Ask the server itself, at most once a second for all who want to know; `newest` then tells what it said.

        Where it cannot be asked, nothing is known that was not known before.
        """
        asked = self._asked[trading_server_id]
        if asked.question is None or asked.question.done():
            if asyncio.get_running_loop().time() - asked.answered_at < ASK_PAUSE_SECONDS:
                return
            asked.question = asyncio.create_task(self._ask(label, trading_server_id, asked))
        await asyncio.shield(asked.question)

    async def _ask(self, label: int, trading_server_id: int, asked: _Asked) -> None:
        try:
            states = await ask_account_states(self._stub, label, trading_server_id, call_seconds=self._ask_seconds)
            asked.states = _parse(states, asked.states)
        except DomainError as error:
            log.warning("account_states_not_asked", trading_server_id=trading_server_id, cause=str(error))
        finally:
            asked.answered_at = asyncio.get_running_loop().time()


def _parse_payload(payload: bytes, before: AccountStates | None) -> AccountStates:
    return _parse(events_pb2.AccountStates.FromString(payload), before)


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
