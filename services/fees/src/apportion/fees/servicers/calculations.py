"""apportion.api.fees.v1.CalculationsService."""

from __future__ import annotations

from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.fees.v1 import calculations_pb2, calculations_pb2_grpc
from apportion.fees import wire
from apportion.fees.operations.list_calculations import list_calculations
from apportion.rpc import caller
from apportion.storage import NEWEST_FIRST, Page

Context = grpc.aio.ServicerContext[Any, Any]


class CalculationsServicer(calculations_pb2_grpc.CalculationsServiceServicer):
    """Parse, call, render."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def ListCalculations(  # noqa: N802 (the RPC's name)
        self, request: calculations_pb2.ListCalculationsRequest, context: Context
    ) -> calculations_pb2.ListCalculationsResponse:
        wanted = wire.parse_list_calculations(caller().label, request)
        page = Page(request.page_size, request.page_token, "ListCalculations", wanted, start=NEWEST_FIRST)
        found = await list_calculations(self._engine, wanted, before=page.after_id, limit=page.limit)
        shown, token = page.cut(found, lambda calculation: calculation.calculation_id)
        rows = map(wire.render_calculation, shown)
        return calculations_pb2.ListCalculationsResponse(calculations=rows, next_page_token=token)
