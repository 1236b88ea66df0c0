"""apportion.api.allocation.v1.AllocationsService."""

from __future__ import annotations

from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.allocations import Allocation
from apportion.allocation.domain.child_listing import ChildPlace
from apportion.allocation.operations.allocate_trade import allocate_trade
from apportion.allocation.operations.desk import Desk
from apportion.allocation.operations.event_payloads import allocation_message, children_message
from apportion.allocation.operations.explain_allocation import explain_allocation
from apportion.allocation.operations.get_allocation import ChildPage, get_allocation
from apportion.allocation.operations.get_fairness_report import get_fairness_report
from apportion.allocation.operations.list_allocations import list_allocations
from apportion.allocation.operations.list_child_trades import list_child_trades
from apportion.allocation.operations.list_history import list_history
from apportion.allocation.operations.list_master_trades import list_master_trades
from apportion.allocation.operations.preview_trade import preview_trade
from apportion.allocation.storage.account_deals import AFTER_ALL
from apportion.allocation.storage.child_listing import FIRST
from apportion.allocation.wire import allocations as wire
from apportion.allocation.wire import fairness, trades
from apportion.allocation.wire.history import parse_history_filter, parse_owner, render_history_row
from apportion.api.allocation.v1 import allocations_pb2, allocations_pb2_grpc
from apportion.rpc import CHUNK_ROWS, caller, parse_filters, parse_id
from apportion.runtime import Clock
from apportion.storage import NEWEST_FIRST, Page, page_size

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
        command = wire.parse_allocate_trade(request)
        limit = CHUNK_ROWS if request.include_children else 0
        allocation, page = await allocate_trade(self._engine, self._desk, command, limit=limit, now=self._clock.now())
        return allocations_pb2.AllocateTradeResponse(
            allocation=allocation_message(allocation), children=_columns(allocation, page)
        )

    async def PreviewTrade(  # noqa: N802
        self, request: allocations_pb2.PreviewTradeRequest, context: Context
    ) -> allocations_pb2.PreviewTradeResponse:
        master_id, trade = wire.parse_preview_trade(request)
        limit = CHUNK_ROWS if request.include_children else 0
        allocation, page = await preview_trade(
            self._engine, self._desk, caller().label, master_id, trade, limit=limit, now=self._clock.now()
        )
        return allocations_pb2.PreviewTradeResponse(
            allocation=wire.render_preview(allocation),
            children=_columns(allocation, page),
        )

    async def GetAllocation(  # noqa: N802
        self, request: allocations_pb2.GetAllocationRequest, context: Context
    ) -> allocations_pb2.GetAllocationResponse:
        allocation_id = parse_id(request.allocation_id, "allocation_id")
        parse_filters(first_child_index=request.first_child_index)
        limit = CHUNK_ROWS if request.include_children else 0
        allocation, page = await get_allocation(
            self._engine,
            caller().label,
            allocation_id,
            first=request.first_child_index,
            limit=limit,
            only_skipped=request.only_skipped,
        )
        return allocations_pb2.GetAllocationResponse(
            allocation=allocation_message(allocation), children=_columns(allocation, page)
        )

    async def ListAllocations(  # noqa: N802
        self, request: allocations_pb2.ListAllocationsRequest, context: Context
    ) -> allocations_pb2.ListAllocationsResponse:
        label, wanted = caller().label, wire.parse_allocation_filter(request)
        page = Page(request.page_size, request.page_token, "ListAllocations", label, wanted, start=NEWEST_FIRST)
        found = await list_allocations(self._engine, label, wanted, before=page.after_id, limit=page.limit)
        shown, token = page.cut(found, lambda allocation: allocation.allocation_id)
        rows = map(allocation_message, shown)
        return allocations_pb2.ListAllocationsResponse(allocations=rows, next_page_token=token)

    async def ExplainAllocation(  # noqa: N802
        self, request: allocations_pb2.ExplainAllocationRequest, context: Context
    ) -> allocations_pb2.ExplainAllocationResponse:
        allocation_id = parse_id(request.allocation_id, "allocation_id")
        parse_filters(first_child_index=request.first_child_index)
        limit = page_size(request.page_size)
        explanation = await explain_allocation(
            self._engine, caller().label, allocation_id, first=request.first_child_index, limit=limit
        )
        return wire.render_explanation(explanation)

    async def ListChildTrades(  # noqa: N802
        self, request: allocations_pb2.ListChildTradesRequest, context: Context
    ) -> allocations_pb2.ListChildTradesResponse:
        label, wanted = caller().label, trades.parse_child_trade_filter(request)
        page = Page(request.page_size, request.page_token, "ListChildTrades", label, wanted, start=tuple(FIRST))
        behind = ChildPlace(*page.cursor)  # type: ignore[arg-type]  # Page has compared the types
        found = await list_child_trades(self._engine, label, wanted, behind=behind, limit=page.limit)
        shown, token = page.cut(found, lambda row: tuple(row.place))
        rows = map(trades.render_child_trade, shown)
        return allocations_pb2.ListChildTradesResponse(child_trades=rows, next_page_token=token)

    async def ListMasterTrades(  # noqa: N802
        self, request: allocations_pb2.ListMasterTradesRequest, context: Context
    ) -> allocations_pb2.ListMasterTradesResponse:
        label, wanted = caller().label, trades.parse_master_trade_filter(request)
        page = Page(request.page_size, request.page_token, "ListMasterTrades", label, wanted, start=NEWEST_FIRST)
        found = await list_master_trades(self._engine, label, wanted, before=page.after_id, limit=page.limit)
        shown, token = page.cut(found, lambda row: row.first_allocation_id)
        rows = map(trades.render_master_trade, shown)
        return allocations_pb2.ListMasterTradesResponse(master_trades=rows, next_page_token=token)

    async def GetFairnessReport(  # noqa: N802
        self, request: allocations_pb2.GetFairnessReportRequest, context: Context
    ) -> allocations_pb2.GetFairnessReportResponse:
        master_id, span, first = fairness.parse_fairness(request)
        report = await get_fairness_report(self._engine, caller().label, master_id, span)
        return fairness.render_fairness(report, slice(first, first + CHUNK_ROWS))

    async def ListHistory(  # noqa: N802
        self, request: allocations_pb2.ListHistoryRequest, context: Context
    ) -> allocations_pb2.ListHistoryResponse:
        label, wanted = caller().label, parse_history_filter(request)
        query = ("ListHistory", label, request.master_id, request.subscription_id, wanted)
        page = Page(request.page_size, request.page_token, *query, start=AFTER_ALL)
        server_time_ms, deal_ticket = map(int, page.cursor)
        found = await list_history(
            self._engine, label, parse_owner(request), wanted, before=(server_time_ms, deal_ticket), limit=page.limit
        )
        shown, token = page.cut(found, lambda row: (row.server_time_ms, row.deal_ticket))
        return allocations_pb2.ListHistoryResponse(rows=map(render_history_row, shown), next_page_token=token)


def _columns(allocation: Allocation, page: ChildPage | None) -> allocations_pb2.ChildColumns | None:
    if page is None:
        return None
    return children_message(allocation, page.routes, page.volumes_e8, page.reasons)
