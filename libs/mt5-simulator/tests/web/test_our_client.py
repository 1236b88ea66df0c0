"""The simulator and our own client of the Web API, each written from the documentation, understand each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from apportion.mt5 import (
    Confirmation,
    Connection,
    DealerRequest,
    Endpoint,
    ModifyRequest,
    accounts,
    dealer,
    deals,
    groups,
    positions,
    retcode_name,
    symbols,
)
from apportion.mt5.enums import FillType

LOT_E8 = 100_000_000
NETTING = "demo\\forex-netting-usd"


@pytest.fixture
def authority(simulator) -> str:
    return Path(simulator.ca_file).read_text()


@pytest.fixture
async def connection(simulator, authority) -> AsyncIterator[Connection]:
    connection = Connection(
        Endpoint(simulator.https_url, simulator.manager_login, simulator.manager_password, ca_pem=authority)
    )
    yield connection
    await connection.close()


async def done(connection: Connection, request: DealerRequest | ModifyRequest) -> Confirmation:
    request_id = await dealer.send(connection, request)
    for _ in range(2_000):
        finished = (await dealer.results(connection, [request_id])).finished
        if finished:
            return finished[request_id]
        await asyncio.sleep(0.002)
    raise AssertionError("the request stays pending")


async def test_stop_loss_and_take_profit_of_a_position(simulator, connection) -> None:
    [login] = await simulator.create_accounts("demo\\forex-hedge-usd", 1, deposit="10000")
    await done(connection, DealerRequest(login, "EURUSD", 5, LOT_E8, "mine", stop_loss_e8=109_000_000))
    [position] = await positions.list_of_logins(connection, [login])
    assert (position.price_sl_e8, position.price_tp_e8) == (109_000_000, 0)
    change = ModifyRequest(login, "EURUSD", 5, position.position, 109_500_000, 112_000_000)
    retcodes = [retcode_name((await done(connection, change)).retcode) for _ in range(2)]
    assert retcodes == ["REQUEST_DONE", "NO_CHANGES"]
    [position] = await positions.list_of_logins(connection, [login])
    assert (position.price_sl_e8, position.price_tp_e8) == (109_500_000, 112_000_000)
    wrong = ModifyRequest(login, "EURUSD", 5, position.position, 110_500_000)
    assert retcode_name((await done(connection, wrong)).retcode) == "INVALID_STOPS"
    assert (await done(connection, ModifyRequest(login, "EURUSD", 5, position.position))).retcode == 10009
    await done(connection, DealerRequest(login, "EURUSD", 5, -LOT_E8, "", position=position.position))
    assert retcode_name((await done(connection, change)).retcode) == "POSITION_CLOSED"


async def test_a_reversal_is_one_deal_of_its_position(simulator, connection) -> None:
    [login] = await simulator.create_accounts(NETTING, 1, deposit="100000", leverage=200)
    assert (await groups.get(connection, NETTING)).margin_mode == 0
    for volume_e8 in (LOT_E8, LOT_E8, -5 * LOT_E8, 3 * LOT_E8):
        assert (await done(connection, DealerRequest(login, "EURUSD", 5, volume_e8, ""))).volume_e8 == abs(volume_e8)
    found = [deal for deal in await deals.list_of_logins(connection, [login], 0, 2**32) if deal.is_trade]
    assert [(deal.entry, deal.signed_volume_e8) for deal in found] == [
        (0, LOT_E8),
        (0, LOT_E8),
        (2, -5 * LOT_E8),
        (1, 3 * LOT_E8),
    ]
    assert len({deal.position for deal in found}) == 1
    assert await positions.list_of_logins(connection, [login]) == []
    states = await accounts.states_of_groups(connection, [NETTING])
    assert (states.logins.tolist(), states.leverages.tolist()) == ([login], [200])
    assert sum(deal.profit_minor for deal in found) == states.balances_minor[0] - 10_000_000 == -5_000


async def test_symbols_tell_sizes_below_a_unit_and_one_that_cannot_be_read_stands_alone(simulator, connection) -> None:
    board = simulator.server.engine.board
    board.symbol("USDJPY").contract_size_e8 = LOT_E8 // 100
    board.symbol("USDCHF").contract_size_e8 = -1
    listing = await symbols.list_named(connection, ["EURUSD", "USDJPY", "USDCHF"])
    sizes = {symbol.symbol: symbol.contract_size_e8 for symbol in listing.symbols}
    assert sizes == {"EURUSD": 100_000 * LOT_E8, "USDJPY": LOT_E8 // 100}
    assert list(listing.unreadable) == ["USDCHF"]
    everything = await symbols.list_all(connection)
    assert (len(everything.symbols), list(everything.unreadable)) == (10, ["USDCHF"])


@pytest.mark.parametrize(
    ("flags", "refused"), [(1, FillType.IMMEDIATE_OR_CANCEL), (2, FillType.FILL_OR_KILL), (3, None)]
)
async def test_orders_are_filled_as_their_symbol_has_it(simulator, connection, flags, refused) -> None:
    [login] = await simulator.create_accounts("demo\\forex-hedge-usd", 1, deposit="10000")
    simulator.server.engine.board.symbol("EURUSD").fill_flags = flags
    [symbol] = (await symbols.list_named(connection, ["EURUSD"])).symbols
    request = DealerRequest(login, "EURUSD", 5, LOT_E8, "ap:o1", fill_type=symbol.fill_type)
    assert retcode_name((await done(connection, request)).retcode) == "REQUEST_DONE"
    if refused is not None:
        request = replace(request, fill_type=refused)
        assert retcode_name((await done(connection, request)).retcode) == "FILL_MODE"
