"""apportion.api.risk.v1.LimitsService."""

from __future__ import annotations

from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.risk.v1 import limits_pb2, limits_pb2_grpc
from apportion.risk import wire
from apportion.risk.operations.get_daily_limit import get_daily_limit
from apportion.risk.operations.list_daily_limits import last_equities, list_daily_limits
from apportion.risk.operations.ports import Masters, Weather
from apportion.risk.operations.set_daily_limit import set_daily_limit
from apportion.rpc import caller
from apportion.runtime import Clock
from apportion.storage import decode_page_token, encode_page_token, page_size, query_hash

Context = grpc.aio.ServicerContext[Any, Any]


class LimitsServicer(limits_pb2_grpc.LimitsServiceServicer):
    """Parse, call, render."""

    def __init__(self, engine: AsyncEngine, masters: Masters, weather: Weather, clock: Clock) -> None:
        self._engine = engine
        self._masters = masters
        self._weather = weather
        self._clock = clock

    async def SetDailyLimit(  # noqa: N802 (the RPC's name)
        self, request: limits_pb2.SetDailyLimitRequest, context: Context
    ) -> limits_pb2.SetDailyLimitResponse:
        command = wire.parse_set_daily_limit(request)
        limit = await set_daily_limit(self._engine, self._masters, command, now=self._clock.now())
        (equity,) = await last_equities(self._weather, [limit])
        return limits_pb2.SetDailyLimitResponse(daily_limit=wire.render_daily_limit(limit, equity))

    async def GetDailyLimit(  # noqa: N802
        self, request: limits_pb2.GetDailyLimitRequest, context: Context
    ) -> limits_pb2.GetDailyLimitResponse:
        master_id = wire.parse_get_daily_limit(request)
        limit, equity = await get_daily_limit(self._engine, self._weather, caller().label, master_id)
        return limits_pb2.GetDailyLimitResponse(daily_limit=wire.render_daily_limit(limit, equity))

    async def ListDailyLimits(  # noqa: N802
        self, request: limits_pb2.ListDailyLimitsRequest, context: Context
    ) -> limits_pb2.ListDailyLimitsResponse:
        label, size = caller().label, page_size(request.page_size)
        query = query_hash("ListDailyLimits", label)
        (after,) = decode_page_token(request.page_token, query) or (0,)
        page, last = await list_daily_limits(self._engine, self._weather, label, after=int(after), limit=size)
        token = "" if last is None else encode_page_token(query, (last,))
        rows = [wire.render_daily_limit(limit, equity) for limit, equity in page]
        return limits_pb2.ListDailyLimitsResponse(daily_limits=rows, next_page_token=token)
