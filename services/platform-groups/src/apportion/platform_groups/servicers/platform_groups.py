"""PlatformGroupsService."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.platform_groups.v1 import platform_groups_pb2, platform_groups_pb2_grpc
from apportion.platform_groups.operations.create_platform_group import create_platform_group
from apportion.platform_groups.operations.get_platform_group import get_platform_group
from apportion.platform_groups.operations.list_platform_groups import list_platform_groups
from apportion.platform_groups.operations.ports import TradingServersPort
from apportion.platform_groups.wire.platform_groups import parse_new_group, render_group
from apportion.rpc import caller, parse_filters, parse_id, request_key
from apportion.runtime import Clock
from apportion.storage import Page


@dataclass(frozen=True, slots=True)
class PlatformGroupsServicer(platform_groups_pb2_grpc.PlatformGroupsServiceServicer):
    engine: AsyncEngine
    reads: AsyncEngine
    servers: TradingServersPort
    clock: Clock

    async def CreatePlatformGroup(  # noqa: N802
        self, request: platform_groups_pb2.CreatePlatformGroupRequest, context: Any
    ) -> platform_groups_pb2.CreatePlatformGroupResponse:
        key, group = request_key(request), parse_new_group(request)
        created = await create_platform_group(self.engine, self.servers, key, group, now=self.clock.now())
        return platform_groups_pb2.CreatePlatformGroupResponse(platform_group=render_group(created))

    async def GetPlatformGroup(  # noqa: N802
        self, request: platform_groups_pb2.GetPlatformGroupRequest, context: Any
    ) -> platform_groups_pb2.GetPlatformGroupResponse:
        group_id = parse_id(request.platform_group_id, "platform_group_id")
        group = await get_platform_group(self.reads, caller().label, group_id)
        return platform_groups_pb2.GetPlatformGroupResponse(platform_group=render_group(group))

    async def ListPlatformGroups(  # noqa: N802
        self, request: platform_groups_pb2.ListPlatformGroupsRequest, context: Any
    ) -> platform_groups_pb2.ListPlatformGroupsResponse:
        server_id = request.trading_server_id
        parse_filters(trading_server_id=server_id)
        page = Page(request.page_size, request.page_token, "ListPlatformGroups", caller().label, server_id)
        found = await list_platform_groups(
            self.reads, caller().label, server_id, after_id=page.after_id, limit=page.limit
        )
        rows, token = page.cut(found, lambda group: group.platform_group_id)
        return platform_groups_pb2.ListPlatformGroupsResponse(
            platform_groups=[render_group(group) for group in rows], next_page_token=token
        )
