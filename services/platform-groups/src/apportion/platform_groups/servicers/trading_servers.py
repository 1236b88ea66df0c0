"""TradingServersService."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.platform_groups.v1 import trading_servers_pb2, trading_servers_pb2_grpc
from apportion.platform_groups.operations.get_trading_server import get_trading_server
from apportion.platform_groups.operations.list_symbols import list_symbols
from apportion.platform_groups.operations.list_trading_servers import list_trading_servers
from apportion.platform_groups.operations.ports import HostsPort, TradingServersPort, VaultPort
from apportion.platform_groups.operations.register_trading_server import register_trading_server
from apportion.platform_groups.wire.trading_servers import parse_registration, render_server, render_symbol
from apportion.rpc import caller, parse_id, request_key
from apportion.runtime import Clock
from apportion.storage import Page


@dataclass(frozen=True, slots=True)
class TradingServersServicer(trading_servers_pb2_grpc.TradingServersServiceServicer):
    engine: AsyncEngine
    reads: AsyncEngine
    vault: VaultPort
    hosts: HostsPort
    servers: TradingServersPort
    clock: Clock

    async def RegisterTradingServer(  # noqa: N802
        self, request: trading_servers_pb2.RegisterTradingServerRequest, context: Any
    ) -> trading_servers_pb2.RegisterTradingServerResponse:
        key, registration = request_key(request), parse_registration(request)
        server = await register_trading_server(
            self.engine, self.vault, self.hosts, key, registration, now=self.clock.now()
        )
        return trading_servers_pb2.RegisterTradingServerResponse(trading_server=render_server(server))

    async def GetTradingServer(  # noqa: N802
        self, request: trading_servers_pb2.GetTradingServerRequest, context: Any
    ) -> trading_servers_pb2.GetTradingServerResponse:
        server_id = parse_id(request.trading_server_id, "trading_server_id")
        server = await get_trading_server(self.reads, caller().label, server_id)
        return trading_servers_pb2.GetTradingServerResponse(trading_server=render_server(server))

    async def ListTradingServers(  # noqa: N802
        self, request: trading_servers_pb2.ListTradingServersRequest, context: Any
    ) -> trading_servers_pb2.ListTradingServersResponse:
        page = Page(request.page_size, request.page_token, "ListTradingServers", caller().label)
        found = await list_trading_servers(self.reads, caller().label, after_id=page.after_id, limit=page.limit)
        rows, token = page.cut(found, lambda server: server.trading_server_id)
        return trading_servers_pb2.ListTradingServersResponse(
            trading_servers=[render_server(server) for server in rows], next_page_token=token
        )

    async def ListSymbols(  # noqa: N802
        self, request: trading_servers_pb2.ListSymbolsRequest, context: Any
    ) -> trading_servers_pb2.ListSymbolsResponse:
        server_id, names = parse_id(request.trading_server_id, "trading_server_id"), sorted(set(request.names))
        page = Page(request.page_size, request.page_token, "ListSymbols", caller().label, server_id, names)
        found = await list_symbols(self.reads, self.servers, caller().label, server_id, names)
        numbered = list(enumerate(found, start=1))[page.after_id : page.after_id + page.limit]
        rows, token = page.cut(numbered, lambda row: row[0])
        return trading_servers_pb2.ListSymbolsResponse(
            symbols=[render_symbol(symbol) for _, symbol in rows], next_page_token=token
        )
