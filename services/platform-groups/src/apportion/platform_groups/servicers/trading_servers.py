"""TradingServersService and PlatformGroupsService."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.platform_groups.v1 import platform_groups_pb2 as groups_pb2
from apportion.api.platform_groups.v1 import platform_groups_pb2_grpc as groups_grpc
from apportion.api.platform_groups.v1 import trading_servers_pb2 as servers_pb2
from apportion.api.platform_groups.v1 import trading_servers_pb2_grpc as servers_grpc
from apportion.platform_groups.operations.create_platform_group import create_platform_group
from apportion.platform_groups.operations.get_platform_group import get_platform_group
from apportion.platform_groups.operations.get_trading_server import get_trading_server
from apportion.platform_groups.operations.list_platform_groups import list_platform_groups
from apportion.platform_groups.operations.list_symbols import list_symbols
from apportion.platform_groups.operations.list_trading_servers import list_trading_servers
from apportion.platform_groups.operations.ports import HostsPort, TradingServersPort, VaultPort
from apportion.platform_groups.operations.register_trading_server import register_trading_server
from apportion.platform_groups.wire.accounts import (
    parse_new_group,
    parse_registration,
    render_group,
    render_server,
    render_symbol,
)
from apportion.rpc import caller, request_key
from apportion.runtime import Clock
from apportion.storage import Page


@dataclass(frozen=True, slots=True)
class TradingServersServicer(servers_grpc.TradingServersServiceServicer):
    engine: AsyncEngine
    reads: AsyncEngine
    vault: VaultPort
    hosts: HostsPort
    servers: TradingServersPort
    clock: Clock

    async def RegisterTradingServer(  # noqa: N802
        self, request: servers_pb2.RegisterTradingServerRequest, context: Any
    ) -> servers_pb2.RegisterTradingServerResponse:
        key, registration = request_key(request), parse_registration(request)
        server = await register_trading_server(
            self.engine, self.vault, self.hosts, key, registration, now=self.clock.now()
        )
        return servers_pb2.RegisterTradingServerResponse(trading_server=render_server(server))

    async def GetTradingServer(  # noqa: N802
        self, request: servers_pb2.GetTradingServerRequest, context: Any
    ) -> servers_pb2.GetTradingServerResponse:
        server = await get_trading_server(self.reads, caller().label, request.trading_server_id)
        return servers_pb2.GetTradingServerResponse(trading_server=render_server(server))

    async def ListTradingServers(  # noqa: N802
        self, request: servers_pb2.ListTradingServersRequest, context: Any
    ) -> servers_pb2.ListTradingServersResponse:
        page = Page(request.page_size, request.page_token, "ListTradingServers", caller().label)
        found = await list_trading_servers(self.reads, caller().label, after_id=page.after_id, limit=page.limit)
        rows, token = page.cut(found, lambda server: server.trading_server_id)
        return servers_pb2.ListTradingServersResponse(
            trading_servers=[render_server(server) for server in rows], next_page_token=token
        )

    async def ListSymbols(  # noqa: N802
        self, request: servers_pb2.ListSymbolsRequest, context: Any
    ) -> servers_pb2.ListSymbolsResponse:
        server_id, names = request.trading_server_id, sorted(set(request.names))
        page = Page(request.page_size, request.page_token, "ListSymbols", caller().label, server_id, names)
        found = await list_symbols(self.reads, self.servers, caller().label, server_id, names)
        numbered = list(enumerate(found, start=1))[page.after_id : page.after_id + page.limit]
        rows, token = page.cut(numbered, lambda row: row[0])
        return servers_pb2.ListSymbolsResponse(
            symbols=[render_symbol(symbol) for _, symbol in rows], next_page_token=token
        )


@dataclass(frozen=True, slots=True)
class PlatformGroupsServicer(groups_grpc.PlatformGroupsServiceServicer):
    engine: AsyncEngine
    reads: AsyncEngine
    servers: TradingServersPort
    clock: Clock

    async def CreatePlatformGroup(  # noqa: N802
        self, request: groups_pb2.CreatePlatformGroupRequest, context: Any
    ) -> groups_pb2.CreatePlatformGroupResponse:
        key, group = request_key(request), parse_new_group(request)
        created = await create_platform_group(self.engine, self.servers, key, group, now=self.clock.now())
        return groups_pb2.CreatePlatformGroupResponse(platform_group=render_group(created))

    async def GetPlatformGroup(  # noqa: N802
        self, request: groups_pb2.GetPlatformGroupRequest, context: Any
    ) -> groups_pb2.GetPlatformGroupResponse:
        group = await get_platform_group(self.reads, caller().label, request.platform_group_id)
        return groups_pb2.GetPlatformGroupResponse(platform_group=render_group(group))

    async def ListPlatformGroups(  # noqa: N802
        self, request: groups_pb2.ListPlatformGroupsRequest, context: Any
    ) -> groups_pb2.ListPlatformGroupsResponse:
        server_id = request.trading_server_id
        page = Page(request.page_size, request.page_token, "ListPlatformGroups", caller().label, server_id)
        found = await list_platform_groups(
            self.reads, caller().label, server_id, after_id=page.after_id, limit=page.limit
        )
        rows, token = page.cut(found, lambda group: group.platform_group_id)
        return groups_pb2.ListPlatformGroupsResponse(
            platform_groups=[render_group(group) for group in rows], next_page_token=token
        )
