"""What cannot be read is left out alone, and shown."""

from __future__ import annotations

from collections.abc import Sequence

from platform_world import SERVER_ID
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from apportion.mt5.symbols import Symbol
from apportion.platform_groups.adapters.mt5_facts import symbol_of
from apportion.platform_groups.domain.server_facts import SymbolListing
from apportion.platform_groups.operations.list_symbols import list_symbols

COIN = symbol_of(Symbol(symbol="BTCUSD", contract_size="0.01000000"))


class Server:
    """A trading server with one symbol that can be read, and with what else a test says."""

    def __init__(self, unreadable: dict[str, str]) -> None:
        self._unreadable = unreadable

    async def get(self, _trading_server_id: int) -> Server:
        return self

    async def symbols(self, names: Sequence[str]) -> SymbolListing:
        return SymbolListing([COIN], self._unreadable)


def shown() -> float | None:
    name = "apportion_platform_groups_unreadable_symbols"
    return REGISTRY.get_sample_value(name, {"trading_server": str(SERVER_ID)})


async def test_an_unreadable_symbol_is_left_out_alone_and_shown_until_it_is_mended(engine) -> None:
    with capture_logs() as logs:
        assert await list_symbols(engine, Server({"BROKEN": "no number"}), 1, SERVER_ID, []) == [COIN]
    assert COIN.contract_size_e8 == 1_000_000
    assert [(log["event"], log["symbol"], log["cause"]) for log in logs] == [
        ("symbol_unreadable", "BROKEN", "no number")
    ]
    assert shown() == 1
    await list_symbols(engine, Server({}), 1, SERVER_ID, ["BTCUSD"])
    assert shown() == 1  # of all symbols, not of those that somebody names
    await list_symbols(engine, Server({}), 1, SERVER_ID, [])
    assert shown() == 0
