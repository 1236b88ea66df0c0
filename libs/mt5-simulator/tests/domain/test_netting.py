"""One position per symbol: what adds to it, reduces it, turns it around."""

from __future__ import annotations

import pytest

from apportion.mt5_simulator.codes import Entry, Reason, Refused, RequestFlags, Retcode, Side, TradeMode
from apportion.mt5_simulator.domain.engine import Engine
from apportion.mt5_simulator.domain.figures import E8
from apportion.mt5_simulator.domain.records import Deal, MarketRequest, ModifyRequest, Position

START_MS = 1_772_532_000_000
DAY_MS = 86_400_000
GROUP = "demo\\forex-netting-usd"


@pytest.fixture
def login(engine, open_account) -> int:
    """An account with 10 000.00 USD; EURUSD is 1.10000 / 1.10010."""
    return int(open_account(engine, 1_000_000, GROUP))


def trade(engine: Engine, login: int, side: Side, volume_e8: int, **more: object) -> Deal:
    request = {"login": login, "symbol": "EURUSD", "side": side, "volume_e8": volume_e8, **more}
    return engine.execute(MarketRequest(**request), START_MS)


def only(engine: Engine, login: int) -> Position:
    [position] = engine.ledger.positions_of(login)
    return position


def test_an_added_volume_keeps_the_ticket_and_means_the_price(engine, login) -> None:
    first = trade(engine, login, Side.BUY, E8)
    engine.set_price("EURUSD", 110_400_000, 110_410_000, START_MS)
    second = trade(engine, login, Side.BUY, 2 * E8)
    position = only(engine, login)
    assert position.position == first.position == second.position == first.order
    assert (second.entry, second.volume_closed_e8, second.profit_minor) == (Entry.IN, 0, 0)
    assert (position.volume_e8, position.price_open_e8) == (3 * E8, 110_276_667)
    user = engine.ledger.users[login]
    assert engine.valuation.account(user).margin_minor == (110_000 + 2 * 110_400)
    assert engine.valuation.account(user).profit_minor == 37_000


def test_a_smaller_opposite_trade_reduces(engine, login) -> None:
    opened = trade(engine, login, Side.BUY, E8)
    engine.set_price("EURUSD", 110_510_000, 110_520_000, START_MS)
    reduced = trade(engine, login, Side.SELL, E8 * 4 // 10)
    assert (reduced.entry, reduced.volume_closed_e8, reduced.profit_minor) == (Entry.OUT, E8 * 4 // 10, 20_000)
    position = only(engine, login)
    assert (position.position, position.volume_e8, position.price_open_e8) == (
        opened.position,
        E8 * 6 // 10,
        110_010_000,
    )
    closed = trade(engine, login, Side.SELL, E8 * 6 // 10)
    assert (closed.entry, closed.position, closed.profit_minor) == (Entry.OUT, opened.position, 30_000)
    assert engine.ledger.positions_of(login) == []
    assert trade(engine, login, Side.BUY, E8).position != opened.position


def test_a_larger_opposite_trade_turns_the_position_around(engine, login) -> None:
    opened = trade(engine, login, Side.BUY, E8, price_sl_e8=109_000_000)
    engine.step(START_MS + DAY_MS)  # a night: −6.50
    engine.set_price("EURUSD", 110_510_000, 110_520_000, START_MS)
    turned = trade(engine, login, Side.SELL, 3 * E8, price_tp_e8=109_500_000, comment="round")
    assert (turned.entry, turned.volume_e8, turned.volume_closed_e8) == (Entry.IN_OUT, 3 * E8, E8)
    assert (turned.profit_minor, turned.storage_minor, turned.price_position_e8) == (50_000, -650, 110_010_000)
    assert (turned.price_sl_e8, turned.price_tp_e8) == (0, 109_500_000)
    position = only(engine, login)
    assert (position.side, position.volume_e8, position.price_open_e8) == (Side.SELL, 2 * E8, 110_510_000)
    assert (position.price_sl_e8, position.price_tp_e8, position.storage_minor) == (0, 109_500_000, 0)
    assert (position.comment, position.position, position.lasting_id) == ("round", turned.order, opened.position)
    assert turned.position == opened.position, "deals keep the first id"
    assert engine.ledger.users[login].balance_minor == 1_000_000 + 50_000 - 650
    back = trade(engine, login, Side.BUY, 2 * E8)
    assert (back.entry, back.position, back.profit_minor) == (Entry.OUT, opened.position, -2_000)


def test_stops_of_an_added_volume_replace_those_it_names(engine, login) -> None:
    trade(engine, login, Side.BUY, E8, price_sl_e8=109_000_000, price_tp_e8=112_000_000)
    added = trade(engine, login, Side.BUY, E8, price_sl_e8=109_500_000)
    position = only(engine, login)
    assert (position.price_sl_e8, position.price_tp_e8) == (109_500_000, 112_000_000)
    assert (added.price_sl_e8, added.price_tp_e8) == (109_500_000, 112_000_000)
    trade(engine, login, Side.SELL, E8 // 2)
    [stopped] = engine.set_price("EURUSD", 109_400_000, 109_410_000, START_MS)
    assert (stopped.reason, stopped.volume_e8, stopped.entry) == (Reason.STOP_LOSS, E8 * 3 // 2, Entry.OUT)


@pytest.mark.parametrize("close", [{"position": True}, {"flags": int(RequestFlags.CLOSE)}])
def test_a_close_never_turns_around(engine, login, close) -> None:
    def asked(volume_e8: int, side: Side = Side.SELL) -> Deal:
        ticket = {"position": position.position} if "position" in close else close
        return trade(engine, login, side, volume_e8, **ticket)

    trade(engine, login, Side.BUY, E8)
    position = only(engine, login)
    for volume_e8, side, retcode in (
        (2 * E8, Side.SELL, Retcode.INVALID_CLOSE_VOLUME),
        (E8, Side.BUY, Retcode.INVALID_REQUEST),
    ):
        with pytest.raises(Refused) as refused:
            asked(volume_e8, side)
        assert refused.value.retcode == retcode
    assert asked(E8).entry == Entry.OUT
    with pytest.raises(Refused) as refused:
        asked(E8)
    assert refused.value.retcode == Retcode.POSITION_CLOSED


def test_after_a_reversal_only_the_new_ticket_closes(engine, login) -> None:
    opened = trade(engine, login, Side.BUY, E8)
    turned = trade(engine, login, Side.SELL, 2 * E8)
    with pytest.raises(Refused) as refused:
        trade(engine, login, Side.BUY, E8, position=opened.position)
    assert refused.value.retcode == Retcode.POSITION_CLOSED
    change = ModifyRequest(login=login, position=turned.order, price_sl_e8=111_000_000, price_tp_e8=0)
    assert engine.modify(change, START_MS).price_sl_e8 == 111_000_000
    assert trade(engine, login, Side.BUY, E8, position=turned.order).volume_closed_e8 == E8


def test_money_is_needed_for_what_is_held_afterwards(engine, login) -> None:
    trade(engine, login, Side.BUY, 8 * E8)
    with pytest.raises(Refused) as refused:
        trade(engine, login, Side.BUY, 2 * E8)
    assert refused.value.retcode == Retcode.NO_MONEY
    assert trade(engine, login, Side.SELL, 16 * E8).entry == Entry.IN_OUT, "eight lots held before and after"
    with pytest.raises(Refused) as refused:
        trade(engine, login, Side.BUY, 18 * E8)
    assert refused.value.retcode == Retcode.NO_MONEY
    assert only(engine, login).volume_e8 == 8 * E8


def test_a_symbol_for_closing_only_is_reduced_and_not_turned_around(engine, login) -> None:
    trade(engine, login, Side.BUY, E8)
    engine.set_trade_mode("EURUSD", TradeMode.CLOSE_ONLY)
    for side in (Side.BUY, Side.SELL):
        with pytest.raises(Refused) as refused:
            trade(engine, login, side, 2 * E8)
        assert refused.value.retcode == Retcode.CLOSE_ONLY
    assert trade(engine, login, Side.SELL, E8 // 2).entry == Entry.OUT


def test_stops_keep_the_distance_of_the_symbol(engine, login) -> None:
    engine.board.symbol("EURUSD").stops_level_points = 20
    for sl_e8, tp_e8 in ((109_981_000, 0), (0, 110_019_000)):
        with pytest.raises(Refused) as refused:
            trade(engine, login, Side.BUY, E8, price_sl_e8=sl_e8, price_tp_e8=tp_e8)
        assert refused.value.retcode == Retcode.INVALID_STOPS
    trade(engine, login, Side.BUY, E8, price_sl_e8=109_980_000, price_tp_e8=110_020_000)
