"""What the settings of subscriptions make of one master trade: who is kept out, and who is limited.

Each rule is looked at once for each distinct settings of the set, never for each subscription.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.copy_settings import CopySettings
from apportion.allocation.domain.open_inputs import NO_COLUMN, NO_REASONS
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.domain.subscription_sets import SubscriptionSet
from apportion.allocation.domain.symbols import SymbolSpec
from apportion.money import INT64_MAX, Int64Array


@dataclass(frozen=True, slots=True)
class Holdings:
    """What each subscription has open, or on its way to be: columns in login order."""

    volumes_e8: Int64Array
    counts: Int64Array


def gate_reasons(
    subscriptions: SubscriptionSet,
    symbol: str,
    *,
    buys: bool,
    age_ms: int,
    usable_symbols: Container[str],
    holdings: Holdings | None,
) -> NDArray[np.int8]:
    """Why single subscriptions are kept out by their settings; empty when nobody is.

    `age_ms` is that of the master's trade; `usable_symbols` are those that a child of his may trade: they exist, and
    one lot of them is what one lot of his symbol is. `holdings` are needed when `limits_holdings` says so.
    """

    def reason_of(settings: CopySettings) -> SkipReason:
        if not settings.takes_symbol(symbol) or not settings.takes_direction(buys):
            return SkipReason.FILTERED
        if settings.child_symbol(symbol) not in usable_symbols:
            return SkipReason.SYMBOL_UNMAPPED
        if settings.max_age_ms and age_ms > settings.max_age_ms:
            return SkipReason.TOO_LATE
        return SkipReason.NONE

    reasons = subscriptions.spread(reason_of).astype(np.int8)
    if holdings is not None:
        most = subscriptions.spread(lambda settings: settings.max_open_positions or INT64_MAX)
        reasons[(holdings.counts >= most) & (reasons == SkipReason.NONE.value)] = SkipReason.CAPPED
    return reasons if reasons.any() else NO_REASONS


def caps_e8(
    subscriptions: SubscriptionSet, spec: SymbolSpec, max_lots_e8: Mapping[str, int], holdings: Holdings | None
) -> Int64Array:
    """The most that each may get by its own limits, 0 or above; empty when nobody has one.

    `spec` is the master's symbol, `max_lots_e8` has those of its children: all are cut to the master's, so only a lower
    one counts here.
    """

    def most_e8(settings: CopySettings) -> int:
        max_lot_e8 = max_lots_e8.get(settings.child_symbol(spec.name), INT64_MAX)
        return min(settings.max_lot_e8 or INT64_MAX, max_lot_e8 if max_lot_e8 < spec.grid.max_e8 else INT64_MAX)

    if not any(most_e8(settings) < INT64_MAX or settings.max_total_lot_e8 for settings in subscriptions.profiles):
        return NO_COLUMN
    caps = subscriptions.spread(most_e8)
    if holdings is None:
        return caps
    totals = subscriptions.spread(lambda settings: settings.max_total_lot_e8 or INT64_MAX)
    left = np.where(totals < INT64_MAX, np.maximum(totals - holdings.volumes_e8, 0), INT64_MAX)
    return np.minimum(caps, left)


def limits_holdings(subscriptions: SubscriptionSet) -> bool:
    """Whether somebody limits what he has open altogether."""
    return any(settings.max_total_lot_e8 or settings.max_open_positions for settings in subscriptions.profiles)


def child_symbols(subscriptions: SubscriptionSet, symbol: str) -> frozenset[str]:
    """All symbols that children may trade when the master trades `symbol`."""
    return frozenset(settings.child_symbol(symbol) for settings in subscriptions.profiles)
