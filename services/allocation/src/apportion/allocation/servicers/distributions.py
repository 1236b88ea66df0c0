"""apportion.api.allocation.v1.DistributionsService."""

from __future__ import annotations

from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.distributions import DistributionFilter
from apportion.allocation.operations.get_distribution import get_distribution
from apportion.allocation.operations.list_distributions import list_distributions
from apportion.allocation.wire.distributions import render_distribution, render_page
from apportion.api.allocation.v1 import distributions_pb2, distributions_pb2_grpc
from apportion.rpc import caller, parse_filters, parse_id
from apportion.storage import NEWEST_FIRST, Page, page_size

Context = grpc.aio.ServicerContext[Any, Any]


class DistributionsServicer(distributions_pb2_grpc.DistributionsServiceServicer):
    """Parse, call, render."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def GetDistribution(  # noqa: N802 (the RPC's name)
        self, request: distributions_pb2.GetDistributionRequest, context: Context
    ) -> distributions_pb2.GetDistributionResponse:
        allocation_id = parse_id(request.allocation_id, "allocation_id")
        parse_filters(first_row_index=request.first_row_index)
        first, limit = request.first_row_index, page_size(request.page_size)
        return render_page(
            await get_distribution(self._engine, caller().label, allocation_id, first=first, limit=limit)
        )

    async def ListDistributions(  # noqa: N802
        self, request: distributions_pb2.ListDistributionsRequest, context: Context
    ) -> distributions_pb2.ListDistributionsResponse:
        label = caller().label
        parse_filters(master_id=request.master_id)
        wanted = DistributionFilter(request.master_id, request.only_unpaid, request.only_undistributed)
        page = Page(request.page_size, request.page_token, "ListDistributions", label, wanted, start=NEWEST_FIRST)
        found = await list_distributions(self._engine, label, wanted, before=page.after_id, limit=page.limit)
        shown, token = page.cut(found, lambda row: row[0].allocation_id)
        rows = [render_distribution(distribution, unpaid) for distribution, unpaid in shown]
        return distributions_pb2.ListDistributionsResponse(distributions=rows, next_page_token=token)
