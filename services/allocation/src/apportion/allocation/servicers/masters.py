"""apportion.api.allocation.v1.MastersService."""

from __future__ import annotations

from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.operations.create_master import create_master
from apportion.allocation.operations.desk import Desk
from apportion.allocation.operations.get_master import get_master
from apportion.allocation.operations.get_master_summary import get_master_summary
from apportion.allocation.operations.halt_master import halt_master
from apportion.allocation.operations.list_masters import list_masters
from apportion.allocation.operations.ports import Accounts, Orders, Positions
from apportion.allocation.operations.resume_master import resume_master
from apportion.allocation.operations.update_master import update_master
from apportion.allocation.wire import masters as wire
from apportion.api.allocation.v1 import masters_pb2, masters_pb2_grpc
from apportion.rpc import caller, parse_id
from apportion.runtime import Clock
from apportion.storage import Page

Context = grpc.aio.ServicerContext[Any, Any]


class MastersServicer(masters_pb2_grpc.MastersServiceServicer):
    """Parse, call, render."""

    def __init__(
        self,
        engine: AsyncEngine,
        accounts: Accounts,
        positions: Positions,
        orders: Orders,
        desk: Desk,
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._accounts = accounts
        self._orders = orders
        self._positions = positions
        self._desk = desk
        self._clock = clock

    async def CreateMaster(  # noqa: N802 (the RPC's name)
        self, request: masters_pb2.CreateMasterRequest, context: Context
    ) -> masters_pb2.CreateMasterResponse:
        command = wire.parse_create_master(request)
        master = await create_master(self._engine, self._accounts, self._positions, command, now=self._clock.now())
        return masters_pb2.CreateMasterResponse(master=wire.render_master(master))

    async def GetMaster(  # noqa: N802
        self, request: masters_pb2.GetMasterRequest, context: Context
    ) -> masters_pb2.GetMasterResponse:
        master = await get_master(self._engine, caller().label, parse_id(request.master_id, "master_id"))
        return masters_pb2.GetMasterResponse(master=wire.render_master(master))

    async def ListMasters(  # noqa: N802
        self, request: masters_pb2.ListMastersRequest, context: Context
    ) -> masters_pb2.ListMastersResponse:
        label, wanted = caller().label, wire.parse_master_filter(request)
        page = Page(request.page_size, request.page_token, "ListMasters", label, wanted)
        found = await list_masters(self._engine, label, wanted, after=page.after_id, limit=page.limit)
        shown, token = page.cut(found, lambda master: master.master_id)
        return masters_pb2.ListMastersResponse(masters=map(wire.render_master, shown), next_page_token=token)

    async def GetMasterSummary(  # noqa: N802
        self, request: masters_pb2.GetMasterSummaryRequest, context: Context
    ) -> masters_pb2.GetMasterSummaryResponse:
        master_id = parse_id(request.master_id, "master_id")
        summary = await get_master_summary(self._engine, self._desk, caller().label, master_id, now=self._clock.now())
        return wire.render_summary(summary)

    async def UpdateMaster(  # noqa: N802
        self, request: masters_pb2.UpdateMasterRequest, context: Context
    ) -> masters_pb2.UpdateMasterResponse:
        master = await update_master(self._engine, wire.parse_update_master(request), now=self._clock.now())
        return masters_pb2.UpdateMasterResponse(master=wire.render_master(master))

    async def HaltMaster(  # noqa: N802
        self, request: masters_pb2.HaltMasterRequest, context: Context
    ) -> masters_pb2.HaltMasterResponse:
        command = wire.parse_halt_master(request)
        master = await halt_master(self._engine, self._orders, command, now=self._clock.now())
        return masters_pb2.HaltMasterResponse(master=wire.render_master(master))

    async def ResumeMaster(  # noqa: N802
        self, request: masters_pb2.ResumeMasterRequest, context: Context
    ) -> masters_pb2.ResumeMasterResponse:
        master = await resume_master(self._engine, wire.parse_resume_master(request), now=self._clock.now())
        return masters_pb2.ResumeMasterResponse(master=wire.render_master(master))
