"""Replies as servers print them: strings for numbers, two spellings of ids, two places of results."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from apportion.mt5 import UnexpectedReply, dealer
from apportion.mt5.accounts import Account, columns_of
from apportion.mt5.deals import Deal
from apportion.mt5.reply import Reply, decode, parse_reply


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


def test_ten_thousand_account_states_are_parsed_quickly() -> None:
    rows = [
        {
            "Login": str(20_000 - n),
            "CurrencyDigits": "2",
            "Balance": "10000.00",
            "Credit": "0.00",
            "Margin": "100.00" if n % 2 else "0.00",
            "MarginFree": "9900.00",
            "MarginLevel": "1000.00",
            "Profit": "-12.34" if n % 2 else "0.00",
            "Equity": "9987.66",
            **{f"Other{k}": "0.00" for k in range(12)},
        }
        for n in range(10_000)
    ]
    body = json.dumps({"retcode": "0 Done", "answer": rows}).encode()
    best = 1.0
    for _ in range(3):
        start = time.perf_counter()
        columns = columns_of(parse_reply(body).as_type(list[Account]))
        best = min(best, time.perf_counter() - start)
    assert columns.logins[0] == 10_001
    assert columns.equities_minor.sum() == 998_766 * 10_000
    assert columns.position_flags.sum() == 5_000
    assert best < 0.1, f"{best * 1000:.0f} ms"
