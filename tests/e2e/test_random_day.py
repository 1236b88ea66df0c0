"""A day drawn from a seed, with masters of every method and a failing server: at its end everything is explained."""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest

from apportion.api.allocation.v1 import allocations_pb2, distributions_pb2
from apportion.devstack.random_audit import CLOSE, INDEX_BITS, OPEN, STEP_E8, audit
from apportion.devstack.random_books import Books, read_books
from apportion.devstack.random_day import play
from apportion.devstack.random_scene import open_random_day
from apportion.devstack.random_settling import settle

pytestmark = pytest.mark.asyncio(loop_scope="module")

# (masters, investors, rounds, rounds from one killed process to the next, seconds for an open, seconds to settle): in
# the suite, and with APPORTION_SEEDS above 1.
SMALL = (17, 170, 5, 3, 10, 300.0)
FULL = (24, 2_016, 10, 1, 120, 600.0)
RARE = 3
"""How many of the tampers may find nothing of their kind in a day."""
SIZE = FULL if int(os.environ.get("APPORTION_SEEDS", "1")) > 1 else SMALL


@pytest.mark.timeout(2_400)
async def test_what_is_open_is_what_was_decided(
    folder: Path, seed: int, record_property: Callable[[str, object], None]
) -> None:
    masters, investors, rounds, kill_every, open_seconds, settle_seconds = SIZE
    async with open_random_day(
        folder / f"random-{seed}",
        master_count=masters,
        investor_count=investors,
        open_seconds=open_seconds,
        seed=seed,
        announce=print,
    ) as day:
        await play(day, rounds, kill_every=kill_every)
        await settle(day, settle_seconds)
        books = await read_books(day)
    found = audit(day, books)
    done = ", ".join(f"{count} {name}" for name, count in sorted(day.counted.items()))
    record_property("soak", f"random day, seed {seed}: {done}; audited: {found}")
    assert not found.problems, str(found)
    untouched = []
    for tamper in TAMPERS:
        tampered = deepcopy(books)
        if not tamper(tampered):
            untouched.append(tamper.__name__)
            continue
        assert audit(day, tampered).problems, f"the audit does not see it when we {tamper.__name__}"
    assert len(untouched) <= RARE, untouched


def _lose_a_position(books: Books) -> bool:
    return any(book.positions and book.positions.pop() for login, book in sorted(books.server.items(), reverse=True))


def _open_twice(books: Books) -> bool:
    book = next(book for login, book in sorted(books.server.items(), reverse=True) if book.trades)
    book.trades.append({**book.trades[0], "PositionID": "999999999"})
    return True


def _rows(books: Books, kind: int) -> list[allocations_pb2.ChildExplanation]:
    return [row for e in books.explained.values() if e.allocation.kind == kind for row in e.children]


def _open_more(books: Books) -> bool:
    for row in _rows(books, OPEN)[:1]:
        row.stored_volume_e8 += STEP_E8
    return True


def _close_less(books: Books) -> bool:
    (row, *_) = [row for row in _rows(books, CLOSE) if row.stored_volume_e8]
    row.stored_volume_e8 -= STEP_E8 if row.stored_volume_e8 > 0 else -STEP_E8
    return True


def _say_no_reason(books: Books) -> bool:
    for row in _rows(books, OPEN):
        row.skip_reason = allocations_pb2.SKIP_REASON_UNSPECIFIED
    return True


def _decide_on_other_volumes(books: Books) -> bool:
    allocation = next(a for found in books.allocations.values() for a in found if a.kind == CLOSE and not a.wave)
    allocation.master_volume_e8 = -allocation.master_volume_e8
    return True


def _decide_twice(books: Books) -> bool:
    found = next(found for found in books.allocations.values() if found)
    found.append(found[0])
    return True


def _open_though_halted(books: Books) -> bool:
    rows = [row for row in _rows(books, OPEN) if row.skip_reason == allocations_pb2.SKIP_REASON_PAUSED_BY_RISK]
    for row in rows[:1]:
        row.skip_reason, row.stored_volume_e8 = allocations_pb2.SKIP_REASON_UNSPECIFIED, STEP_E8
    return bool(rows)


def _think_somebody_richer(books: Books) -> bool:
    rows = [row for row in _rows(books, OPEN) if row.basis > 0 and row.leverage > 0 and row.stored_volume_e8]
    for row in rows:  # of a netting account the audit does not know what it had
        row.basis += 1
    return bool(rows)


def _think_less_margin_used(books: Books) -> bool:
    rows = [row for row in _rows(books, OPEN) if row.margin_minor > 1]
    for row in rows:
        row.margin_minor -= 1
    return bool(rows)


def _let_a_margin_level_pass(books: Books) -> bool:
    rows = [row for row in _rows(books, OPEN) if row.skip_reason == allocations_pb2.SKIP_REASON_MARGIN_GATE]
    for row in rows[:1]:
        row.skip_reason = allocations_pb2.SKIP_REASON_BELOW_MIN_LOT
    return bool(rows)


def _leave_out_as_too_late(books: Books) -> bool:
    row = next(row for row in _rows(books, OPEN) if not row.stored_volume_e8)
    row.skip_reason = allocations_pb2.SKIP_REASON_TOO_LATE
    return True


def _move_stops(books: Books) -> bool:
    for book in books.server.values():
        for position in book.positions:
            position["PriceSL"] = "0.12345"
    return True


def _copy_something_else(books: Books) -> bool:
    copies = [
        allocation
        for found in books.allocations.values()
        for allocation in found
        if allocation.kind == OPEN and allocation.wave and _is_own(books, allocation)
    ]
    for allocation in copies[:1]:
        allocation.requested_volume_e8 = allocation.master_volume_e8 + STEP_E8
    return bool(copies)


def _is_own(books: Books, allocation: allocations_pb2.Allocation) -> bool:
    rows = books.explained[allocation.allocation_id].children
    return any(row.child_trade_id >> INDEX_BITS == allocation.allocation_id for row in rows)


def _distributed(books: Books) -> list[distributions_pb2.GetDistributionResponse]:
    return [each for found in books.distributions.values() for each in found if each.rows]


def _keep_a_cent(books: Books) -> bool:
    _distributed(books)[0].rows[0].profit_minor -= 1
    return True


def _distribute_less(books: Books) -> bool:
    _distributed(books)[0].distribution.profit_minor -= 1
    return True


def _distribute_nothing(books: Books) -> bool:
    next(found for found in books.distributions.values() if _distributed(books)[0] in found).clear()
    return True


def _pay_twice(books: Books) -> bool:
    login = next(row.account_login for row in _distributed(books)[0].rows if row.profit_minor or row.commission_minor)
    balances = books.server[login].balances
    balances.append({**balances[-1], "Deal": "999999999"})
    return True


def _promise_another_part(books: Books) -> bool:
    next(row for row in _rows(books, OPEN) if row.proportion_e9).proportion_e9 += 1
    return True


TAMPERS: tuple[Callable[[Books], bool], ...] = (
    _lose_a_position,
    _open_twice,
    _open_more,
    _close_less,
    _say_no_reason,
    _decide_on_other_volumes,
    _decide_twice,
    _open_though_halted,
    _think_somebody_richer,
    _think_less_margin_used,
    _let_a_margin_level_pass,
    _leave_out_as_too_late,
    _move_stops,
    _copy_something_else,
    _keep_a_cent,
    _distribute_less,
    _distribute_nothing,
    _pay_twice,
    _promise_another_part,
)
