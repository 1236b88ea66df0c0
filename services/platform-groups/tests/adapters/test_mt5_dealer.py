"""Orders are put as their symbol wants them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from apportion.mt5.reply import Reply, parse_reply
from apportion.platform_groups.adapters.mt5_dealer import Mt5Dealer
from apportion.platform_groups.domain.orders import SentOrder
from apportion.platform_groups.domain.states import OrderPurpose


class Line:
    """A connection to a server with one symbol, which takes every request."""

    def __init__(self, symbol: Mapping[str, str]) -> None:
        self.generation = 1
        self.sent: list[Mapping[str, str]] = []
        self._symbol = symbol

    async def call(
        self,
        command: str,
        _query: object = None,
        body: Mapping[str, Any] | None = None,
        *,
        write: bool = False,
        permit: Callable[[], bool] | None = None,
    ) -> Reply:
        answer: Mapping[str, str] = self._symbol
        if write and permit is not None and permit():
            self.sent.append(body or {})
            answer = {"id": "1"}
        return parse_reply(json.dumps({"retcode": "0 Done", "answer": answer}).encode())


@pytest.mark.parametrize(("fill_flags", "fill_type"), [("1", "0"), ("2", "1"), ("3", "0")])
async def test_an_order_is_filled_as_its_symbol_allows_it(fill_flags: str, fill_type: str) -> None:
    line = Line({"Symbol": "EURUSD", "Digits": "3", "FillFlags": fill_flags})
    dealer = Mt5Dealer(line, patience_seconds=5.0)  # type: ignore[arg-type]
    for purpose, ticket in ((OrderPurpose.OPEN, 0), (OrderPurpose.CLOSE, 77)):
        order = SentOrder(1, 2, 3, 4, purpose, "EURUSD", 100, ticket, 0, 0, 0, 0, None, 1, 1)
        assert await dealer.send(order, lambda: True) is None
    assert [(body["TypeFill"], body["Digits"]) for body in line.sent] == [(fill_type, "3")] * 2
