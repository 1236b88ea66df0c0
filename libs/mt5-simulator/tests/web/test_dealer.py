from __future__ import annotations

import pytest

from apportion.mt5_simulator.process import AdminRefused

GROUP = "demo\\forex-hedge-usd"
API_DATA = [{"AppID": "17", "ID": "1", "ValueInt": "987654321"}]


def buy(login: int, volume: int = 10_000, **more: object) -> dict[str, object]:
    body = {"Action": "200", "Login": str(login), "Symbol": "EURUSD", "Volume": str(volume), "Type": "0"}
    return {**body, "TypeFill": "0", "PriceOrder": "0", "Digits": "5", **more}


def sell(login: int, volume: int = 10_000, **more: object) -> dict[str, object]:
    return buy(login, volume, **{"Type": "1", **more})


@pytest.fixture
async def login(simulator) -> int:
    return (await simulator.create_accounts(GROUP, 1, deposit="100000"))[0]


async def test_a_buy_becomes_an_order_a_deal_and_a_position(simulator, client, login) -> None:
    result = await client.deal(**buy(login, Comment="c" * 40, ApiData=API_DATA, PriceSL="1.09", PriceTP="1.12"))
    assert result["ResultRetcode"] == "10009"
    assert (result["ResultPrice"], result["ResultVolumeExt"]) == ("1.10010", "100000000")
    deal = await client.answer(f"deal/get?ticket={result['ResultDeal']}")
    order = await client.answer(f"history/get?ticket={result['ResultOrder']}")
    [position] = await client.answer(f"position/get_batch?login={login}")
    for record in (deal, order, position):
        assert record["Comment"] == "c" * 31
        assert record["ApiData"] == API_DATA
        assert record["Reason"] == "2"
        assert record["Dealer"] == "1000"
    assert deal["PositionID"] == order["PositionID"] == position["Position"] == result["ResultOrder"]
    assert (deal["Entry"], deal["Action"], deal["Price"], deal["Volume"]) == ("0", "0", "1.10010", "10000")
    assert (position["PriceSL"], position["PriceTP"], position["VolumeExt"]) == ("1.09000", "1.12000", "100000000")
    assert position["Profit"] == "-10.00"


async def test_partial_close_then_close(simulator, client, login) -> None:
    opened = await client.deal(**buy(login))
    position = opened["ResultOrder"]
    await simulator.set_price("EURUSD", "1.10510", "1.10520")
    part = await client.deal(**sell(login, 4_000, Position=position))
    deal = await client.answer(f"deal/get?ticket={part['ResultDeal']}")
    assert (deal["Entry"], deal["Profit"], deal["VolumeClosed"], deal["PricePosition"]) == (
        "1", "200.00", "4000", "1.10010",
    )  # fmt: skip
    assert (await client.answer(f"position/get?login={login}&symbol=EURUSD"))["Volume"] == "6000"
    await client.deal(**sell(login, 6_000, Position=position))
    assert await client.answer(f"position/get_batch?login={login}") == []
    assert (await client.answer(f"user/get?login={login}"))["Balance"] == "100500.00"


async def test_volume_ext_wins_over_volume(client, login) -> None:
    result = await client.deal(**buy(login, 10_000, VolumeExt="3000000"))
    assert result["ResultVolumeExt"] == "3000000"


@pytest.mark.parametrize(
    ("change", "retcode"),
    [
        ({"Volume": "50"}, "10014"),
        ({"Volume": "0"}, "10014"),
        ({"Volume": "150"}, "10014"),
        ({"Volume": "10000100"}, "10014"),
        ({"Volume": "1000000"}, "10019"),
        ({"PriceSL": "1.20"}, "10016"),
        ({"PriceTP": "1.00"}, "10016"),
        ({"Position": "77", "Type": "1"}, "10036"),
        ({"Flags": "1"}, "10013"),
        ({"TypeFill": "2"}, "10030"),
    ],
)
async def test_refusals_by_result(client, login, change, retcode) -> None:
    result = await client.deal(**{**buy(login), **change})
    assert (result["ResultRetcode"], result["ResultDeal"]) == (retcode, "0")


@pytest.mark.parametrize(
    ("change", "retcode"),
    [
        ({"Action": "199"}, "3"),
        ({"Action": "201"}, "12002"),
        ({"Symbol": "NOTHING"}, "13"),
        ({"Login": "9"}, "3"),
        ({"Type": "5"}, "3"),
        ({"Volume": "much"}, "3"),
        ({"Action": "202", "Position": "1", "VolumeExt": "much"}, "3"),
        ({"ApiData": [{"AppID": "5000", "ID": "1"}]}, "3"),
        ({"ApiData": API_DATA * 9}, "3"),
    ],
)
async def test_refusals_by_reply(client, login, change, retcode) -> None:
    reply = await client.ask("dealer/send_request", {**buy(login), **change})
    assert reply["retcode"].split()[0] == retcode


async def test_the_margin_check_can_be_skipped(client, login) -> None:
    assert (await client.deal(**buy(login, 920_000)))["ResultRetcode"] == "10019"
    assert (await client.deal(**buy(login, 920_000, Flags="1024")))["ResultRetcode"] == "10009"


async def test_close_refusals(simulator, client, login) -> None:
    [other] = await simulator.create_accounts(GROUP, 1, deposit="1000")
    position = (await client.deal(**buy(login, 500)))["ResultOrder"]
    assert (await client.deal(**sell(login, 600, Position=position)))["ResultRetcode"] == "10038"
    assert (await client.deal(**buy(login, 500, Position=position)))["ResultRetcode"] == "10013"
    assert (await client.deal(**sell(login, 250, Position=position)))["ResultRetcode"] == "10014"
    assert (await client.deal(**sell(other, 500, Position=position)))["ResultRetcode"] == "10036"
    assert (await client.deal(**sell(login, 500, Position=position)))["ResultRetcode"] == "10009"
    assert (await client.deal(**sell(login, 500, Position=position)))["ResultRetcode"] == "10036"


async def test_a_disabled_account_opens_nothing_and_a_dealer_can_close(simulator, client, login) -> None:
    position = (await client.deal(**buy(login)))["ResultOrder"]
    await client.answer(f"user/update?login={login}&rights=487")
    assert (await client.deal(**buy(login)))["ResultRetcode"] == "10017"
    with pytest.raises(AdminRefused) as refused:
        await simulator.close_position(login, position)
    assert refused.value.retcode == 10017
    assert (await client.deal(**sell(login, Position=position)))["ResultRetcode"] == "10009"


@pytest.mark.parametrize(
    ("mode", "side", "retcode"), [(0, buy, 10017), (1, sell, 10042), (2, buy, 10043), (3, buy, 10044)]
)
async def test_trade_modes(simulator, client, login, mode, side, retcode) -> None:
    await simulator.request("POST", "/symbol", {"symbol": "EURUSD", "trade_mode": mode})
    assert (await client.deal(**side(login)))["ResultRetcode"] == str(retcode)


async def test_modify_a_position(client, login) -> None:
    position = (await client.deal(**buy(login)))["ResultOrder"]
    change = {"Action": "202", "Login": str(login), "Symbol": "EURUSD", "Position": position, "PriceSL": "1.095"}
    assert (await client.deal(**change))["ResultRetcode"] == "10009"
    assert (await client.answer(f"position/get_batch?ticket={position}"))[0]["PriceSL"] == "1.09500"
    assert (await client.deal(**change))["ResultRetcode"] == "10025"
    assert (await client.deal(**{**change, "PriceSL": "1.3"}))["ResultRetcode"] == "10016"
    assert (await client.deal(**{**change, "Position": "99"}))["ResultRetcode"] == "10036"


async def test_results_are_read_once_and_only_where_they_were_sent(client, stranger, login) -> None:
    assert (await stranger.log_in())[0] == 200
    request_id = (await client.answer("dealer/send_request", buy(login)))["id"]
    assert await stranger.answer(f"dealer/get_request_result?id={request_id}") == {}
    assert await client.result(request_id) is not None
    assert await client.result(request_id) is None


async def test_a_result_is_pending_until_it_is_late_enough(simulator, client, login) -> None:
    await simulator.add_fault("late_result", endpoint="dealer/send_request", seconds=0.15)
    request_id = (await client.answer("dealer/send_request", buy(login)))["id"]
    assert (await client.answer(f"dealer/get_request_result?id={request_id}")) == {request_id: []}
    result = await client.result(request_id)
    assert result is not None
    assert result[0]["result"]["Retcode"] == "10009"


async def test_128_results_may_be_outstanding(client, login) -> None:
    for _ in range(128):
        await client.answer("dealer/send_request", buy(login, 100))
    assert (await client.ask("dealer/send_request", buy(login, 100)))["retcode"].startswith("10024")
    finished: dict[str, object] = {}
    for _ in range(200):
        finished |= {key: value for key, value in (await client.answer("dealer/get_request_result")).items() if value}
        if len(finished) == 128:
            break
    assert len(finished) == 128
    await client.answer("dealer/send_request", buy(login, 100))


NETTING = "demo\\forex-netting-usd"


async def test_a_netting_account_has_one_position_per_symbol(simulator, client) -> None:
    [login] = await simulator.create_accounts(NETTING, 1, deposit="100000")
    assert (await client.answer("group/get?group=demo\\forex-netting-usd"))["MarginMode"] == "0"
    opened = await client.deal(**buy(login))
    await simulator.set_price("EURUSD", "1.10100", "1.10121")
    added = await client.deal(**buy(login, 20_000))
    [position] = await client.answer(f"position/get_batch?login={login}")
    assert (position["Position"], position["Volume"]) == (opened["ResultOrder"], "30000")
    assert position["PriceOpen"] == "1.10084"
    reduced = await client.deal(**sell(login, 5_000))
    turned = await client.deal(**sell(login, 40_000))
    [position] = await client.answer(f"position/get_batch?login={login}")
    assert (position["Position"], position["Action"], position["Volume"]) == (turned["ResultOrder"], "1", "15000")
    tickets = ",".join(result["ResultDeal"] for result in (opened, added, reduced, turned))
    deals = await client.answer(f"deal/get_batch?ticket={tickets}")
    assert [(deal["Entry"], deal["Volume"], deal["VolumeClosed"]) for deal in deals] == [
        ("0", "10000", "0"), ("0", "20000", "0"), ("1", "5000", "5000"), ("2", "40000", "25000"),
    ]  # fmt: skip
    assert {deal["PositionID"] for deal in deals} == {opened["ResultOrder"]}
    assert [deal["Profit"] for deal in deals] == ["0.00", "0.00", "8.00", "40.00"]


async def test_a_mean_price_off_the_grid_has_eight_digits(simulator, client) -> None:
    [login] = await simulator.create_accounts(NETTING, 1, deposit="100000")
    await client.deal(**buy(login))
    await simulator.set_price("EURUSD", "1.10100", "1.10111")
    await client.deal(**buy(login, 20_000))
    assert (await client.answer(f"position/get?login={login}&symbol=EURUSD"))["PriceOpen"] == "1.10077333"


async def test_swap_and_commission_stand_on_the_deals(simulator, client) -> None:
    [login] = await simulator.create_accounts("demo\\forex-hedge-usd-commission", 1, deposit="100000")
    opened = await client.deal(**buy(login))
    await simulator.advance(86_400)
    assert (await client.answer(f"position/get?login={login}&symbol=EURUSD"))["Storage"] == "-6.50"
    closed = await client.deal(**sell(login, 4_000, Position=opened["ResultOrder"]))
    deals = await client.answer(f"deal/get_batch?ticket={opened['ResultDeal']},{closed['ResultDeal']}")
    assert [(deal["Storage"], deal["Commission"]) for deal in deals] == [("0.00", "-3.50"), ("-2.60", "-1.40")]
