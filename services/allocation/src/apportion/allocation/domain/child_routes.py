"""Whose the children of a decision are, and what they trade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.copy_settings import CopySettings
from apportion.allocation.domain.subscription_sets import SubscriptionSet
from apportion.money import INT64_MAX, Int64Array


@dataclass(frozen=True, slots=True)
class ChildRoutes:
    """Columns of one length."""

    subscription_ids: Int64Array
    account_ids: Int64Array
    logins: Int64Array
    symbols: tuple[str, ...]
    """The distinct ones; `symbol_rows` tell which each child trades."""
    symbol_rows: NDArray[np.intp]
    directions: Int64Array
    """Of the children's positions: 1 bought, -1 sold."""
    profiles: tuple[CopySettings, ...]
    """The distinct settings; `profile_rows` tell which each child has."""
    profile_rows: NDArray[np.intp]

    @property
    def symbol_column(self) -> str | list[str]:
        """One for all, or one for each row."""
        return self.symbols[0] if len(self.symbols) == 1 else [self.symbols[row] for row in self.symbol_rows]

    def of(self, rows: slice | NDArray[np.intp]) -> ChildRoutes:
        """The routes of some rows."""
        return ChildRoutes(
            self.subscription_ids[rows],
            self.account_ids[rows],
            self.logins[rows],
            self.symbols,
            self.symbol_rows[rows],
            self.directions[rows],
            self.profiles,
            self.profile_rows[rows],
        )

    @property
    def copies_stops(self) -> NDArray[np.bool_]:
        """Whose settings ask for the master's stops."""
        return ~np.array([settings.ignore_stops for settings in self.profiles], dtype=np.bool_)[self.profile_rows]

    def stops_e8(self, stop_loss_e8: int, take_profit_e8: int, *, buys: bool) -> tuple[Int64Array, Int64Array]:
        """(stop losses, take profits) when the master, who has bought or sold, has these; 0: none."""
        losses, profits = mirrored_stops_e8(self.directions, stop_loss_e8, take_profit_e8, buys=buys)
        return losses * self.copies_stops, profits * self.copies_stops

    @property
    def max_ages_ms(self) -> Int64Array:
        """How old its master's trade may be at most when each opens."""
        ages = np.array([settings.max_age_ms or INT64_MAX for settings in self.profiles], dtype=np.int64)
        return ages[self.profile_rows]

    def max_slippages_e8(self, point_e8: int) -> Int64Array:
        """How much worse than its master's price each may open; 0: no limit."""
        points = np.array([settings.max_slippage_points for settings in self.profiles], dtype=np.int64)
        return points[self.profile_rows] * point_e8


def routes_of_set(subscriptions: SubscriptionSet, symbol: str, *, buys: bool) -> ChildRoutes:
    """The routes of all subscriptions of a set when their master trades `symbol`."""
    profiles = subscriptions.profiles
    sign = 1 if buys else -1
    symbols, symbol_rows = _symbols([profile.child_symbol(symbol) for profile in profiles], subscriptions.profile_rows)
    return ChildRoutes(
        subscription_ids=subscriptions.subscription_ids,
        account_ids=subscriptions.account_ids,
        logins=subscriptions.logins,
        symbols=symbols,
        symbol_rows=symbol_rows,
        directions=subscriptions.spread(lambda settings: -sign if settings.reverse else sign),
        profiles=profiles,
        profile_rows=subscriptions.profile_rows,
    )


def _symbols(names: Sequence[str], rows: NDArray[np.intp]) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    symbols = tuple(dict.fromkeys(names))
    return symbols, np.array([symbols.index(name) for name in names], dtype=np.intp)[rows]


def mirrored_stops_e8(
    directions: Int64Array, stop_loss_e8: int, take_profit_e8: int, *, buys: bool
) -> tuple[Int64Array, Int64Array]:
    """(stop losses, take profits) of positions in these directions: against the master's, the two are swapped."""
    same = directions == (1 if buys else -1)
    return np.where(same, stop_loss_e8, take_profit_e8), np.where(same, take_profit_e8, stop_loss_e8)
