"""An engine without a feed, and accounts with money."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apportion.mt5_simulator.domain.engine import Engine
from apportion.mt5_simulator.domain.figures import E8
from apportion.mt5_simulator.domain.settings import GroupSettings, ServerSettings, SymbolSettings

START_MS = 1_772_532_000_000
"""Tuesday, 3 March 2026, 10:00 server time."""


class Silence:
    """A feed without quotes: the test sets the prices."""

    def quote(self, symbol: SymbolSettings, server_ms: int) -> tuple[int, int] | None:
        return None


def _make_engine() -> Engine:
    settings = ServerSettings()
    settings.groups += [
        GroupSettings(name="demo\\yen", currency="JPY", currency_digits=0),
        GroupSettings(name="demo\\yen-2", currency="JPY", currency_digits=2),
        GroupSettings(name="demo\\cents", currency="USC"),
    ]
    settings.symbols += [
        SymbolSettings(name="USDUSC", path="Forex\\Cents\\USDUSC", base="USD", profit="USC", digits=3),
        SymbolSettings(
            name="BTCUSD", path="Crypto\\BTCUSD", base="BTC", profit="USD", digits=2, contract_size_e8=E8 // 100
        ),
    ]
    engine = Engine(settings, Silence())
    engine.step(START_MS)
    engine.set_price("EURUSD", 110_000_000, 110_010_000, START_MS)
    engine.set_price("USDJPY", 15_000_000_000, 15_001_000_000, START_MS)
    engine.set_price("USDUSC", 100 * E8, 100 * E8, START_MS)
    engine.set_price("BTCUSD", 50_000 * E8, 50_010 * E8, START_MS)
    return engine


def _open_account(engine: Engine, deposit_minor: int, group: str = "demo\\forex-hedge-usd") -> int:
    user = engine.accounts.add(
        group=group, name="Ada", passwords={"main": "Secret1!", "investor": "Secret2!"}, now_ms=START_MS
    )
    engine.change_balance(user.login, 2, deposit_minor, "deposit", START_MS)
    return user.login


@pytest.fixture(scope="session")
def make_engine() -> Callable[[], Engine]:
    return _make_engine


@pytest.fixture(scope="session")
def open_account() -> Callable[..., int]:
    return _open_account


@pytest.fixture
def engine() -> Engine:
    return _make_engine()
