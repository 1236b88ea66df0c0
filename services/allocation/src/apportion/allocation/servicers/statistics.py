"""apportion.api.allocation.v1.StatisticsService."""

from __future__ import annotations

from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.operations.get_equity_curve import get_equity_curve
from apportion.allocation.operations.get_statistics import get_statistics
from apportion.allocation.operations.list_leaderboard import list_leaderboard
from apportion.allocation.wire import statistics as wire
from apportion.allocation.wire.history import parse_owner
from apportion.api.allocation.v1 import statistics_pb2, statistics_pb2_grpc
from apportion.money import INT64_MAX
from apportion.rpc import CHUNK_ROWS, caller
from apportion.storage import Page

Context = grpc.aio.ServicerContext[Any, Any]
THE_BEST = (INT64_MAX, 0)
"""Before all keys of the leaderboard."""


class StatisticsServicer(statistics_pb2_grpc.StatisticsServiceServicer):
    """Parse, call, render."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def GetStatistics(  # noqa: N802 (the RPC's name)
        self, request: statistics_pb2.GetStatisticsRequest, context: Context
    ) -> statistics_pb2.GetStatisticsResponse:
        owner, (first_day, last_day) = parse_owner(request), wire.parse_span(request)
        statistics, currency_code = await get_statistics(
            self._engine, caller().label, owner, first_day=first_day, last_day=last_day
        )
        return statistics_pb2.GetStatisticsResponse(statistics=wire.render_statistics(statistics, currency_code))

    async def GetEquityCurve(  # noqa: N802
        self, request: statistics_pb2.GetEquityCurveRequest, context: Context
    ) -> statistics_pb2.GetEquityCurveResponse:
        owner, (first_day, last_day) = parse_owner(request), wire.parse_span(request)
        days = await get_equity_curve(
            self._engine, caller().label, owner, first_day=first_day, last_day=last_day, limit=CHUNK_ROWS
        )
        return wire.render_curve(days)

    async def ListLeaderboard(  # noqa: N802
        self, request: statistics_pb2.ListLeaderboardRequest, context: Context
    ) -> statistics_pb2.ListLeaderboardResponse:
        label = caller().label
        order, wanted = wire.parse_leaderboard(request)
        page = Page(request.page_size, request.page_token, "ListLeaderboard", label, order, wanted, start=THE_BEST)
        sort_key, master_id = map(int, page.cursor)
        found = await list_leaderboard(
            self._engine, label, order, wanted, after=(sort_key, master_id), limit=page.limit
        )
        shown, token = page.cut(found, lambda row: (row.sort_key, row.master_id))
        rows = map(wire.render_leaderboard_row, shown)
        return statistics_pb2.ListLeaderboardResponse(rows=rows, next_page_token=token)
