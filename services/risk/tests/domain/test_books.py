from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from risk_world import deals_of

from apportion.risk.domain.books import DayStart, Explanation, Known, explain, first_ticket, unexplained_rest

START = DayStart(balance_minor=10_000, credit_minor=0, server_time_ms=100_000, ticket=5)
SETTLE_MS = 1_000


def explained(*rows, balance, credit=0, time_ms=200_000, start=START) -> Explanation | None:
    return explain(
        start,
        deals_of(*rows),
        balance_minor=balance,
        credit_minor=credit,
        server_time_ms=time_ms,
        settle_ms=SETTLE_MS,
    )


def test_an_unchanged_balance_needs_no_deal():
    assert explained(balance=10_000) == Explanation(ticket=5, flow_minor=0)


def test_deals_before_the_day_start_do_not_count():
    assert explained((4, 7, 0, 7, 1), (5, 9, 0, 9, 2), balance=10_000) == Explanation(5, 0)


def test_a_snapshot_contains_the_deals_that_lead_to_its_balance():
    rows = [(6, 500, 0, 500, 150_000), (7, -80, 0, 0, 199_500), (8, -300, 0, -300, 199_900)]
    assert explained(*rows, balance=10_500) == Explanation(6, 500)
    assert explained(*rows, balance=10_420) == Explanation(7, 500)
    assert explained(*rows, balance=10_120) == Explanation(8, 200)
    assert explained(*rows, balance=10_421) is None


def test_a_deal_that_must_be_inside_by_its_time_cannot_be_left_out():
    assert explained((6, 500, 0, 500, 150_000), balance=10_000) is None
    assert explained((6, 500, 0, 500, 199_500), balance=10_000) == Explanation(5, 0)


def test_credit_is_matched_beside_the_balance():
    row = (6, 0, 700, 700, 150_000)
    assert explained(row, balance=10_000, credit=700) == Explanation(6, 700)
    assert explained(row, balance=10_700) is None


def test_deals_that_cancel_out_give_the_lower_signal_until_time_decides():
    rows = [(6, 900, 0, 900, 199_500), (7, -900, 0, 0, 199_600)]
    assert explained(*rows, balance=10_000) == Explanation(5, 0)
    assert explained(*rows, balance=10_000, time_ms=201_000) == Explanation(7, 900)


def test_a_deal_near_the_day_start_may_be_inside_it():
    near, far = (6, 500, 0, 500, 100_900), (6, 500, 0, 500, 101_100)
    assert explained(near, balance=10_000) == Explanation(6, 0)
    assert explained(near, balance=10_500) == Explanation(6, 500)
    assert explained(far, balance=10_000) is None
    later = (7, -200, 0, -200, 150_000)
    assert explained(near, later, balance=9_800) == Explanation(7, -200)


@given(
    st.lists(st.tuples(st.integers(-10_000, 10_000), st.booleans()), max_size=20),
    st.data(),
)
def test_every_state_that_the_account_went_through_is_explained_with_its_balance(moves, data):
    rows = [
        (10 + number, amount, 0, amount if is_flow else 0, 150_000) for number, (amount, is_flow) in enumerate(moves)
    ]
    count = data.draw(st.integers(0, len(rows)))
    balances = list(accumulate((row[1] for row in rows[:count]), initial=START.balance_minor))
    found = explained(*rows, balance=balances[-1], time_ms=150_000)
    assert found is not None
    inside = [row for row in rows if row[0] <= found.ticket]
    assert START.balance_minor + sum(row[1] for row in inside) == balances[-1]
    assert found.flow_minor == sum(row[3] for row in inside)
    fitting = [
        sum(row[3] for row in rows[:n]) for n in range(len(rows) + 1)
        if START.balance_minor + sum(row[1] for row in rows[:n]) == balances[-1]
    ]  # fmt: skip
    assert found.flow_minor == min(fitting)


def test_what_is_known_when_nothing_explains():
    rows = deals_of((5, 9, 0, 9, 1), (6, 500, 0, 500, 150_000), (7, -80, 0, 0, 160_000), (8, 0, 70, 70, 170_000))
    assert unexplained_rest(START, rows, balance_minor=10_000, credit_minor=70) == Known(570, -420)


@pytest.mark.parametrize(("time_ms", "ticket"), [(100_000, 0), (151_000, 6), (999_999, 7)])
def test_an_unexplained_day_start_contains_deals_by_their_time(time_ms, ticket):
    rows = deals_of((6, 1, 0, 1, 150_000), (7, 1, 0, 1, 160_000))
    assert first_ticket(rows, time_ms, SETTLE_MS) == ticket
