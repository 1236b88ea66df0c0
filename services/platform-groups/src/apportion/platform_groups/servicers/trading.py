"""TradingService."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.platform_groups.v1 import trading_pb2, trading_pb2_grpc
from apportion.platform_groups.operations.batch_get_positions import batch_get_positions
from apportion.platform_groups.operations.close_all_positions import close_all_positions
from apportion.platform_groups.operations.get_closing import get_closing
from apportion.platform_groups.operations.list_orders import list_orders
from apportion.platform_groups.operations.list_positions import list_positions
from apportion.platform_groups.operations.ports import NewId, TradingServersPort
from apportion.platform_groups.operations.set_kill_switch import set_kill_switch
from apportion.platform_groups.operations.submit_orders import submit_orders
from apportion.platform_groups.operations.void_opens import void_opens
from apportion.platform_groups.storage.events import order_columns
from apportion.platform_groups.wire.trading import (
    check_close_all,
    check_kill_switch,
    check_void_opens,
    parse_orders,
    parse_position_accounts,
    render_closing,
    render_position,
    render_positions,
)
from apportion.rpc import caller, parse_id, request_key, to_timestamp
from apportion.runtime import Clock
from apportion.storage import Page


@dataclass(frozen=True, slots=True)
class TradingServicer(trading_pb2_grpc.TradingServiceServicer):
    engine: AsyncEngine
    reads: AsyncEngine
    servers: TradingServersPort
    clock: Clock
    new_id: NewId

    async def SubmitOrders(  # noqa: N802
        self, request: trading_pb2.SubmitOrdersRequest, context: Any
    ) -> trading_pb2.SubmitOrdersResponse:
        key, orders = request_key(request), parse_orders(request, caller().label)
        accepted = await submit_orders(self.engine, self.new_id, key, orders, now=self.clock.now())
        return trading_pb2.SubmitOrdersResponse(
            accepted_count=accepted.accepted_count, known_count=accepted.known_count
        )

    async def ListOrders(  # noqa: N802
        self, request: trading_pb2.ListOrdersRequest, context: Any
    ) -> trading_pb2.ListOrdersResponse:
        label, source_id = caller().label, request.source_id
        page = Page(request.page_size, request.page_token, "ListOrders", label, source_id)
        found = await list_orders(self.reads, label, source_id, after_item_id=page.after_id, limit=page.limit)
        rows, token = page.cut(found, lambda row: row["item_id"])
        return trading_pb2.ListOrdersResponse(orders=order_columns(rows), next_page_token=token)

    async def ListPositions(  # noqa: N802
        self, request: trading_pb2.ListPositionsRequest, context: Any
    ) -> trading_pb2.ListPositionsResponse:
        label, account_id = caller().label, parse_id(request.account_id, "account_id")
        page = Page(request.page_size, request.page_token, "ListPositions", label, account_id)
        found = await list_positions(self.reads, self.servers, label, account_id)
        later = [position for position in found if position.position_ticket > page.after_id][: page.limit]
        rows, token = page.cut(later, lambda position: position.position_ticket)
        return trading_pb2.ListPositionsResponse(
            positions=[render_position(position, account_id) for position in rows], next_page_token=token
        )

    async def BatchGetPositions(  # noqa: N802
        self, request: trading_pb2.BatchGetPositionsRequest, context: Any
    ) -> trading_pb2.BatchGetPositionsResponse:
        account_ids = parse_position_accounts(request)
        asked_time = self.clock.now()
        report = await batch_get_positions(
            self.reads, self.servers, caller().label, account_ids, leave_out_closed=request.leave_out_closed
        )
        return trading_pb2.BatchGetPositionsResponse(
            positions=render_positions(report.positions),
            observed_time=to_timestamp(asked_time),
            left_account_ids=report.left_account_ids,
        )

    async def CloseAllPositions(  # noqa: N802
        self, request: trading_pb2.CloseAllPositionsRequest, context: Any
    ) -> trading_pb2.CloseAllPositionsResponse:
        key = request_key(request)
        check_close_all(request)
        closing = await close_all_positions(self.engine, key, request.account_id, request.cause, now=self.clock.now())
        return trading_pb2.CloseAllPositionsResponse(closing=render_closing(closing))

    async def GetClosing(  # noqa: N802
        self, request: trading_pb2.GetClosingRequest, context: Any
    ) -> trading_pb2.GetClosingResponse:
        closing = await get_closing(self.engine, caller().label, parse_id(request.closing_id, "closing_id"))
        return trading_pb2.GetClosingResponse(closing=render_closing(closing))

    async def SetKillSwitch(  # noqa: N802
        self, request: trading_pb2.SetKillSwitchRequest, context: Any
    ) -> trading_pb2.SetKillSwitchResponse:
        key = request_key(request)
        check_kill_switch(request)
        answer = await set_kill_switch(self.engine, key, request.engaged, request.cause, now=self.clock.now())
        return trading_pb2.SetKillSwitchResponse(engaged=answer.engaged, change_time=to_timestamp(answer.change_time))

    async def VoidOpens(  # noqa: N802
        self, request: trading_pb2.VoidOpensRequest, context: Any
    ) -> trading_pb2.VoidOpensResponse:
        key = request_key(request)
        check_void_opens(request)
        await void_opens(self.engine, key, request.ordering_key, request.halt_epoch, now=self.clock.now())
        return trading_pb2.VoidOpensResponse()
