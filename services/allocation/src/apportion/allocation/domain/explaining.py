"""Recomputing a stored decision, and each child's way to its volume."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from apportion.allocation.domain.allocations import Allocation, AllocationColumns
from apportion.allocation.domain.child_routes import ChildRoutes, mirrored_stops_e8, routes_of_set
from apportion.allocation.domain.child_trades import child_trade_ids
from apportion.allocation.domain.closing import CloseInputs, decide_close
from apportion.allocation.domain.fairness import exact_shares_e8
from apportion.allocation.domain.formulas import exact_share, formula, lots, owed, sums_of
from apportion.allocation.domain.methods import FAMILIES, AllocationMode, Family
from apportion.allocation.domain.open_inputs import OpenInputs
from apportion.allocation.domain.opening import decide_open
from apportion.allocation.domain.pl_mode import proportions_e9, reasons_of_records
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.domain.subscription_sets import SubscriptionSet
from apportion.money import E8, INT64_MAX, Int64Array, exact_sum


@dataclass(frozen=True, slots=True)
class ChildExplanation:
    subscription_id: int
    account_login: int
    basis: int
    ratio_e8: int
    exact_volume_e8: Fraction
    """The share before rounding."""
    stored_volume_e8: int
    """Signed, as is the recomputed one."""
    recomputed_volume_e8: int
    reason: SkipReason
    text: str
    child_trade_id: int
    proportion_e9: int = 0
    """Of an artificial record, as it is stored."""
    margin_minor: int = 0
    leverage: int = 0
    held_volume_e8: int = 0
    cap_volume_e8: int | None = None
    """Further inputs of an opening as they were stored; 0, and None: not asked for."""


def open_inputs(allocation: Allocation, columns: AllocationColumns, subscriptions: SubscriptionSet) -> OpenInputs:
    """The inputs of an opening decision as they were stored."""
    return OpenInputs(
        method=allocation.method,
        rounding=allocation.rounding,
        grid=allocation.grid,
        master_volume_e8=allocation.trade.volume_e8,
        master_basis=allocation.master_basis,
        subscriptions=subscriptions,
        bases=columns.bases,
        blanket_reason=allocation.blanket_reason,
        gate_reasons=columns.gate_reasons,
        caps_e8=columns.caps_e8,
        figures=columns.figures,
        contract_size_e8=allocation.contract_size_e8,
        conversion_e8=allocation.conversion_e8,
        currency_digits=allocation.currency_digits,
    )


def close_inputs(allocation: Allocation, columns: AllocationColumns) -> CloseInputs:
    """The inputs of a closing decision as they were stored."""
    before_e8 = allocation.before_volume_e8
    closed_e8 = min(abs(allocation.trade.volume_e8), before_e8)
    return CloseInputs(
        allocation.method, allocation.grid, closed_e8, before_e8, columns.bases, columns.close_small_rests
    )


def explain_open(
    allocation: Allocation, columns: AllocationColumns, subscriptions: SubscriptionSet, rows: range
) -> tuple[bool, list[ChildExplanation]]:
    """Whether all recomputed volumes and reasons equal the stored ones, and explanations of some rows."""
    inputs = open_inputs(allocation, columns, subscriptions)
    decision = decide_open(inputs)
    recomputed = decision.steps * allocation.grid.step_e8
    shared = exact_shares_e8(inputs, decision.reasons) > 0
    stored_reasons, reasons = columns.reasons, decision.reasons
    agrees = np.array_equal(recomputed, columns.volumes_e8) and np.array_equal(decision.carries_e8, columns.carries_e8)
    if allocation.mode is AllocationMode.PROFIT:
        records = proportions_e9(inputs, reasons)
        agrees = agrees and np.array_equal(records, columns.proportions_e9)
        shared |= records > 0  # also of less than 1e-8 lot
        # Of both: decisions of former versions told why the lot grid would have left a record out.
        stored_reasons, reasons = (reasons_of_records(column, records) for column in (stored_reasons, reasons))
    agrees = agrees and np.array_equal(reasons, stored_reasons)
    sums = sums_of(inputs, np.flatnonzero(shared))
    trade = allocation.trade
    directions = routes_of_set(subscriptions, trade.symbol, buys=trade.volume_e8 > 0).directions
    ids = child_trade_ids(allocation.allocation_id, np.arange(rows.start, rows.stop))
    figures, caps_e8 = inputs.figures, inputs.caps_e8
    children = []
    for number, row in enumerate(rows):
        sign = int(directions[row])
        exact = exact_share(inputs, row, sums) if shared[row] else Fraction(0)
        reason = SkipReason(int(stored_reasons[row]))
        child = ChildExplanation(
            subscription_id=int(subscriptions.subscription_ids[row]),
            account_login=int(subscriptions.logins[row]),
            basis=_at(columns.bases, row),
            ratio_e8=int(subscriptions.ratios_e8[row]),
            exact_volume_e8=exact,
            stored_volume_e8=sign * int(columns.volumes_e8[row]),
            recomputed_volume_e8=sign * int(recomputed[row]),
            reason=reason,
            text=_open_text(inputs, row, formula(inputs, row, sums), exact, int(columns.volumes_e8[row]), reason),
            child_trade_id=int(ids[number]),
            proportion_e9=_at(columns.proportions_e9, row),
            margin_minor=_at(figures.margins, row),
            leverage=_at(figures.leverages, row),
            held_volume_e8=_at(figures.held_e8, row),
            cap_volume_e8=int(caps_e8[row]) if caps_e8.size and caps_e8[row] < INT64_MAX else None,
        )
        children.append(child)
    return agrees, children


def explain_close(
    allocation: Allocation, columns: AllocationColumns, routes: ChildRoutes, rows: range
) -> tuple[bool, list[ChildExplanation]]:
    """As `explain_open`; the routes are those of `rows` only."""
    inputs = close_inputs(allocation, columns)
    recomputed = decide_close(inputs)
    fraction = _closed_fraction(inputs)
    children = []
    for number, row in enumerate(rows):
        open_e8 = int(columns.bases[row])
        stored_e8 = int(columns.volumes_e8[row])
        sign = -int(routes.directions[number])
        # Rounding moves nobody by a step.
        moved = abs(stored_e8 - open_e8 * fraction) >= inputs.grid.step_e8
        why = f" (min lot {lots(inputs.grid.min_e8)})" if moved else ""
        text = f"{lots(open_e8)} lot open × {fraction} closed by the master → {lots(stored_e8)} lot{why}"
        child = ChildExplanation(
            subscription_id=int(routes.subscription_ids[number]),
            account_login=int(routes.logins[number]),
            basis=open_e8,
            ratio_e8=E8,
            exact_volume_e8=open_e8 * fraction,
            stored_volume_e8=sign * stored_e8,
            recomputed_volume_e8=sign * int(recomputed[row]),
            reason=SkipReason.NONE,
            text=text,
            child_trade_id=int(columns.child_trade_ids[row]),
        )
        children.append(child)
    return np.array_equal(recomputed, columns.volumes_e8), children


def explain_reopening(
    columns: AllocationColumns, routes: ChildRoutes, rows: range
) -> tuple[bool, list[ChildExplanation]]:
    """Of a follow-up open: each child gets what it should have had open by then. Routes as in `explain_close`."""
    children = []
    for number, row in enumerate(rows):
        wanted_e8, sign = int(columns.bases[row]), int(routes.directions[number])
        child = ChildExplanation(
            subscription_id=int(routes.subscription_ids[number]),
            account_login=int(routes.logins[number]),
            basis=wanted_e8,
            ratio_e8=E8,
            exact_volume_e8=Fraction(wanted_e8),
            stored_volume_e8=sign * int(columns.volumes_e8[row]),
            recomputed_volume_e8=sign * wanted_e8,
            reason=SkipReason.NONE,
            text=f"{lots(wanted_e8)} lot still wanted; the order before was not executed",
            child_trade_id=int(columns.child_trade_ids[row]),
        )
        children.append(child)
    return np.array_equal(columns.bases, columns.volumes_e8), children


def explain_stops(
    allocation: Allocation, columns: AllocationColumns, routes: ChildRoutes, rows: range
) -> tuple[bool, list[ChildExplanation]]:
    """Of a modification: whether all stops follow from the master's, and those of some rows. Routes of all rows."""
    trade = allocation.trade
    losses, profits = mirrored_stops_e8(
        routes.directions, trade.stop_loss_e8, trade.take_profit_e8, buys=trade.volume_e8 > 0
    )
    children = [
        ChildExplanation(
            subscription_id=int(routes.subscription_ids[row]),
            account_login=int(routes.logins[row]),
            basis=0,
            ratio_e8=E8,
            exact_volume_e8=Fraction(0),
            stored_volume_e8=0,
            recomputed_volume_e8=0,
            reason=SkipReason.NONE,
            text=_stops_text(int(columns.stop_losses_e8[row]), int(columns.take_profits_e8[row])),
            child_trade_id=int(columns.child_trade_ids[row]),
        )
        for row in rows
    ]
    agrees = np.array_equal(losses, columns.stop_losses_e8) and np.array_equal(profits, columns.take_profits_e8)
    return agrees, children


def _at(column: Int64Array, row: int) -> int:
    """0 in an empty column."""
    return int(column[row]) if column.size else 0


def _stops_text(stop_loss_e8: int, take_profit_e8: int) -> str:
    prices = (lots(price_e8) if price_e8 else "none" for price_e8 in (stop_loss_e8, take_profit_e8))
    return "stop loss {}, take profit {}, as its master has them".format(*prices)


def _closed_fraction(inputs: CloseInputs) -> Fraction:
    """What part of each child is closed: the master's, or, dividing, that of the whole steps that were divided."""
    fraction = Fraction(inputs.closed_e8, inputs.before_e8)
    open_sum = exact_sum(inputs.open_volumes_e8 // inputs.grid.step_e8)
    if FAMILIES[inputs.method] is Family.DIVIDING and fraction < 1 and open_sum:
        return Fraction((2 * open_sum * fraction + 1) // 2, open_sum)
    return fraction


def _open_text(inputs: OpenInputs, row: int, way: str, exact: Fraction, stored_e8: int, reason: SkipReason) -> str:
    if not exact and not stored_e8:
        return f"0 lot: {reason.name}"
    why = "" if reason is SkipReason.NONE else f" ({reason.name})"
    equal = "=" if exact.denominator == 1 else "≈"
    share = f"{way} {equal} {lots(exact.numerator // exact.denominator)}{owed(inputs, row)}"
    return f"{share} → {lots(stored_e8)} lot by {inputs.rounding.name}, step {lots(inputs.grid.step_e8)}{why}"
