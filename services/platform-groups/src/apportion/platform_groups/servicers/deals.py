"""DealsService."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.platform_groups.v1 import deals_pb2, deals_pb2_grpc
from apportion.platform_groups.operations.batch_get_deals import batch_get_deals
from apportion.platform_groups.operations.ports import TradingServersPort
from apportion.platform_groups.wire.deals import parse_positions, render_deals
from apportion.rpc import caller
from apportion.runtime import Clock


@dataclass(frozen=True, slots=True)
class DealsServicer(deals_pb2_grpc.DealsServiceServicer):
    engine: AsyncEngine
    servers: TradingServersPort
    clock: Clock

    async def BatchGetDeals(  # noqa: N802
        self, request: deals_pb2.BatchGetDealsRequest, context: Any
    ) -> deals_pb2.BatchGetDealsResponse:
        positions = parse_positions(request)
        asked_time = self.clock.now()
        found = await batch_get_deals(self.engine, self.servers, caller().label, *positions)
        return deals_pb2.BatchGetDealsResponse(deals=render_deals(found, asked_time))
