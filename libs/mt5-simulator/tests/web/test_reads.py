from __future__ import annotations

import pytest

GROUP = "demo\\forex-hedge-usd"


async def _refusal(client, path: str) -> int:
    return int((await client.ask(path))["retcode"].split()[0])


async def test_groups_and_symbols(client) -> None:
    assert (await client.answer("group/total"))["Total"] == "6"
    assert GROUP in await client.answer("group/list")
    group = await client.answer("group/get?group=demo\\forex-hedge-eur")
    assert (group["Currency"], group["CurrencyDigits"], group["MarginMode"]) == ("EUR", "2", "2")
    assert len(await client.answer("group/get?group=demo\\*,!*wallets*")) == 4
    assert (await client.answer("group/next?index=1"))["Group"] == "demo\\forex-hedge-usd-commission"
    assert len(await client.answer("group/next?index=3&count=10")) == 3
    assert await _refusal(client, "group/get?group=none") == 13
    symbol = await client.answer("symbol/get?symbol=USDJPY")
    assert (symbol["Digits"], symbol["CurrencyProfit"], symbol["VolumeStepExt"]) == ("3", "JPY", "1000000")
    assert len(await client.answer("symbol/get?symbol=Forex\\Majors\\*")) == 7
    assert await _refusal(client, "symbol/get?symbol=none") == 13
    assert await _refusal(client, "symbol/next?index=99") == 13


async def test_ticks_since_a_trans_id(simulator, client) -> None:
    first = await client.ask("tick/last?symbol=*")
    assert len(first["answer"]) == 11
    assert (await client.ask(f"tick/last?symbol=*&trans_id={first['trans_id']}"))["answer"] == []
    await simulator.set_price("EURUSD", "1.20000", "1.20010")
    later = await client.ask(f"tick/last?symbol=*&trans_id={first['trans_id']}")
    assert [(tick["Symbol"], tick["Bid"], tick["Ask"]) for tick in later["answer"]] == [
        ("EURUSD", "1.20000", "1.20010")
    ]
    [stat] = await client.answer("tick/stat?symbol=EURUSD")
    assert (stat["BidHigh"], stat["Bid"]) == ("1.20000", "1.20000")
    assert stat["BidLow"] <= "1.10000"
    assert len(await client.answer(f"tick/last_group?group={GROUP}&symbol=EUR*")) == 4


async def test_server_time_is_civil_time_of_the_zone(simulator, client) -> None:
    assert (await client.answer("time/server"))["Time"] == "1772532000 2026.03.03 10:00:00"
    zone = await client.answer("time/get")
    assert (zone["TimeZone"], zone["DaylightState"]) == ("120", "0")
    await simulator.advance(3600)
    assert (await client.answer("time/server"))["Time"].endswith("11:00:00")


async def test_deals_by_time_group_and_page(simulator, client) -> None:
    logins = await simulator.create_accounts(GROUP, 60, deposit="10000")
    await simulator.advance(100)
    for login in logins[:3]:
        await simulator.buy(login, "EURUSD", "0.10")
    start = 1772532000
    batch = f"deal/get_batch?group={GROUP}&from={start + 100}&to={start + 100}"
    assert [deal["Login"] for deal in await client.answer(batch)] == [str(login) for login in logins[:3]]
    assert len(await client.answer(f"deal/get_batch?group={GROUP}&from={start}&to={start + 99}")) == 60
    assert await client.answer(f"deal/get_batch?group={GROUP}&from={start + 101}&to={start + 999}") == []
    assert len(await client.answer(f"deal/get_batch?login={logins[0]}&from={start}&to={start + 999}")) == 2
    assert (await client.answer(f"deal/get_total?login={logins[0]}&from=0&to={start + 999}"))["Total"] == "2"
    page = await client.answer(f"deal/get_page?login={logins[0]}&from=0&to={start + 999}&offset=1&total=5")
    assert [deal["Action"] for deal in page] == ["0"]
    assert await _refusal(client, f"deal/get_page?login={logins[0]}&from=0&to=1&offset=0&total=101") == 3
    assert await _refusal(client, f"deal/get_batch?group={GROUP}") == 3
    assert await _refusal(client, f"deal/get_batch?group={GROUP}&login=1&from=0&to=1") == 3
    assert await _refusal(client, "deal/get?ticket=99999") == 13
    orders = await client.answer(f"history/get_batch?group={GROUP}&from={start}&to={start + 999}")
    assert [order["State"] for order in orders] == ["4"] * 3


async def test_positions_and_open_orders(simulator, client) -> None:
    [login] = await simulator.create_accounts(GROUP, 1, deposit="100000")
    for volume in ("0.10", "0.20"):
        await simulator.buy(login, "EURUSD", volume)
    await simulator.sell(login, "GBPUSD", "0.30")
    assert (await client.answer(f"position/get_total?login={login}"))["Total"] == "3"
    page = await client.answer(f"position/get_page?login={login}&offset=1&total=1")
    assert [position["Volume"] for position in page] == ["2000"]
    assert len(await client.answer(f"position/get_batch?login={login}&symbol=EURUSD")) == 2
    assert (await client.answer(f"order/get_total?login={login}"))["Total"] == "0"
    assert await client.answer(f"order/get_batch?login={login}") == []
    assert await _refusal(client, "order/get?ticket=1") == 13


async def test_account_states_of_a_group(simulator, client) -> None:
    idle, active = await simulator.create_accounts(GROUP, 2)
    await client.answer(f"trade/balance?login={active}&type=2&balance=1000")
    await simulator.buy(active, "EURUSD", "0.10")
    [state] = await client.answer(f"user/account/get_batch?group={GROUP}")
    assert (state["Login"], state["Profit"], state["Margin"]) == (str(active), "-1.00", "110.00")
    assert (state["Equity"], state["MarginFree"], state["MarginLevel"]) == ("999.00", "889.00", "908.18")
    assert await _refusal(client, f"user/account/get?login={idle}") == 13


async def test_margin_and_profit_calculators_take_volumes_in_1e8(simulator, client) -> None:
    [login] = await simulator.create_accounts(GROUP, 1, deposit="1000")
    margin = await client.answer(f"trade/check_margin?login={login}&symbol=EURUSD&type=0&volume=10000000&price=0")
    assert (margin["new"]["Margin"], margin["current"]["Margin"]) == ("110.00", "0.00")
    query = "symbol=EURUSD&type=0&volume=10000000&price_open=1.11500&price_close=1.12500"
    profit = await client.answer(f"trade/calc_profit?group={GROUP}&{query}")
    assert profit == {"Profit": "100.00", "Profit_rate": "1.00000000"}


async def test_unknown_endpoints_and_broken_parameters(client) -> None:
    assert await _refusal(client, "no/such") == 12002
    assert await _refusal(client, "user/get") == 3
    assert await _refusal(client, "user/get?login=x") == 3


@pytest.mark.parametrize("count", [10_000])
async def test_ten_thousand_account_states_in_one_reply(simulator, client, count) -> None:
    await simulator.create_accounts(GROUP, count, deposit="1000")
    states = await client.answer(f"user/account/get_batch?group={GROUP}")
    assert len(states) == count
