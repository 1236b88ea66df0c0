"""What the audit of a random day makes of the server's records: a master's deals, and what accounts were worth."""

from __future__ import annotations

from apportion.devstack.ledger import Json
from apportion.devstack.random_books import Book, master_deals
from apportion.devstack.random_figures import State


def deal(ticket: int, action: int, steps: int, position: int, price: str = "1.10000", profit: str = "0.00") -> Json:
    return {
        "Deal": str(ticket),
        "Action": str(action),
        "VolumeExt": str(steps * 1_000_000),
        "PositionID": str(position),
        "Symbol": "EURUSD",
        "Price": price,
        "Profit": profit,
        "Storage": "0.00",
        "Commission": "0.00",
    }


def test_a_netting_position_is_enlarged_reduced_and_turned_around() -> None:
    trades = [deal(1, 0, 10, 7), deal(2, 0, 5, 7), deal(3, 1, 3, 7), deal(4, 1, 20, 7), deal(5, 0, 8, 7)]
    made = [(d.opened_e8 // 10**6, d.closed_e8 // 10**6) for d in master_deals(Book([], trades, []))]
    assert made == [(10, 0), (5, 0), (0, -3), (-8, -12), (0, 8)]


def test_an_account_between_its_deals() -> None:
    state = State(0, {}).after({**deal(1, 2, 0, 0), "Profit": "1000.00"})
    state = state.after(deal(2, 0, 10, 7)).after(deal(3, 1, 4, 8, "1.20000"))
    # 0.10 lot bought at 1.1 and 0.04 sold at 1.2, both worth 1.15: 500.00 up and 200.00 up; margin of the heavier side.
    assert state.equity_minor({"EURUSD": 115_000}) == 100_000 + 50_000 + 20_000
    assert state.margin_minor == 11_000
    state = state.after(deal(4, 1, 10, 7, "1.15000", "500.00"))
    assert (state.balance_minor, state.margin_minor) == (150_000, 4_800)
    assert state.after(deal(5, 0, 4, 8, "1.15000", "200.00")) == State(170_000, {})
