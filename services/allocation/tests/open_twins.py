"""Opening decisions for tests: inputs from readable figures, and obvious twins of the kernels in fractions."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
from allocation_sets import subscription_set

from apportion.allocation.domain.copy_settings import CopySettings
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.methods import FAMILIES, Family, RoundingPolicy
from apportion.allocation.domain.open_inputs import Figures, OpenInputs
from apportion.money import E8

HALF = Fraction(1, 2)
TENTH = SymbolGrid(E8 // 10, E8 // 10, 100 * E8)


def lots(figure) -> int:
    """1e-8 of a lot, ratio or percent."""
    return int(Fraction(figure) * E8)


def column(figures) -> np.ndarray:
    return np.array(figures, dtype=np.int64)


def make(method, master_volume, **given) -> OpenInputs:
    """`lots`, `percents` and `ratios`, `held`, `carries` and `caps` in whole units; all else as in OpenInputs."""
    parameters = {
        f"{name}_e8": [lots(x) for x in given.pop(name)] for name in ("lots", "percents", "ratios") if name in given
    }
    bases = given.pop("bases", ())
    count = len(bases) or len(next(iter(parameters.values())))
    settings = [
        CopySettings(round_up_to_min=bool(factor), max_round_up_factor_e8=lots(factor))
        for factor in given.pop("factors", [0] * count)
    ]
    dividing = FAMILIES[method] is Family.DIVIDING
    figures = Figures(
        margins=column(given.pop("margins", ())),
        leverages=column(given.pop("leverages", ())),
        held_e8=column([lots(x) for x in given.pop("held", [0] * count)]),
        carries_e8=column([lots(x) for x in given.pop("carries", [0] * count)]),
    )
    return OpenInputs(
        method=method,
        rounding=given.pop("rounding", RoundingPolicy.NEAREST_LARGEST if dividing else RoundingPolicy.NEAREST),
        grid=given.pop("grid", TENTH),
        master_volume_e8=lots(master_volume),
        master_basis=given.pop("master_basis", 0),
        subscriptions=subscription_set(
            count, active=given.pop("active", None), modes=given.pop("modes", None), settings=settings, **parameters
        ),
        bases=column(bases),
        caps_e8=column([lots(x) for x in given.pop("caps", ())]),
        figures=figures,
        **given,
    )


def twin_copy(share: Fraction, rounding: RoundingPolicy, least: int, most: int, factor: Fraction) -> tuple[int, str]:
    """Steps and reason of one child alone; `share` in steps."""
    steps = floor(share) if rounding is RoundingPolicy.DOWN else floor(share + HALF)
    most = most if most >= least else 0
    if steps > most:
        return most, "CAPPED"
    if steps >= least:
        return steps, "NONE"
    return (least, "NONE") if most and least <= share * factor else (0, "BELOW_MIN_LOT")


def twin_divide(total, weights, had, policy, least, most, factors):
    """Steps of each, and who was cut: the rules one after the other. Everything in steps; `had` may be fractions."""
    everybody = range(len(weights))
    most = [m if m >= least else 0 for m in most]
    fixed: dict[int, int] = {}
    cut: set[int] = set()
    first = _claims(everybody, total, weights, had)
    may_lift = {i for i in everybody if factors[i] and most[i] >= least and first[i] * factors[i] >= least}
    while free := [i for i in everybody if i not in fixed]:
        rest = total - sum(fixed.values())
        if rest == 0:
            break
        claims = _claims(free, rest, weights, had)
        under = [i for i in free if claims[i] < 0]
        over = [i for i in free if claims[i] > most[i]]
        if under and -sum(claims[i] for i in under) >= sum(claims[i] - most[i] for i in over):
            fixed |= dict.fromkeys(under, 0)
            continue
        if over:
            fixed |= {i: most[i] for i in over}
            cut |= set(over)
            continue
        below = [i for i in free if floor(claims[i] + HALF) < least and (least > 1 or i in may_lift)]
        if not below:
            parts = twin_round(rest, claims, policy, {i: most[i] for i in free}, least if least > 1 else 0)
            below = [i for i in free if parts[i] < least and (parts[i] or i in may_lift)]
            if not below:
                return [fixed.get(i, parts.get(i)) for i in everybody], cut
        lifted = sorted((i for i in below if i in may_lift), key=lambda i: (-weights[i], i))[: rest // least]
        fixed |= dict.fromkeys(below, 0) | dict.fromkeys(lifted, least)
    return [fixed.get(i, 0) for i in everybody], cut


def twin_round(total, claims, policy, most, least):
    """Whole steps that add up to the total, of claims that do."""
    if policy is not RoundingPolicy.NEAREST_LARGEST:
        parts = {i: floor(claim) for i, claim in claims.items()}
        ranked = sorted(claims, key=lambda i: (parts[i] - claims[i], -claims[i], i))
        for i in ranked[: total - sum(parts.values())]:
            parts[i] += 1
        return parts
    parts = {i: floor(claim + HALF) for i, claim in claims.items()}
    missing = total - sum(parts.values())
    for i in sorted((i for i in parts if parts[i] < most[i]), key=lambda i: (-claims[i], i))[: max(missing, 0)]:
        parts[i] += 1
    givers = [i for i in parts if parts[i] > least]
    if len(givers) < -missing:
        givers = [i for i in parts if parts[i]]
    for i in sorted(givers, key=lambda i: (claims[i], i))[: max(-missing, 0)]:
        parts[i] -= 1
    return parts


def _claims(rows, rest, weights, had):
    whole, level = sum(weights[i] for i in rows), rest + sum(had[i] for i in rows)
    return {i: Fraction(weights[i]) / whole * level - had[i] for i in rows}
