from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from apportion.allocation.domain.entries import Entered, Entry, entered

START = datetime(2026, 1, 5, 10, tzinfo=UTC)


def walked(*deals: tuple[int, int]) -> Entered | None:
    """Deals as (volume, price), one a second; below 0 closes."""
    times = (START + timedelta(seconds=second) for second in range(len(deals)))
    return entered(
        Entry(volume > 0, abs(volume), price, time) for (volume, price), time in zip(deals, times, strict=True)
    )


@pytest.mark.parametrize(
    ("deals", "price", "second"),
    [
        ([(100, 50)], 50, 0),
        ([(100, 50), (-40, 90)], 50, 0),  # a close leaves the price
        ([(100, 50), (300, 90)], 80, 0),
        ([(100, 50), (-50, 70), (50, 90)], 70, 0),  # only what was still open counts
        ([(100, 50), (-100, 70), (10, 90)], 90, 2),  # opened anew, or turned
        ([(1, 1), (1, 2)], 2, 0),  # 1.5, half up
        ([(100, 0)], 0, 0),
        ([(100, 50), (100, 0)], 0, 0),  # one unknown price makes the average unknown
        ([(100, 0), (100, 50)], 0, 0),
        ([(100, 0), (-100, 7), (100, 50)], 50, 2),
    ],
)
def test_the_price_and_age_of_a_position(deals, price, second):
    assert walked(*deals) == Entered(price, START + timedelta(seconds=second))


def test_what_was_never_opened():
    assert walked() is None
    assert walked((-100, 50)) is None
