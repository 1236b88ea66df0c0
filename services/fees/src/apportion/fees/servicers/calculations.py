"""apportion.api.fees.v1.CalculationsService."""

from __future__ import annotations

from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.fees.v1 import calculations_pb2, calculations_pb2_grpc
from apportion.fees import wire
from apportion.fees.operations.list_calculations import list_calculations
from apportion.money import INT64_MAX
from apportion.rpc import caller
from apportion.storage import decode_page_token, encode_page_token, page_size, query_hash

Context = grpc.aio.ServicerContext[Any, Any]


class CalculationsServicer(calculations_pb2_grpc.CalculationsServiceServicer):
    """Parse, call, render."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def ListCalculations(  # noqa: N802 (the RPC's name)
        self, request: calculations_pb2.ListCalculationsRequest, context: Context
    ) -> calculations_pb2.ListCalculationsResponse:
        wanted, limit = wire.parse_list_calculations(caller().label, request), page_size(request.page_size)
        query = query_hash("ListCalculations", wanted)
        (before,) = decode_page_token(request.page_token, query) or (INT64_MAX,)
        page, last = await list_calculations(self._engine, wanted, before=int(before), limit=limit)
        token = "" if last is None else encode_page_token(query, (last,))
        rows = map(wire.render_calculation, page)
        return calculations_pb2.ListCalculationsResponse(calculations=rows, next_page_token=token)
