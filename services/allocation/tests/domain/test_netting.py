"""Netting accounts: the books of single children always sum up to the one position that the server shows."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from apportion.allocation.domain.netting import NOBODY, NetBook, NetChild, NetDeal, Part

A, B, C = 1, 2, 3
EXCESS = 1_000
DEAL = NetDeal(1, 101, "EURUSD", 9, 0, 100, 0)


def book(*children: tuple[int, int], nobodys: int = 0) -> NetBook:
    """Children with their signed open volumes, and what is nobody's."""
    made = [NetChild(number, 1 if volume > 0 else -1, abs(volume)) for number, volume in children]
    return NetBook.of(made, nobodys)


def foreign(of: NetBook, volume: int) -> list[tuple[int, int]]:
    return [(part.child_trade_id, part.volume_e8) for part in of.book(replace(DEAL, volume_e8=volume))]


def own(of: NetBook, child: int, volume: int, *, opens: bool = False) -> list[tuple[int, int]]:
    deal = replace(DEAL, volume_e8=volume, child_trade_id=child, opens=opens)
    return [(part.child_trade_id, part.volume_e8) for part in of.book(deal)]


def opened(of: NetBook) -> dict[int, int]:
    return {number: child.direction * child.open_volume_e8 for number, child in of.children.items()}


def test_an_order_opens_or_closes_its_own_child_whatever_it_does_to_the_position():
    two = book((A, 2), (B, -1))
    assert own(two, B, 1) == [(B, 1)]  # closes a sold child: the position grows
    assert (opened(two), two.net_e8) == ({A: 2, B: 0}, 2)
    two.children[C] = NetChild(C, -1, 0)
    assert own(two, C, -3, opens=True) == [(C, -3)]  # opens one: the position turns
    assert (opened(two), two.net_e8) == ({A: 2, B: 0, C: -3}, -1)


def test_a_reduction_by_others_closes_the_oldest_child_on_the_net_side_first():
    three = book((A, 2), (B, -1), (C, 2))
    assert foreign(three, -2) == [(A, -2)]
    assert (opened(three), three.net_e8) == ({A: 0, B: -1, C: 2}, 1)
    two = book((A, -2), (C, -2))
    assert foreign(two, 3) == [(A, 2), (C, 1)]


def test_a_deal_of_others_that_leaves_nothing_ends_all_children_also_those_against_each_other():
    two = book((A, 2), (B, -1))
    assert foreign(two, -1) == [(A, -2), (B, 1)]
    assert (opened(two), two.net_e8) == ({A: 0, B: 0}, 0)


def test_a_deal_of_others_that_turns_the_position_leaves_its_rest_to_nobody():
    two = book((A, 2), (B, 1))
    assert foreign(two, -5) == [(A, -2), (B, -1), (NOBODY, -2)]
    assert (two.net_e8, two.nobodys_e8) == (-2, -2)


def test_what_the_owner_added_he_takes_back_before_any_child():
    one = book((A, 2))
    assert foreign(one, 1) == [(NOBODY, 1)]
    assert foreign(one, -2) == [(NOBODY, -1), (A, -1)]
    assert (opened(one), one.nobodys_e8) == ({A: 1}, 0)


def test_the_owner_on_an_account_without_children_concerns_nobody():
    empty = book()
    assert foreign(empty, 1) == [(NOBODY, 1)]
    assert foreign(empty, -3) == [(NOBODY, -3)]
    assert empty.net_e8 == -2


def test_what_a_close_does_too_much_becomes_a_child_of_its_own():
    two = book((A, -2), (B, 1))
    assert foreign(two, 1) == [(A, 2), (B, -1)]
    late = replace(DEAL, volume_e8=2, child_trade_id=A, excess_id=EXCESS)
    assert two.has_excess(late)
    assert two.book(late) == [Part(EXCESS, 2)]
    assert (opened(two), two.net_e8, two.nobodys_e8) == ({A: 0, B: 0, EXCESS: 2}, 2, 0)
    assert own(two, EXCESS, -2) == [(EXCESS, -2)]
    assert two.net_e8 == 0


def test_a_close_that_finds_a_part_does_the_rest_too_much_deal_by_deal():
    two = book((A, 3), (B, -1))
    assert foreign(two, -1) == [(A, -1)]
    first, second = (replace(DEAL, volume_e8=volume, child_trade_id=A, excess_id=EXCESS) for volume in (-2, -1))
    assert not two.has_excess(first)
    assert two.book(first) == [Part(A, -2)]
    assert two.has_excess(second)
    assert two.book(second) == [Part(EXCESS, -1)]
    assert two.book(second) == [Part(EXCESS, -1)]
    assert (opened(two), two.net_e8) == ({A: 0, B: -1, EXCESS: -2}, -3)


def test_the_owner_who_closes_what_was_too_much_ends_it():
    one = book((A, 2))
    assert foreign(one, -2) == [(A, -2)]
    one.book(replace(DEAL, volume_e8=-2, child_trade_id=A, excess_id=EXCESS))
    assert foreign(one, 2) == [(EXCESS, 2)]
    assert (opened(one), one.nobodys_e8) == ({A: 0, EXCESS: 0}, 0)


def test_children_stay_in_the_order_of_their_ids_whatever_is_adopted():
    three = book((A, 0), (B + EXCESS, -1))
    three.book(replace(DEAL, volume_e8=-2, child_trade_id=A, excess_id=EXCESS))
    assert list(three.children) == [A, EXCESS, B + EXCESS]


VOLUMES = st.integers(1, 5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.sampled_from([1, -1]), VOLUMES),
        st.tuples(st.just("close"), st.integers(0, 9), VOLUMES),
        st.tuples(st.just("foreign"), st.sampled_from([1, -1]), VOLUMES),
        st.tuples(st.just("flat"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@given(STEPS)
def test_the_books_sum_up_to_the_position_after_every_deal(steps):
    """`server` is the position as the trading server counts it: the plain sum of the deals. A close may be of any
    child, also of one that is closed, or that was itself too much.
    """
    of, server, nobodys = book(), 0, 0
    for number, (kind, which, volume) in enumerate(steps, 1):
        before = opened(of)
        if kind == "open":
            of.children[number] = NetChild(number, which, 0)
            signed, child = which * volume, number
        elif kind == "close":
            if which >= len(of.children):
                continue
            child = list(of.children)[which]
            signed = -of.children[child].direction * volume
        else:
            signed, child = (-server if kind == "flat" else which * volume), NOBODY
            if not signed:
                continue
        deal = replace(DEAL, volume_e8=signed, child_trade_id=child, opens=kind == "open", excess_id=EXCESS + number)
        has_excess = of.has_excess(deal)
        parts = of.book(deal)
        server += signed
        assert of.net_e8 == server
        assert sum(part.volume_e8 for part in parts) == signed
        assert len({part.child_trade_id for part in parts}) == len(parts), "each child once"
        assert has_excess is (EXCESS + number in of.children)
        after = opened(of)
        changes = {number: after[number] - before.get(number, 0) for number in after}
        assert {number: change for number, change in changes.items() if change} == {
            part.child_trade_id: part.volume_e8 for part in parts if part.child_trade_id
        }
        assert all(child.open_volume_e8 >= 0 for child in of.children.values())
        nobodys += sum(part.volume_e8 for part in parts if not part.child_trade_id)
        assert of.nobodys_e8 == nobodys
        if child == NOBODY:
            assert all(abs(after[number]) <= abs(before[number]) for number in before), "nobody's deals open no child"
            if server == 0:
                assert not any(after.values()), "flat by others' deals is flat for all children"
        else:
            assert all(part.child_trade_id for part in parts), "our orders leave nothing to nobody"
    wanted = server - sum(volume for number, volume in opened(of).items() if number > EXCESS)
    for number, volume in opened(of).items():
        if number > EXCESS and volume:
            assert own(of, number, -volume) == [(number, -volume)]
    assert of.net_e8 == wanted, "what was too much leaves without a trace"
