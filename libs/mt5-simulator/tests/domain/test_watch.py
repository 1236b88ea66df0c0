"""The shortcut that finds stop outs agrees with valuing every account at every price."""

from __future__ import annotations

import random

from apportion.mt5_simulator.codes import Reason, Refused, Side
from apportion.mt5_simulator.domain.engine import Engine
from apportion.mt5_simulator.domain.figures import E8
from apportion.mt5_simulator.domain.records import MarketRequest
from apportion.mt5_simulator.domain.settings import ServerSettings
from apportion.mt5_simulator.prices.choice import choose_feed

START_MS = 1_772_532_000_000


def _below_stop_out(engine: Engine) -> list[int]:
    below = []
    for user in engine.ledger.users.values():
        state = engine.valuation.account(user)
        percent = engine.valuation.groups[user.group].stop_out_percent
        if engine.ledger.positions_of(user.login) and 100 * state.equity_minor < percent * state.margin_minor:
            below.append(user.login)
    return below


def test_no_account_is_ever_left_below_its_stop_out_level(open_account) -> None:
    settings = ServerSettings()
    engine = Engine(settings, choose_feed("walk", 5, settings.symbols))
    engine.step(START_MS)
    choice = random.Random(5)
    for number in range(80):
        login = open_account(engine, choice.randrange(30_000, 200_000), settings.groups[number % 3].name)
        for _ in range(3):
            symbol = choice.choice(settings.symbols).name
            volume_e8 = choice.randrange(1, 80) * E8 // 100
            request = MarketRequest(login=login, symbol=symbol, side=Side(choice.randrange(2)), volume_e8=volume_e8)
            try:
                engine.execute(request, START_MS)
            except Refused:
                continue
    stopped = 0
    for step in range(1, 600):
        deals = engine.step(START_MS + step * 1_200_000)
        stopped += sum(deal.reason is Reason.STOP_OUT for deal in deals)
        assert _below_stop_out(engine) == []
    assert stopped > 10
    assert len(engine.ledger.positions) > 20
