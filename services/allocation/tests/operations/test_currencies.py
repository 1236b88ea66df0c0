"""Money counts as the trading server counts it, in whatever currency."""

from __future__ import annotations

import pytest

from apportion.allocation.domain.accounts import AccountKind
from apportion.allocation.domain.copy_settings import DEFAULT_SETTINGS
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.methods import AllocationMethod
from apportion.allocation.domain.subscriptions import Parameters
from apportion.allocation.errors import CurrencyDigitsMismatch
from apportion.allocation.operations.create_subscription import CreateSubscription, create_subscription
from apportion.allocation.operations.explain_allocation import explain_allocation
from apportion.allocation.operations.get_allocation import get_allocation
from apportion.money import E8
from apportion.storage import RequestKey

PERCENT_E8 = E8
KEY = RequestKey(1, "test", "00000000-0000-4000-8000-000000000001", b"")


async def decided(house) -> list[float]:
    """Lots of the one decision, which is explained as it was made."""
    (allocation,) = house.waiting
    _, page = await get_allocation(house.engine, 1, allocation.allocation_id, first=0, limit=10)
    explanation = await explain_allocation(house.engine, 1, allocation.allocation_id, first=0, limit=10)
    assert explanation.agrees
    return (page.volumes_e8 / E8).tolist()


@pytest.mark.parametrize("currency", [("USC", 2), ("BTC", 8), ("USDT", 6)])
async def test_accounts_in_a_currency_of_no_list_are_copied(house, currency):
    master = await house.master(AllocationMethod.COPY_BY_EQUITY, currency=currency)
    assert (master.currency_code, master.currency_digits) == currency
    await house.follower(master, 101, equity_minor=200_000)
    await house.deal(64, 0.5, position=900)
    assert await decided(house) == [1.0]


@pytest.mark.parametrize(("digits", "equity_minor"), [(0, 12_000_000), (2, 1_200_000_000)])
async def test_equity_percent_of_yen_is_the_same_however_the_server_counts_them(house, digits, equity_minor):
    """10 % of 12 000 000 yen, a hundredfold, at 100 000 dollars of 150 yen a lot: 8 lots."""
    master = await house.master(AllocationMethod.EQUITY_PERCENT, currency=("JPY", digits))
    house.symbols.grids["USDJPY"] = house.symbols.grids["EURUSD"]
    house.rates.rates_e8["USD", "JPY"] = 150 * E8
    await house.follower(master, 101, equity_minor=equity_minor, percent_e8=10 * PERCENT_E8)
    await house.deal(64, 1.0, position=900, symbol="USDJPY")
    assert await decided(house) == [8.0]


async def test_equity_share_counts_whole_units_of_the_servers_digits(house):
    """0.001 % of 120 000 yen is 1.2 lots, also where they are 12 000 000 sen."""
    master = await house.master(AllocationMethod.EQUITY_SHARE, currency=("JPY", 2))
    await house.follower(master, 101, equity_minor=12_000_000, percent_e8=PERCENT_E8 // 1_000)
    await house.deal(64, 1.0, position=900)
    assert await decided(house) == [1.2]


async def test_a_lot_may_be_a_hundredth_of_a_coin(house):
    """10 % of 75.00, a hundredfold, at 0.01 coins of 50 000 a lot: 1.5 lots; the master goes on in other symbols."""
    master = await house.master(AllocationMethod.EQUITY_PERCENT)
    house.symbols.grids["BTCUSD"] = SymbolGrid(E8 // 100, E8 // 100, 100 * E8)
    house.symbols.contract_sizes_e8["BTCUSD"] = E8 // 100
    house.rates.rates_e8["BTC", "USD"] = 50_000 * E8
    await house.follower(master, 101, equity_minor=7_500, percent_e8=10 * PERCENT_E8)
    await house.deal(64, 1.0, position=900, symbol="BTCUSD")
    assert await decided(house) == [1.5]


async def test_who_counts_otherwise_does_not_follow(house):
    master = await house.master(currency=("JPY", 2))
    house.add_account(101, AccountKind.INVESTMENT, currency=("JPY", 0))
    command = CreateSubscription(KEY, master.master_id, 101, Parameters(ratio_e8=E8), DEFAULT_SETTINGS)
    with pytest.raises(CurrencyDigitsMismatch) as caught:
        await create_subscription(
            house.engine, house.desk, house.accounts, house.positions, command, now=house.clock.now()
        )
    assert caught.value.reason == "CURRENCY_DIGITS_MISMATCH"
