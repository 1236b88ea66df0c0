"""How trades are copied to one account: filters, symbol map, limits, and what happens when the subscription ends.

Most subscriptions of a master share a few settings, so a rule is looked at once for each distinct settings and spread
over the subscriptions by index.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from apportion.errors import InvalidArgument, Violation
from apportion.money import E8

DEFAULT_ROUND_UP_FACTOR_E8 = 5 * E8
MAX_ROUND_UP_FACTOR_E8 = 100 * E8
MAX_LOT_E8 = 10_000 * E8
MAX_OPEN_POSITIONS = 10_000
MAX_SLIPPAGE_POINTS = 1_000_000
MAX_AGE_MS = 86_400_000
MAX_SYMBOLS = 500
SYMBOL_LENGTH = 32


class DirectionFilter(enum.IntEnum):
    """Of the master's trades. The numbers are those of the protos, as of all enumerations here."""

    BOTH = 0
    BUY_ONLY = 1
    SELL_ONLY = 2


class LeavePolicy(enum.IntEnum):
    """What happens to copied positions when a subscription ends."""

    CLOSE = 1
    CLOSE_WITH_MASTER = 2
    DETACH = 3


@dataclass(frozen=True, slots=True)
class CopySettings:
    """Zero values are the defaults: no filter, no limit. Lists are sorted, so that equal settings are equal."""

    direction_filter: DirectionFilter = DirectionFilter.BOTH
    reverse: bool = False
    ignore_stops: bool = False
    allowed_symbols: tuple[str, ...] = ()
    """Of the master; empty: all. A denied one is not copied even when it is allowed."""
    denied_symbols: tuple[str, ...] = ()
    symbol_map: tuple[tuple[str, str], ...] = ()
    """(the master's symbol, the child's); others keep their name."""
    max_lot_e8: int = 0
    """Of one child."""
    max_total_lot_e8: int = 0
    """Of all that is open of the subscription."""
    max_open_positions: int = 0
    max_slippage_points: int = 0
    max_age_ms: int = 0
    round_up_to_min: bool = False
    max_round_up_factor_e8: int = 0
    close_small_rest: bool = False
    copy_open_positions: bool = False
    leave_policy: LeavePolicy = LeavePolicy.CLOSE

    @property
    def round_up_factor_e8(self) -> int:
        """Min lot is opened instead of a smaller share while it is at most this many times the share; 0: never."""
        return (self.max_round_up_factor_e8 or DEFAULT_ROUND_UP_FACTOR_E8) if self.round_up_to_min else 0

    def takes_symbol(self, symbol: str) -> bool:
        """Whether a master's symbol passes the lists."""
        return symbol not in self.denied_symbols and (not self.allowed_symbols or symbol in self.allowed_symbols)

    def takes_direction(self, buys: bool) -> bool:
        """Whether a master's direction passes the filter."""
        refused = DirectionFilter.SELL_ONLY if buys else DirectionFilter.BUY_ONLY
        return self.direction_filter is not refused

    def child_symbol(self, symbol: str) -> str:
        """What the child trades when the master trades `symbol`."""
        return next((child for master, child in self.symbol_map if master == symbol), symbol)


DEFAULT_SETTINGS = CopySettings()


def check_settings(settings: CopySettings) -> None:
    """Raises InvalidArgument with every field that is out of range."""
    bounds = (
        ("max_lot_e8", settings.max_lot_e8, MAX_LOT_E8),
        ("max_total_lot_e8", settings.max_total_lot_e8, MAX_LOT_E8),
        ("max_open_positions", settings.max_open_positions, MAX_OPEN_POSITIONS),
        ("max_slippage_points", settings.max_slippage_points, MAX_SLIPPAGE_POINTS),
        ("max_age_ms", settings.max_age_ms, MAX_AGE_MS),
        ("max_round_up_factor_e8", settings.max_round_up_factor_e8, MAX_ROUND_UP_FACTOR_E8),
    )
    violations = [
        Violation(f"settings.{name}", f"must be 0 to {most}") for name, value, most in bounds if not 0 <= value <= most
    ]
    lists = (
        ("allowed_symbols", settings.allowed_symbols),
        ("denied_symbols", settings.denied_symbols),
        ("symbol_map", tuple(name for pair in settings.symbol_map for name in pair)),
    )
    for field, names in lists:
        if len(names) > MAX_SYMBOLS:
            violations.append(Violation(f"settings.{field}", f"must have at most {MAX_SYMBOLS} symbols"))
        if any(not 0 < len(name) <= SYMBOL_LENGTH for name in names):
            violations.append(Violation(f"settings.{field}", f"symbols have 1 to {SYMBOL_LENGTH} characters"))
    if violations:
        raise InvalidArgument(violations=violations)
