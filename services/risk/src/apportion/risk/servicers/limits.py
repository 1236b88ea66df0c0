"""apportion.api.risk.v1.LimitsService."""

from __future__ import annotations

from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.risk.v1 import limits_pb2, limits_pb2_grpc
from apportion.risk import wire
from apportion.risk.operations.get_daily_limit import get_daily_limit
from apportion.risk.operations.list_daily_limits import last_equities, list_daily_limits
from apportion.risk.operations.ports import AccountStatesSource, Masters
from apportion.risk.operations.set_daily_limit import set_daily_limit
from apportion.rpc import caller, parse_id
from apportion.runtime import Clock
from apportion.storage import Page

Context = grpc.aio.ServicerContext[Any, Any]


class LimitsServicer(limits_pb2_grpc.LimitsServiceServicer):
    """Parse, call, render."""

    def __init__(self, engine: AsyncEngine, masters: Masters, states: AccountStatesSource, clock: Clock) -> None:
        self._engine = engine
        self._masters = masters
        self._states = states
        self._clock = clock

    async def SetDailyLimit(  # noqa: N802 (the RPC's name)
        self, request: limits_pb2.SetDailyLimitRequest, context: Context
    ) -> limits_pb2.SetDailyLimitResponse:
        command = wire.parse_set_daily_limit(request)
        limit = await set_daily_limit(self._engine, self._masters, command, now=self._clock.now())
        (equity,) = await last_equities(self._states, [limit])
        return limits_pb2.SetDailyLimitResponse(daily_limit=wire.render_daily_limit(limit, equity))

    async def GetDailyLimit(  # noqa: N802
        self, request: limits_pb2.GetDailyLimitRequest, context: Context
    ) -> limits_pb2.GetDailyLimitResponse:
        master_id = parse_id(request.master_id, "master_id")
        limit, equity = await get_daily_limit(self._engine, self._states, caller().label, master_id)
        return limits_pb2.GetDailyLimitResponse(daily_limit=wire.render_daily_limit(limit, equity))

    async def ListDailyLimits(  # noqa: N802
        self, request: limits_pb2.ListDailyLimitsRequest, context: Context
    ) -> limits_pb2.ListDailyLimitsResponse:
        label = caller().label
        page = Page(request.page_size, request.page_token, "ListDailyLimits", label)
        found = await list_daily_limits(self._engine, self._states, label, after=page.after_id, limit=page.limit)
        shown, token = page.cut(found, lambda row: row[0].master_id)
        rows = [wire.render_daily_limit(limit, equity) for limit, equity in shown]
        return limits_pb2.ListDailyLimitsResponse(daily_limits=rows, next_page_token=token)
