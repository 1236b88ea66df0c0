"""Accounts and symbols as brokers really have them: yen with two digits, US cents, lots of a hundredth of a coin."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from apportion.api.platform_groups.v1 import accounts_pb2, platform_groups_pb2, trading_servers_pb2
from apportion.errors import DomainError
from apportion.mt5_simulator.process import SimulatorProcess
from apportion.testing.polling import eventually

LOT = 100_000_000
BALANCE_MINOR = 100_000_000
GROUPS = {"forex-hedge-usd": ("USD", 2), "yen": ("JPY", 2), "cents": ("USC", 2), "dust": ("BTC", 9)}
PRICES = {"EURUSD": "1.10000", "USDJPY": "150.000", "USDUSC": "100.000", "BTCUSD": "50000.00"}
SIZES_E8 = {"BTCUSD": LOT // 100, "BROKEN": -1}


def symbol(name: str) -> dict[str, object]:
    parts = {"name": name, "path": f"All\\{name}", "base": name[:3], "profit": name[3:]}
    digits = len(PRICES.get(name, "1.0").partition(".")[2])
    return {**parts, "digits": digits, "contract_size_e8": SIZES_E8.get(name, 100_000 * LOT)}


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[SimulatorProcess]:
    """With such groups and symbols, of which one cannot be read."""
    groups = [
        {"name": f"demo\\{name}", "currency": currency, "currency_digits": digits}
        for name, (currency, digits) in GROUPS.items()
    ]
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"groups": groups, "symbols": [symbol(name) for name in (*PRICES, "BROKEN")]}))
    options = ["--config", str(config)]
    async with SimulatorProcess(tmp_path / "simulator", prices="walk", durable=False, options=options) as process:
        for name, price in PRICES.items():
            await process.set_price(name, price, price)
        yield process


async def create_group(platform, name: str) -> platform_groups_pb2.PlatformGroup:
    request = platform_groups_pb2.CreatePlatformGroupRequest(
        request_id=platform.new_id(),
        trading_server_id=platform.server_id,
        name=name,
        server_group=f"demo\\{name}",
        currency_code=GROUPS[name][0],
        default_leverage=100,
    )
    return (await platform.groups.CreatePlatformGroup(request, **platform.options())).platform_group


async def state(platform, account: accounts_pb2.Account) -> tuple[int, int]:
    """Balance and margin."""
    request = accounts_pb2.GetAccountStatesRequest(trading_server_id=platform.server_id)
    states = (await platform.accounts.GetAccountStates(request, **platform.options())).states
    rows = zip(states.account_ids, states.balances_minor, states.margins_minor, strict=True)
    return {row[0]: row[1:] for row in rows}.get(account.account_id, (0, 0))


@pytest.mark.parametrize(("name", "margin_minor"), [("yen", 1_650_000), ("cents", 1_100_000)])
async def test_money_counts_as_its_group_counts_it(start, broker, name, margin_minor) -> None:
    """A tenth of a lot of EURUSD needs 110 dollars at leverage 100: 16 500.00 yen, 11 000.00 cents."""
    async with start() as platform:
        await platform.set_up(broker)
        group = await create_group(platform, name)
        platform.group_id = group.platform_group_id
        account = await platform.account(balance_minor=BALANCE_MINOR)
        assert [(each.currency_code, each.currency_digits) for each in (group, account)] == [GROUPS[name]] * 2

        async def is_now(expected: tuple[int, int]) -> bool:
            return await state(platform, account) == expected

        await eventually(lambda: is_now((BALANCE_MINOR, 0)), 60)
        assert (await broker.admin.account(account.login))["Balance"] == "1000000.00"
        await platform.submit("open", [(account.account_id, LOT // 10)])
        await platform.finished("open")
        await eventually(lambda: is_now((BALANCE_MINOR, margin_minor)), 60)


async def test_what_cannot_be_counted_is_refused_or_left_out_alone(start, broker) -> None:
    async with start(frozenset({"serve"})) as platform:
        await platform.set_up(broker)
        with pytest.raises(DomainError) as caught:
            await create_group(platform, "dust")
        assert caught.value.reason == "CURRENCY_DIGITS_UNSUPPORTED"
        request = trading_servers_pb2.ListSymbolsRequest(trading_server_id=platform.server_id)
        symbols = (await platform.servers.ListSymbols(request, **platform.options())).symbols
        sizes_e8 = {each.name: each.contract_size_e8 for each in symbols}
        assert sizes_e8 == {name: SIZES_E8.get(name, 100_000 * LOT) for name in PRICES}
