"""A day drawn from a seed, with masters of every method and a failing server: at its end everything is explained."""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest

from apportion.api.allocation.v1 import allocations_pb2
from apportion.devstack.random_audit import STEP_E8, audit, settle
from apportion.devstack.random_books import Books, read_books
from apportion.devstack.random_day import open_random_day

pytestmark = pytest.mark.asyncio(loop_scope="module")

# (masters, investors, rounds, seconds for an open, seconds to settle): in the suite, and with APPORTION_SEEDS above 1.
SMALL = (14, 196, 5, 15, 60.0)
FULL = (20, 2_000, 10, 120, 600.0)
SIZE = FULL if int(os.environ.get("APPORTION_SEEDS", "1")) > 1 else SMALL


@pytest.mark.timeout(2_400)
async def test_what_is_open_is_what_was_decided(
    folder: Path, seed: int, record_property: Callable[[str, object], None]
) -> None:
    masters, investors, rounds, open_seconds, settle_seconds = SIZE
    async with open_random_day(
        folder / f"random-{seed}",
        master_count=masters,
        investor_count=investors,
        open_seconds=open_seconds,
        seed=seed,
        announce=print,
    ) as day:
        await day.play(rounds)
        await settle(day, settle_seconds)
        books = await read_books(day)
    found = audit(day, books)
    done = ", ".join(f"{count} {name}" for name, count in sorted(day.counted.items()))
    record_property("soak", f"random day, seed {seed}: {done}; audited: {found}")
    assert not found.problems, str(found)
    for tamper in (_lose_a_position, _open_twice, _decide_otherwise, _say_no_reason):
        tampered = deepcopy(books)
        tamper(tampered)
        assert audit(day, tampered).problems, f"the audit does not see it when we {tamper.__name__}"


def _lose_a_position(books: Books) -> None:
    next(book for login, book in sorted(books.server.items(), reverse=True) if book.positions).positions.pop()


def _open_twice(books: Books) -> None:
    book = next(book for login, book in sorted(books.server.items(), reverse=True) if book.trades)
    book.trades.append({**book.trades[0], "PositionID": "999999999"})


def _decide_otherwise(books: Books) -> None:
    for explained in books.explained.values():
        for row in explained.children[:1]:
            row.stored_volume_e8 += STEP_E8


def _say_no_reason(books: Books) -> None:
    for explained in books.explained.values():
        for row in explained.children:
            row.skip_reason = allocations_pb2.SKIP_REASON_UNSPECIFIED
