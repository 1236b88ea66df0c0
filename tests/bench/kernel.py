"""The decision of 10 000 children with limits and rules against nothing but the arithmetic."""

from __future__ import annotations

from functools import partial

import numpy as np
from tests.bench.measure import Row, duration, in_turn, seconds
from tests.bench.servers import Servers

from apportion.allocation.domain.copy_settings import DEFAULT_SETTINGS, CopySettings
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.methods import AllocationMethod, RoundingPolicy
from apportion.allocation.domain.open_inputs import OpenInputs
from apportion.allocation.domain.opening import decide_open
from apportion.allocation.domain.subscription_sets import SubscriptionSet
from apportion.money import E8, Int64Array

CHILDREN = 10_000
STEP_E8 = E8 // 100
GRIDS = {
    "limits and rules": SymbolGrid(STEP_E8, STEP_E8, 100 * E8),
    "limits that divide anew": SymbolGrid(STEP_E8, 2 * STEP_E8, 2 * E8),
}
"""The first is a usual symbol; in the second some children stay below the min lot and some pass the max."""
VOLUME_E8 = 2_000 * E8
REPEAT = 200


def equities(count: int = CHILDREN) -> Int64Array:
    """Equities of very different size, in cents."""
    return np.random.default_rng(7).lognormal(13.5, 1.0, count).astype(np.int64) + 1


def subscription_set(count: int = CHILDREN) -> SubscriptionSet:
    numbers = np.arange(count, dtype=np.int64)
    return SubscriptionSet(
        master_id=1,
        set_version=1,
        subscription_ids=numbers + 1,
        account_ids=numbers + 10_000,
        logins=numbers + 20_000,
        active=numbers % 50 != 0,
        ratios_e8=np.full(count, E8),
        lots_e8=np.zeros(count, dtype=np.int64),
        percents_e8=np.zeros(count, dtype=np.int64),
        modes=np.ones(count, dtype=np.int8),
        profiles=(DEFAULT_SETTINGS, CopySettings(round_up_to_min=True)),
        profile_rows=(numbers % 10 == 0).astype(np.intp),
    )


def bare_kernel(total: int, weights: Int64Array) -> Int64Array:
    """Largest remainder and nothing else: float estimate, exact residual in wrapping int64, the rest by threshold."""
    weight_sum = int(weights.sum())
    parts = (weights * (total / weight_sum)).astype(np.int64)
    residuals = weights * total - parts * weight_sum
    low, high = residuals < 0, residuals >= weight_sum
    parts += high.astype(np.int64) - low
    residuals += (low.astype(np.int64) - high) * weight_sum
    missing = total - int(parts.sum())
    if missing:
        threshold = np.partition(residuals, weights.size - missing)[weights.size - missing]
        above = residuals > threshold
        parts += above
        parts[np.flatnonzero(residuals == threshold)[: missing - int(above.sum())]] += 1
    return parts


def bare_seconds() -> float:
    weights = equities()
    return seconds(lambda: bare_kernel(VOLUME_E8 // STEP_E8, weights), REPEAT)


def inputs(policy: RoundingPolicy, grid: SymbolGrid) -> OpenInputs:
    return OpenInputs(
        method=AllocationMethod.DIVIDE_BY_EQUITY,
        rounding=policy,
        grid=grid,
        master_volume_e8=VOLUME_E8,
        master_basis=0,
        subscriptions=subscription_set(),
        bases=equities(),
    )


def check() -> None:
    """Without limits and rules ours and the bare kernel divide alike."""
    wide = SymbolGrid(STEP_E8, STEP_E8, 10_000 * E8)
    given = inputs(RoundingPolicy.LARGEST_REMAINDER, wide)
    given.subscriptions.active[:], given.subscriptions.profile_rows[:] = True, 0
    steps = decide_open(given).steps
    assert steps.sum() == VOLUME_E8 // STEP_E8
    assert np.array_equal(steps, bare_kernel(VOLUME_E8 // STEP_E8, given.bases))


async def rows(_servers: Servers) -> list[Row]:
    check()
    found = []
    for name, grid in GRIDS.items():
        for policy in (RoundingPolicy.LARGEST_REMAINDER, RoundingPolicy.NEAREST_LARGEST):
            given = inputs(policy, grid)
            ours, floor, ratio = in_turn(partial(seconds, partial(decide_open, given), REPEAT), bare_seconds)
            headline = f"allocation kernel, {name}, 10k, {policy.name.lower()}"
            found.append(Row(headline, duration(ours), f"bare kernel {duration(floor)}", ratio, 2.5, 6))
    return found
