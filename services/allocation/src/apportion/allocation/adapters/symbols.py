"""Symbols of the trading servers, asked of platform-groups once and then kept fresh in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import grpc
import structlog

from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.symbols import SymbolSpec
from apportion.allocation.errors import SymbolUnknown
from apportion.api.platform_groups.v1 import trading_servers_pb2, trading_servers_pb2_grpc
from apportion.errors import DomainError, UpstreamUnavailable
from apportion.rpc import call_options

log = structlog.get_logger()

CALL_NAMES = 100
"""Most symbols asked for in one call."""

Server = tuple[int, int]
"""(label, trading server)"""


class PlatformSymbols:
    """A decision never waits for a symbol that was traded before: `run` asks anew for all that are known.

    While platform-groups is away, what is known serves.
    """

    def __init__(self, channel: grpc.aio.Channel, call_seconds: float, *, refresh_seconds: float) -> None:
        self._stub = trading_servers_pb2_grpc.TradingServersServiceStub(channel)
        self._call_seconds = call_seconds
        self._refresh_seconds = refresh_seconds
        self._kept: dict[Server, dict[str, SymbolSpec | None]] = {}

    async def spec(self, label: int, trading_server_id: int, symbol: str) -> SymbolSpec:
        """From memory, or else asked: not within a transaction.

        Raises SymbolUnknown, and what platform-groups raises when it cannot tell.
        """
        if symbol not in self._kept.get((label, trading_server_id), {}):
            await self._ask(label, trading_server_id, [symbol])
        return self.spec_at_hand(label, trading_server_id, symbol)

    def spec_at_hand(self, label: int, trading_server_id: int, symbol: str) -> SymbolSpec:
        """From memory. Raises SymbolUnknown, or UpstreamUnavailable for a symbol to be asked for first."""
        try:
            found = self._kept[label, trading_server_id][symbol]
        except KeyError:
            raise UpstreamUnavailable(f"symbol {symbol} is not at hand", service="platform-groups") from None
        if found is None:
            raise SymbolUnknown(symbol=symbol, trading_server_id=trading_server_id)
        return found

    async def run(self) -> None:
        """Ask anew for ever."""
        while True:
            await asyncio.sleep(self._refresh_seconds)
            await self.refresh()

    async def refresh(self) -> None:
        """Ask for every known symbol once more; names that no server knows are forgotten, anybody may make some up."""
        for (label, trading_server_id), kept in list(self._kept.items()):
            for symbol in [symbol for symbol, found in kept.items() if found is None]:
                del kept[symbol]
            symbols = list(kept)
            for first in range(0, len(symbols), CALL_NAMES):
                try:
                    await self._ask(label, trading_server_id, symbols[first : first + CALL_NAMES])
                except DomainError as error:
                    log.warning("symbols_not_refreshed", trading_server_id=trading_server_id, cause=error.reason)

    async def _ask(self, label: int, trading_server_id: int, symbols: Sequence[str]) -> None:
        request = trading_servers_pb2.ListSymbolsRequest(
            trading_server_id=trading_server_id, names=symbols, page_size=CALL_NAMES
        )
        answer = await self._stub.ListSymbols(request, **call_options(label, self._call_seconds))
        found = {symbol.name: _spec(symbol) for symbol in answer.symbols}
        kept = self._kept.setdefault((label, trading_server_id), {})
        kept.update({symbol: found.get(symbol) for symbol in symbols})


def _spec(symbol: trading_servers_pb2.Symbol) -> SymbolSpec:
    return SymbolSpec(
        name=symbol.name,
        grid=SymbolGrid(symbol.volume_step_e8, symbol.min_volume_e8, symbol.max_volume_e8),
        digits=symbol.digits,
        contract_size=symbol.contract_size,
        base_currency_code=symbol.base_currency_code,
        profit_currency_code=symbol.profit_currency_code,
        margin_currency_code=symbol.margin_currency_code,
    )
