"""Heaps find the same stops as a look at every position."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from apportion.mt5_simulator.codes import Side
from apportion.mt5_simulator.domain.guards import Guards
from apportion.mt5_simulator.domain.records import Position

SPREAD = 2
stop = st.integers(0, 40)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 12), stop, stop),
        st.tuples(st.just("remove"), st.integers(1, 12), st.just(0), st.just(0)),
        st.tuples(st.just("price"), st.integers(1, 40), st.just(0), st.just(0)),
    ),
    max_size=250,
)


def _made(ticket: int, sl_e8: int, tp_e8: int) -> Position:
    return Position(
        position=ticket,
        login=1,
        symbol="EURUSD",
        side=Side(ticket % 2),
        volume_e8=1,
        price_open_e8=1,
        time_create_ms=0,
        time_update_ms=0,
        rate_margin_e8=1,
        price_sl_e8=sl_e8,
        price_tp_e8=tp_e8,
    )


def _is_reached(position: Position, bid_e8: int) -> bool:
    price_e8 = bid_e8 if position.side is Side.BUY else bid_e8 + SPREAD
    sign = 1 if position.side is Side.BUY else -1
    lost = position.price_sl_e8 and sign * (price_e8 - position.price_sl_e8) <= 0
    won = position.price_tp_e8 and sign * (price_e8 - position.price_tp_e8) >= 0
    return bool(lost or won)


@settings(max_examples=300, deadline=None)
@given(steps)
def test_the_same_stops_as_by_looking_at_every_position(actions) -> None:
    guards, held = Guards(), dict[int, Position]()
    for kind, number, sl_e8, tp_e8 in actions:
        if kind == "put":
            held[number] = _made(number, sl_e8, tp_e8)
            guards.put(held[number])
        elif kind == "remove" and number in held:
            guards.remove(held.pop(number))
        elif kind == "price":
            expected = sorted(ticket for ticket, position in held.items() if _is_reached(position, number))
            assert guards.reached("EURUSD", number, number + SPREAD) == expected
            for ticket in expected:
                guards.remove(held.pop(ticket))


def test_stops_that_are_moved_again_and_again_leave_nothing_behind() -> None:
    guards = Guards()
    for price_e8 in range(1, 10_001):
        guards.put(_made(2, price_e8, 0))
        guards.put(_made(3, 0, price_e8))
    for book in guards._books.values():
        assert len(book._below) + len(book._above) < 100
    assert guards.reached("EURUSD", 9_999, 9_999 + SPREAD) == [2]
