"""Replies as servers print them: strings for numbers, two spellings of ids, two places of results."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apportion.mt5 import UnexpectedReply, dealer
from apportion.mt5.accounts import Account, columns_of
from apportion.mt5.deals import Deal
from apportion.mt5.positions import Position
from apportion.mt5.positions import list_of_logins as positions_of_logins
from apportion.mt5.records import LOGINS_PER_CALL
from apportion.mt5.reply import Reply, decode, parse_reply
from apportion.mt5.symbols import Symbol


class Answering:
    """A connection that answers with one text."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def call(self, *_: object, **__: object) -> Reply:
        return parse_reply(self._text.encode())


REQUEST = dealer.DealerRequest(login=1, symbol="EURUSD", digits=5, volume_e8=-150_000_000, comment="ap:o1", position=7)


@pytest.mark.parametrize("key", ["id", "ID", "Id"])
@pytest.mark.parametrize("value", ['"17"', "17"])
async def test_request_id_in_any_spelling(key: str, value: str) -> None:
    connection: Any = Answering(f'{{"retcode": "0 Done", "answer": {{"{key}": {value}}}}}')
    assert await dealer.send(connection, REQUEST) == 17


async def test_a_reply_without_an_id_is_unexpected() -> None:
    connection: Any = Answering('{"retcode": "0 Done", "answer": {}}')
    with pytest.raises(UnexpectedReply):
        await dealer.send(connection, REQUEST)


def results_text(*, nested: bool, retcode: str) -> str:
    confirm = {"Retcode": retcode, "VolumeExt": "50000000", "Price": "1.10010", "DealID": "8", "OrderID": "9"}
    body: dict[str, Any] = {
        "1": [{"result": confirm}, {"answer": {"ResultRetcode": retcode}}],
        "2": [],
        "3": [{"answer": {"ResultRetcode": "10019 No money"}}],
        "4": [{"result": {"Retcode": "10002"}}],
    }
    return json.dumps({"retcode": "0 Done", "answer": body} if nested else {"retcode": "0 Done"} | body)


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("retcode", ["10009", "10009 Done"])
async def test_results_in_both_places(nested: bool, retcode: str) -> None:
    connection: Any = Answering(results_text(nested=nested, retcode=retcode))
    results = await dealer.results(connection, [1, 2, 3, 4, 5])
    assert results.finished[1] == dealer.Confirmation(10009, 50_000_000, 110_010_000, deal=8, order=9)
    assert results.finished[3].retcode == 10019
    assert results.gone == [5], "2 and 4 are pending"


def test_request_body() -> None:
    body = REQUEST.body()
    assert (body["Type"], body["Volume"], body["VolumeExt"], body["Position"], body["Flags"]) == (
        "1",
        "15000",
        "150000000",
        "7",
        "1",
    )
    with pytest.raises(ValueError, match="longer"):
        dealer.DealerRequest(1, "EURUSD", 5, 1, comment="x" * 32).body()


@pytest.mark.parametrize(
    ("fill_flags", "execution_mode", "fill_type"), [(1, 2, 0), (3, 2, 0), (2, 2, 1), (6, 0, 1), (0, 1, 0), (0, 3, 2)]
)
def test_a_symbol_says_how_its_orders_are_filled(fill_flags: int, execution_mode: int, fill_type: int) -> None:
    document = {"Symbol": "EURUSD", "FillFlags": str(fill_flags), "ExecMode": str(execution_mode)}
    symbol = decode(json.dumps(document).encode(), Symbol)
    request = dealer.DealerRequest(1, "EURUSD", 5, 1, comment="", fill_type=symbol.fill_type)
    assert request.body()["TypeFill"] == str(fill_type)


def test_body_of_a_modification() -> None:
    change = dealer.ModifyRequest(7, "EURUSD", 5, position=9, stop_loss_e8=109_500_000, take_profit_e8=0)
    assert change.body() == {
        "Action": "202",
        "Login": "7",
        "Symbol": "EURUSD",
        "Digits": "5",
        "Position": "9",
        "PriceSL": "1.09500000",
        "PriceTP": "0.00000000",
    }


def test_a_position() -> None:
    text = b"""{"Position":"5","Login":"7","Symbol":"EURUSD","Action":"1","VolumeExt":"100","TimeCreate":"3",
        "PriceOpen":"1.1","PriceSL":"1.2","PriceTP":"1.05","Profit":"-2","Storage":"0.10","DigitsCurrency":"2"}"""
    position = decode(text, Position)
    assert (position.signed_volume_e8, position.server_time_ms, position.price_open_e8) == (-100, 3_000, 110_000_000)
    assert (position.price_sl_e8, position.price_tp_e8) == (120_000_000, 105_000_000)
    assert (position.profit_minor, position.storage_minor) == (-200, 10)


class Listing:
    """Answers each call with one position per login asked for, and counts the calls."""

    def __init__(self) -> None:
        self.call_count = 0

    async def call(self, command: str, query: dict[str, str], *_: object, **__: object) -> Reply:
        self.call_count += 1
        rows = [{"Position": login, "Login": login, "Symbol": "EURUSD"} for login in query["login"].split(",")]
        return parse_reply(json.dumps({"retcode": "0 Done", "answer": rows}).encode())


async def test_many_logins_are_asked_for_in_parts() -> None:
    caller: Any = Listing()
    logins = list(range(1, 2 * LOGINS_PER_CALL + 2))
    assert [position.login for position in await positions_of_logins(caller, logins)] == logins
    assert caller.call_count == 3
    assert await positions_of_logins(caller, []) == []


def test_a_symbol() -> None:
    text = b"""{"Symbol":"XAUUSD","Digits":"2","CurrencyMargin":"USD","ContractSize":"100.00000000"}"""
    symbol = decode(text, Symbol)
    assert (symbol.digits, symbol.currency_margin, symbol.contract_size_e8) == (2, "USD", 100 * 10**8)
    assert decode(b'{"Symbol":"EURUSD"}', Symbol).digits == 5


@pytest.mark.parametrize(("size", "size_e8"), [("0.01000000", 10**6), ("0.00000001", 1), ("1.5", 150_000_000)])
def test_a_lot_may_be_a_part_of_a_unit(size: str, size_e8: int) -> None:
    assert decode(json.dumps({"Symbol": "X", "ContractSize": size}).encode(), Symbol).contract_size_e8 == size_e8


@pytest.mark.parametrize(
    "broken",
    [
        {"ContractSize": "0.000000001"},
        {"ContractSize": "1e5"},
        {"ContractSize": "-1.00"},
        {"ContractSize": "100000000000.00"},
        {"Digits": "9"},
        {"Digits": "-1"},
        {"VolumeMaxExt": str(2**63)},
        {"VolumeStepExt": "-1"},
    ],
)
def test_a_symbol_that_cannot_be_counted_with_is_unreadable(broken: dict[str, str]) -> None:
    with pytest.raises(UnexpectedReply):
        decode(json.dumps({"Symbol": "X"} | broken).encode(), Symbol)


def test_a_deal_of_strings_and_one_of_numbers() -> None:
    text = b"""{"Deal":"5","Login":"7","Action":"1","Entry":"1","Time":"1000","Volume":"100","Profit":"-1.50",
        "DigitsCurrency":"2","Symbol":"EURUSD","Price":"1.1","Comment":"ap:o3","Unknown":{"x":1}}"""
    deal = decode(text, Deal)
    assert (deal.signed_volume_e8, deal.profit_minor, deal.server_time_ms) == (-1_000_000, -150, 1_000_000)
    assert deal.price_e8 == 110_000_000
    balance = decode(b'{"Deal":6,"Login":7,"Action":2,"Profit":"100.00"}', Deal)
    assert (balance.is_trade, balance.signed_volume_e8, balance.profit_minor) == (False, 0, 10_000)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"retcode": "x"}', '{"retcode": "0"', "<html>"])
def test_what_is_no_reply(text: str) -> None:
    with pytest.raises(UnexpectedReply):
        parse_reply(text.encode())


def test_account_states_of_many_accounts_become_sorted_columns() -> None:
    rows = [
        {
            "Login": str(20_000 - n),
            "CurrencyDigits": "2",
            "Balance": "10000.00",
            "Credit": "0.00",
            "Margin": "100.00" if n % 2 else "0.00",
            "MarginFree": "9900.00",
            "MarginLevel": "1000.00",
            "MarginLeverage": "200",
            "Profit": "-12.34" if n % 2 else "0.00",
            "Equity": "9987.66",
            **{f"Other{k}": "0.00" for k in range(12)},
        }
        for n in range(10_000)
    ]
    body = json.dumps({"retcode": "0 Done", "answer": rows}).encode()
    columns = columns_of(parse_reply(body).as_type(list[Account]))
    assert columns.logins[0] == 10_001
    assert columns.equities_minor.sum() == 998_766 * 10_000
    assert columns.position_flags.sum() == 5_000
    assert set(columns.leverages) == {200}
