"""What each method gives, in plain fractions: written after the published rules, with nothing of the services in it.

Holds where a lot step is the smallest volume, so that nobody is left out below it but by rounding to nothing.
Volumes are in whole lot steps, shares in fractions of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from apportion.api.allocation.v1 import masters_pb2

HALF = Fraction(1, 2)
NEAREST_LARGEST = masters_pb2.ROUNDING_POLICY_NEAREST_LARGEST
DOWN = masters_pb2.ROUNDING_POLICY_DOWN
CARRY = masters_pb2.ROUNDING_POLICY_CARRY

Volumes = dict[int, int]
Shares = Mapping[int, Fraction]


@dataclass(frozen=True)
class Rounded:
    """By login: whole steps, who got less than his share by a limit, and what each is owed now (CARRY only)."""

    steps: Volumes
    cut: set[int]
    owed: dict[int, Fraction]


def half_up(share: Fraction) -> int:
    return floor(share + HALF)


def copy(
    shares: Shares, policy: int, owed: Shares, caps: Mapping[int, int], factors: Mapping[int, Fraction], grain: int
) -> Rounded:
    """Each alone. `caps` and `factors` (of rounding up to a step) only of those who have one. What is owed is counted
    in `grain` parts of a step.
    """
    steps: Volumes = {}
    cut: set[int] = set()
    after = dict(owed)
    for login, share in shares.items():
        wanted = share
        if policy == CARRY:
            claim = Fraction(half_up(share * grain), grain) + owed.get(login, 0)
            wanted = max(claim, Fraction(0))
        count = floor(wanted) if policy == DOWN else half_up(wanted)
        cap = caps.get(login)
        if cap is not None and count > cap:
            count = cap
            cut.add(login)
        elif count < 1 and login in factors and wanted * factors[login] >= 1 and cap != 0:
            count = 1
        steps[login] = count
        if policy == CARRY and login not in cut:
            after[login] = claim - count
    return Rounded(steps, cut, after)


def divide(
    total: int, weights: Mapping[int, int], had: Shares, policy: int, caps: Mapping[int, int]
) -> tuple[Volumes, set[int]]:
    """All of `total` by weight, after everybody's account of what he `had`; nobody below 0 or above his cap.

    Whoever claims less than nothing gets nothing, whoever claims more than his cap gets that, whichever side weighs
    more; then the rest is divided anew.
    """
    fixed: Volumes = {login: 0 for login, weight in weights.items() if weight <= 0}
    cut: set[int] = set()
    while free := [login for login in weights if login not in fixed]:
        rest = total - sum(fixed.values())
        if rest <= 0:
            break
        claims = _claims(free, rest, weights, had)
        under = [login for login in free if claims[login] < 0]
        over = [login for login in free if login in caps and claims[login] > caps[login]]
        lifting = -sum(claims[login] for login in under)
        if under and lifting >= sum(claims[login] - caps[login] for login in over):
            fixed |= dict.fromkeys(under, 0)
        elif over:
            fixed |= {login: caps[login] for login in over}
            cut |= set(over)
        else:
            fixed |= rounded(rest, claims, policy, caps)
    return {login: fixed.get(login, 0) for login in weights}, cut


def _claims(logins: Sequence[int], rest: int, weights: Mapping[int, int], had: Shares) -> dict[int, Fraction]:
    weight_sum = sum(weights[login] for login in logins)
    level = rest + sum((had.get(login, Fraction(0)) for login in logins), Fraction(0))
    return {login: level * weights[login] / weight_sum - had.get(login, 0) for login in logins}


def rounded(total: int, claims: Shares, policy: int, caps: Mapping[int, int]) -> Volumes:
    """Claims that add up to the total, in whole steps that do. Above 0."""
    if policy != NEAREST_LARGEST:
        return largest_remainder(total, claims)
    steps = {login: half_up(claim) for login, claim in claims.items()}
    missing = total - sum(steps.values())
    takers = [login for login in steps if login not in caps or steps[login] < caps[login]]
    for login in sorted(takers, key=lambda login: (-claims[login], login))[: max(missing, 0)]:
        steps[login] += 1
    givers = [login for login in steps if steps[login] > 0]
    for login in sorted(givers, key=lambda login: (claims[login], login))[: max(-missing, 0)]:
        steps[login] -= 1
    return steps


def largest_remainder(total: int, claims: Shares) -> Volumes:
    """Cut down; the missing steps to the largest remainders, then the larger share, then the lower login."""
    steps = {login: floor(claim) for login, claim in claims.items()}
    order = sorted(claims, key=lambda login: (steps[login] - claims[login], -claims[login], login))
    for login in order[: total - sum(steps.values())]:
        steps[login] += 1
    return steps


@dataclass(frozen=True)
class Cushion:
    """What an account's margin level is computed from, and the least that its subscription asks for."""

    equity_minor: int
    margin_minor: int
    leverage: int
    step_minor: Fraction
    """What one step costs without leverage."""
    least: Fraction
    """Equity by margin; 0: no matter what."""

    def falls_out(self, steps: int) -> bool:
        """With so many steps more."""
        margin = self.margin_minor + steps * self.step_minor / self.leverage
        return bool(self.least) and self.equity_minor < self.least * margin


def divide_by_risk(
    total: int,
    weights: Mapping[int, int],
    had: Shares,
    policy: int,
    caps: Mapping[int, int],
    cushions: Mapping[int, Cushion],
) -> tuple[Volumes, set[int], set[int]]:
    """(steps, who was cut, who is out for his margin level): divided anew without whom it would bring too low."""
    out: set[int] = set()
    while True:
        inside = {login: 0 if login in out else weight for login, weight in weights.items()}
        steps, cut = divide(total, inside, {login: had[login] for login in had if login not in out}, policy, caps)
        falling = {login for login, count in steps.items() if count and cushions[login].falls_out(count)}
        if not falling:
            return steps, cut, out
        out |= falling


def distribute(total_minor: int, proportions: Mapping[int, int], whole: int, policy: int) -> Volumes:
    """An amount, signed, by parts of a whole, to the unit; what is missing to the whole is nobody's, who comes last."""
    nobody = max(proportions, default=0) + 1
    parts = {**proportions, nobody: whole - sum(proportions.values())}
    claims = {login: Fraction(abs(total_minor) * part, whole) for login, part in parts.items()}
    shares = rounded(abs(total_minor), claims, policy, {})
    sign = 1 if total_minor > 0 else -1
    return {login: sign * shares[login] for login in proportions}


def divided_owed(
    steps: Volumes, cut: set[int], weights: Mapping[int, int], owed: Mapping[int, Fraction], grain: int
) -> dict[int, Fraction]:
    """What each is owed after a division: before + the exact share of what was handed out − what he got; whoever was
    cut is owed as before. The shares are rounded to `grain` parts of a step, so that nothing is lost.
    """
    after = dict(owed)
    uncut = [login for login, weight in weights.items() if weight > 0 and login not in cut]
    if not uncut:
        return after
    handed_out = sum(steps[login] for login in uncut) * grain
    weight_sum = sum(weights[login] for login in uncut)
    parts = largest_remainder(handed_out, {login: Fraction(handed_out * weights[login], weight_sum) for login in uncut})
    for login in uncut:
        after[login] = owed.get(login, Fraction(0)) + Fraction(parts[login], grain) - steps[login]
    return after


def close(held: Volumes, fraction: Fraction, *, dividing: bool) -> Volumes:
    """What each closes when the master closes a fraction of his position."""
    if fraction >= 1:
        return dict(held)
    if not dividing:
        return {login: half_up(steps * fraction) for login, steps in held.items()}
    total = sum(held.values())
    if not total:
        return dict(held)
    closed = half_up(total * fraction)
    return largest_remainder(closed, {login: Fraction(closed * steps, total) for login, steps in held.items()})
