"""The decision of 10 000 children by each method, in memory, against one bare division."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from tests.bench.kernel import CHILDREN, GRIDS, REPEAT, STEP_E8, VOLUME_E8, bare_seconds, equities, subscription_set
from tests.bench.measure import Row, duration, in_turn, seconds
from tests.bench.servers import Servers

from apportion.allocation.domain.methods import BASES, AllocationMethod, Basis, policies_of
from apportion.allocation.domain.open_inputs import NO_COLUMN, Figures, OpenInputs
from apportion.allocation.domain.opening import decide_open
from apportion.money import E8

MASTER_BASIS = 100_000_000_00


def inputs(method: AllocationMethod) -> OpenInputs:
    """By the method's default rounding; parameters and figures of very different size."""
    chance = np.random.default_rng(11)
    subscriptions = subscription_set()
    subscriptions.lots_e8[:] = chance.integers(1, E8, CHILDREN)
    subscriptions.percents_e8[:] = 100 * E8 // (1 if method is AllocationMethod.RISK else CHILDREN)
    subscriptions.modes[:] = chance.integers(1, 5, CHILDREN)
    nothing = np.zeros(CHILDREN, dtype=np.int64)
    return OpenInputs(
        method=method,
        rounding=policies_of(method)[0],
        grid=GRIDS["limits and rules"],
        master_volume_e8=VOLUME_E8,
        master_basis=MASTER_BASIS,
        subscriptions=subscriptions,
        bases=NO_COLUMN if BASES[method] is Basis.NONE else equities(),
        figures=Figures(
            margins=nothing,
            leverages=np.full(CHILDREN, 100),
            held_e8=equities() // 20_000 * STEP_E8,
            carries_e8=nothing,
        ),
        contract_size_e8=100_000 * E8,
        conversion_e8=E8,
    )


def harder() -> dict[str, OpenInputs]:
    """EQUAL_RISK where what is held has nothing to do with equities, and with close limits besides."""
    usual = inputs(AllocationMethod.EQUAL_RISK)
    held_e8 = np.random.default_rng(5).permutation(usual.figures.held_e8)
    mixed = replace(usual, figures=replace(usual.figures, held_e8=held_e8))
    close = replace(mixed, grid=GRIDS["limits that divide anew"])
    return {"equal_risk, held at random": mixed, "equal_risk, held at random, limits that divide anew": close}


async def rows(_servers: Servers) -> list[Row]:
    found = []
    usual = {f"{method.name} {policies_of(method)[0].name}".lower(): inputs(method) for method in AllocationMethod}
    for name, given in (usual | harder()).items():
        assert decide_open(given).steps.any(), name
        ours, floor, ratio = in_turn(partial(seconds, partial(decide_open, given), REPEAT), bare_seconds)
        found.append(Row(f"kernel, 10k, {name}", duration(ours), f"bare kernel {duration(floor)}", ratio, 2.5, 6))
    return found
