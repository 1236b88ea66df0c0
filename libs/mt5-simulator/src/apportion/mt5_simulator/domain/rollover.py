"""Swaps at server midnight."""

from __future__ import annotations

from apportion.mt5_simulator.codes import Side
from apportion.mt5_simulator.domain.figures import E8, divide_half_up
from apportion.mt5_simulator.domain.ledger import Ledger
from apportion.mt5_simulator.domain.quotes import QuoteBoard
from apportion.mt5_simulator.domain.valuation import Valuation

_EPOCH_WEEKDAY = 4  # 1970-01-01 was a Thursday; Sunday is 0.


def weekday(day: int) -> int:
    """Day of the week of a day number since 1970; Sunday is 0."""
    return (day + _EPOCH_WEEKDAY) % 7


def swap_nights(ending_day: int, swap_3day: int) -> int:
    """Nights that the rollover at the end of a day counts: none at the weekend, three on the triple day."""
    if weekday(ending_day) in (0, 6):
        return 0
    return 3 if weekday(ending_day) == swap_3day else 1


def roll_over(ledger: Ledger, board: QuoteBoard, valuation: Valuation, ending_day: int) -> set[int]:
    """Add the night's swap (points × point × contract × volume, converted) to every position; returns the logins."""
    touched = set()
    for position in list(ledger.positions.values()):
        symbol = board.symbols[position.symbol]
        points_e8 = symbol.swap_long_e8 if position.side is Side.BUY else symbol.swap_short_e8
        nights = swap_nights(ending_day, symbol.swap_3day)
        if not points_e8 or not nights:
            continue
        group = valuation.group_of(position.login)
        amount = symbol.contract_size_e8 * position.volume_e8 * points_e8 * nights * symbol.point_e8
        amount *= valuation.rate_profit_e8(position.symbol, group)
        position.storage_minor += divide_half_up(amount, E8 * 10 ** (32 - group.currency_digits))
        ledger.put_position(position)
        touched.add(position.login)
    return touched
