"""Who takes part in an opening trade, before anything is computed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.margins import falling_out
from apportion.allocation.domain.methods import BASES, FAMILIES, AllocationMethod, Basis, Family, LotMode
from apportion.allocation.domain.open_inputs import UNKNOWN_BASIS, OpenInputs
from apportion.allocation.domain.reasons import SkipReason
from apportion.money import Int64Array

MASTER_BASED = frozenset(
    {
        AllocationMethod.COPY_BY_BALANCE,
        AllocationMethod.COPY_BY_EQUITY,
        AllocationMethod.COPY_BY_FREE_MARGIN,
        AllocationMethod.RISK,
    }
)
"""Methods that set an account's figure in relation to the master's."""


def gate(inputs: OpenInputs) -> NDArray[np.int8]:
    """Why each subscription takes no part; NONE where it does. Of several reasons the later one here counts."""
    reasons = np.full(len(inputs.subscriptions), inputs.blanket_reason, dtype=np.int8)
    if inputs.blanket_reason is SkipReason.NONE:
        _gate_parameters(inputs, reasons)
        _gate_figures(inputs, reasons)
        if inputs.gate_reasons.size:
            np.copyto(reasons, inputs.gate_reasons, where=inputs.gate_reasons != SkipReason.NONE.value)
    reasons[~inputs.subscriptions.active] = SkipReason.INACTIVE
    return reasons


def has_zero_base(inputs: OpenInputs) -> bool:
    """Whether somebody is active, but the figures to compute shares from are known and none is above 0."""
    active = inputs.subscriptions.active
    if not active.any():
        return False
    if inputs.method in MASTER_BASED:
        return inputs.master_basis != UNKNOWN_BASIS and inputs.master_basis <= 0
    weights = dividing_weights(inputs)
    if weights is None:
        return False
    weights = weights[active]
    return not (weights > 0).any() and not (weights == UNKNOWN_BASIS).any()


def dividing_weights(inputs: OpenInputs) -> Int64Array | None:
    """By what a dividing method divides; None for the other families."""
    if FAMILIES[inputs.method] is not Family.DIVIDING:
        return None
    if inputs.method is AllocationMethod.DIVIDE_BY_LOT:
        return inputs.subscriptions.lots_e8
    if inputs.method is AllocationMethod.DIVIDE_BY_PERCENT:
        return inputs.subscriptions.percents_e8
    return inputs.bases


def _gate_parameters(inputs: OpenInputs, reasons: NDArray[np.int8]) -> None:
    """Who divides with nothing gets nothing: less than any min lot."""
    if BASES[inputs.method] is Basis.NONE and (weights := dividing_weights(inputs)) is not None:
        reasons[weights <= 0] = SkipReason.BELOW_MIN_LOT


def _gate_figures(inputs: OpenInputs, reasons: NDArray[np.int8]) -> None:
    if BASES[inputs.method] is Basis.NONE:
        return
    if inputs.method is AllocationMethod.LOT_MULTIPLIER:
        modes = inputs.subscriptions.modes
        by_risk = modes == LotMode.RISK.value
        _gate_bases(inputs, reasons, by_risk | (modes == LotMode.EQUITY.value))
        _gate_master(inputs, reasons, by_risk)
        return
    _gate_bases(inputs, reasons, None)
    if inputs.method is AllocationMethod.EQUITY_PERCENT:
        reasons[inputs.figures.leverages <= 0] = SkipReason.NO_PRICE
        if not has_price(inputs):
            reasons[:] = SkipReason.NO_PRICE
    elif inputs.method is AllocationMethod.EQUAL_RISK:
        _gate_margins(inputs, reasons)
    elif inputs.method in MASTER_BASED:
        _gate_master(inputs, reasons, None)


def has_price(inputs: OpenInputs) -> bool:
    """Whether volume can be turned into money."""
    return inputs.contract_size_e8 > 0 and inputs.conversion_e8 > 0


def _gate_bases(inputs: OpenInputs, reasons: NDArray[np.int8], rows: NDArray[np.bool_] | None) -> None:
    missing = inputs.bases <= 0
    if rows is not None:
        missing &= rows
    if missing.any():
        reasons[missing] = SkipReason.NO_EQUITY
        missing &= inputs.bases == UNKNOWN_BASIS
        reasons[missing] = SkipReason.STALE_STATE


def _gate_master(inputs: OpenInputs, reasons: NDArray[np.int8], rows: NDArray[np.bool_] | None) -> None:
    if inputs.master_basis <= 0:
        stale = inputs.master_basis == UNKNOWN_BASIS
        reasons[slice(None) if rows is None else rows] = SkipReason.STALE_STATE if stale else SkipReason.NO_EQUITY


def _gate_margins(inputs: OpenInputs, reasons: NDArray[np.int8]) -> None:
    """Of those who ask for a margin level: who has not even that much before the trade, or cannot be judged."""
    watched = inputs.subscriptions.percents_e8 > 0
    watched &= reasons == SkipReason.NONE.value
    if not watched.any():
        return
    if not has_price(inputs):
        reasons[watched] = SkipReason.NO_PRICE
        return
    reasons[watched & (inputs.figures.leverages <= 0)] = SkipReason.NO_PRICE
    reasons[watched & (inputs.figures.margins == UNKNOWN_BASIS)] = SkipReason.STALE_STATE
    watched &= reasons == SkipReason.NONE.value
    reasons[falling_out(inputs, watched, np.zeros(watched.shape, dtype=np.int64))] = SkipReason.MARGIN_GATE
