"""Symbols of the trading servers, asked of platform-groups once and then kept fresh in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import grpc
import structlog

from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.symbols import SymbolSpec
from apportion.allocation.errors import SymbolUnknown
from apportion.api.platform_groups.v1 import trading_servers_pb2, trading_servers_pb2_grpc
from apportion.errors import DomainError, UpstreamUnavailable
from apportion.rpc import call_options

log = structlog.get_logger()

PAGE_SYMBOLS = 1_000

Server = tuple[int, int]
"""(label, trading server)"""


@dataclass(frozen=True, slots=True)
class _Known:
    """Of one server."""

    specs: dict[str, SymbolSpec]
    missing_names: set[str] = field(default_factory=set)
    """Of symbols that were asked for and that it does not have."""

    def add(self, symbol: str, found: Mapping[str, SymbolSpec]) -> None:
        self.specs.update(found)
        if symbol not in found:
            self.missing_names.add(symbol)


NOTHING = _Known({})


class PlatformSymbols:
    """The symbols of the servers that masters trade on. `run` keeps them fresh, so that no decision waits for one.

    While platform-groups is away, those that are known are used.
    """

    def __init__(self, channel: grpc.aio.Channel, call_seconds: float, *, refresh_seconds: float) -> None:
        self._stub = trading_servers_pb2_grpc.TradingServersServiceStub(channel)
        self._call_seconds = call_seconds
        self._refresh_seconds = refresh_seconds
        self._known: dict[Server, _Known] = {}

    async def spec(self, label: int, trading_server_id: int, symbol: str) -> SymbolSpec:
        """From memory, or else asked: not within a transaction.

        Raises SymbolUnknown, and what platform-groups raises when it cannot tell.
        """
        server = (label, trading_server_id)
        if server not in self._known:
            self._known[server] = _Known(await self._ask(server))
        known = self._known[server]
        if symbol not in known.specs and symbol not in known.missing_names:  # it may be new
            found = await self._ask(server, [symbol])
            self._known[server].add(symbol, found)
        return self.spec_at_hand(label, trading_server_id, symbol)

    def spec_at_hand(self, label: int, trading_server_id: int, symbol: str) -> SymbolSpec:
        """From memory. Raises SymbolUnknown, or UpstreamUnavailable for a symbol to be asked for first."""
        known = self._known.get((label, trading_server_id), NOTHING)
        if symbol in known.missing_names:
            raise SymbolUnknown(symbol=symbol, trading_server_id=trading_server_id)
        if symbol not in known.specs:
            raise UpstreamUnavailable(f"symbol {symbol} is not at hand", service="platform-groups")
        return known.specs[symbol]

    def at_hand(self, label: int, trading_server_id: int) -> Mapping[str, SymbolSpec]:
        """All that are known of a server, by name."""
        return self._known.get((label, trading_server_id), NOTHING).specs

    async def run(self) -> None:
        """Refresh for ever."""
        while True:
            await asyncio.sleep(self._refresh_seconds)
            await self.refresh()

    async def refresh(self) -> None:
        """Ask for every symbol again. Missing names are forgotten: callers may make up any number of them."""
        for server in list(self._known):
            try:
                self._known[server] = _Known(await self._ask(server))
            except DomainError as error:
                log.warning("symbols_not_refreshed", trading_server_id=server[1], cause=error.reason)

    async def _ask(self, server: Server, names: Sequence[str] = ()) -> dict[str, SymbolSpec]:
        label, trading_server_id = server
        request = trading_servers_pb2.ListSymbolsRequest(
            trading_server_id=trading_server_id, names=names, page_size=PAGE_SYMBOLS
        )
        found: dict[str, SymbolSpec] = {}
        while True:
            answer = await self._stub.ListSymbols(request, **call_options(label, self._call_seconds))
            found |= {symbol.name: _spec(symbol) for symbol in answer.symbols}
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token


def _spec(symbol: trading_servers_pb2.Symbol) -> SymbolSpec:
    return SymbolSpec(
        name=symbol.name,
        grid=SymbolGrid(symbol.volume_step_e8, symbol.min_volume_e8, symbol.max_volume_e8),
        digits=symbol.digits,
        contract_size_e8=symbol.contract_size_e8,
        base_currency_code=symbol.base_currency_code,
        profit_currency_code=symbol.profit_currency_code,
        margin_currency_code=symbol.margin_currency_code,
    )
