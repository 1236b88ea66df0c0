"""apportion.api.allocation.v1.AllocationsService."""

from __future__ import annotations

from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.allocations import Allocation
from apportion.allocation.operations.allocate_trade import allocate_trade
from apportion.allocation.operations.desk import Desk
from apportion.allocation.operations.event_payloads import allocation_message, children_message
from apportion.allocation.operations.explain_allocation import explain_allocation
from apportion.allocation.operations.get_allocation import ChildPage, get_allocation
from apportion.allocation.operations.list_allocations import list_allocations
from apportion.allocation.operations.list_child_trades import list_child_trades
from apportion.allocation.wire import messages
from apportion.allocation.wire.fields import parse_filters, parse_id
from apportion.api.allocation.v1 import allocations_pb2, allocations_pb2_grpc
from apportion.money import INT64_MAX
from apportion.rpc import CHUNK_ROWS, caller
from apportion.runtime import Clock
from apportion.storage import decode_page_token, encode_page_token, page_size, query_hash

Context = grpc.aio.ServicerContext[Any, Any]


class AllocationsServicer(allocations_pb2_grpc.AllocationsServiceServicer):
    """Parse, call, render."""

    def __init__(self, engine: AsyncEngine, desk: Desk, clock: Clock) -> None:
        self._engine = engine
        self._desk = desk
        self._clock = clock

    async def AllocateTrade(  # noqa: N802 (the RPC's name)
        self, request: allocations_pb2.AllocateTradeRequest, context: Context
    ) -> allocations_pb2.AllocateTradeResponse:
        command = messages.parse_allocate_trade(request)
        limit = CHUNK_ROWS if request.include_children else 0
        allocation, page = await allocate_trade(self._engine, self._desk, command, limit=limit, now=self._clock.now())
        return allocations_pb2.AllocateTradeResponse(
            allocation=allocation_message(allocation), children=_columns(allocation, page)
        )

    async def GetAllocation(  # noqa: N802
        self, request: allocations_pb2.GetAllocationRequest, context: Context
    ) -> allocations_pb2.GetAllocationResponse:
        allocation_id = parse_id(request.allocation_id, "allocation_id")
        parse_filters(first_child_index=request.first_child_index)
        limit = CHUNK_ROWS if request.include_children else 0
        allocation, page = await get_allocation(
            self._engine, caller().label, allocation_id, first=request.first_child_index, limit=limit
        )
        return allocations_pb2.GetAllocationResponse(
            allocation=allocation_message(allocation), children=_columns(allocation, page)
        )

    async def ListAllocations(  # noqa: N802
        self, request: allocations_pb2.ListAllocationsRequest, context: Context
    ) -> allocations_pb2.ListAllocationsResponse:
        label, limit = caller().label, page_size(request.page_size)
        parse_filters(master_id=request.master_id)
        query = query_hash("ListAllocations", label, request.master_id, request.include_follow_ups)
        (before,) = decode_page_token(request.page_token, query) or (INT64_MAX,)
        page, last = await list_allocations(
            self._engine,
            label,
            master_id=request.master_id,
            with_follow_ups=request.include_follow_ups,
            before=int(before),
            limit=limit,
        )
        token = "" if last is None else encode_page_token(query, (last,))
        return allocations_pb2.ListAllocationsResponse(allocations=map(allocation_message, page), next_page_token=token)

    async def ExplainAllocation(  # noqa: N802
        self, request: allocations_pb2.ExplainAllocationRequest, context: Context
    ) -> allocations_pb2.ExplainAllocationResponse:
        allocation_id = parse_id(request.allocation_id, "allocation_id")
        parse_filters(first_child_index=request.first_child_index)
        limit = page_size(request.page_size)
        explanation = await explain_allocation(
            self._engine, caller().label, allocation_id, first=request.first_child_index, limit=limit
        )
        return messages.render_explanation(explanation)

    async def ListChildTrades(  # noqa: N802
        self, request: allocations_pb2.ListChildTradesRequest, context: Context
    ) -> allocations_pb2.ListChildTradesResponse:
        label, limit = caller().label, page_size(request.page_size)
        filters = {
            "master_id": request.master_id,
            "allocation_id": request.allocation_id,
            "subscription_id": request.subscription_id,
        }
        parse_filters(**filters)
        query = query_hash("ListChildTrades", label, *filters.values(), request.only_open)
        (before,) = decode_page_token(request.page_token, query) or (INT64_MAX,)
        page, last = await list_child_trades(
            self._engine, label, **filters, only_open=request.only_open, before=int(before), limit=limit
        )
        return allocations_pb2.ListChildTradesResponse(
            child_trades=map(messages.render_child_trade, page),
            next_page_token="" if last is None else encode_page_token(query, (last,)),
        )


def _columns(allocation: Allocation, page: ChildPage | None) -> allocations_pb2.ChildColumns | None:
    if page is None:
        return None
    return children_message(allocation, page.subscription_ids, page.account_ids, page.volumes_e8, page.reasons)
