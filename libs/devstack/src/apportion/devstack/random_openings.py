"""The decision on a master's opening deal, computed again from its stored inputs and from what was set by then."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from apportion.api.allocation.v1 import allocations_pb2, masters_pb2, subscriptions_pb2
from apportion.devstack.crowd import DIVIDING, UNKNOWN_SYMBOL, Link, Terms
from apportion.devstack.fraction_twins import CARRY, Rounded, Volumes, copy, divide, divided_owed
from apportion.devstack.ledger import Json

E8 = 100_000_000
STEP_E8 = 1_000_000
"""The lot step and the smallest volume of every symbol here."""
UNKNOWN = -(2**63)
LEVERAGE = 100
CENTS = 100
PERCENT_E8 = 100 * E8
ROUND_UP_FACTOR = Fraction(5)
HELD = re.compile(r"([\d.]+) held(?= ≈| =)")
LOT_PRICE = re.compile(r"/ \((\d+) × ([\d.]+)\) lot")

Reason = allocations_pb2.SkipReason
Mode = subscriptions_pb2.LotMode
NO_PARAMETER = {masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_LOT, masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_PERCENT}
WITHOUT_BASIS = NO_PARAMETER | {
    masters_pb2.ALLOCATION_METHOD_FIXED_LOT,
    masters_pb2.ALLOCATION_METHOD_RATIO_MULTIPLIER,
}
TAKEN = {
    # What depends on figures that are not told with the decision, or on when it was made.
    allocations_pb2.SKIP_REASON_MARGIN_GATE,
    allocations_pb2.SKIP_REASON_NO_PRICE,
    allocations_pb2.SKIP_REASON_TOO_LATE,
    allocations_pb2.SKIP_REASON_MARKET_CLOSED,
}


@dataclass(frozen=True)
class Opening:
    deal: Json
    allocation: allocations_pb2.Allocation
    explained: allocations_pb2.ExplainAllocationResponse
    links: tuple[Link, ...]
    """As they were set by then, in login order."""

    @property
    def buys(self) -> bool:
        return bool(self.deal["Action"] == "0")

    @property
    def steps(self) -> Fraction:
        return Fraction(int(self.deal["VolumeExt"]), STEP_E8)


class OpeningTwin:
    """Goes through the openings of one master in their order: what CARRY owes is its memory."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._owed: dict[str, dict[int, Fraction]] = {}

    def problems(self, opening: Opening, counted: Counter[str]) -> Iterator[str]:
        rows = {row.account_login: row for row in opening.explained.children}
        links = {link.login: link for link in opening.links}
        missing = sorted(links.keys() - rows.keys())
        if missing:
            yield f"{missing[:5]} are not in the decision"
        if any(not row.stored_volume_e8 for login, row in rows.items() if login not in links):
            counted["rows of those who had left"] += 1
        yield from self._sum_problems(opening)
        taking_part: dict[int, Link] = {}
        for login, link in links.items():
            if login not in rows:
                continue
            row, gate = rows[login], self._gate(opening, link, rows[login])
            counted[f"reason {Reason.Name(row.skip_reason).removeprefix('SKIP_REASON_')}"] += 1
            if gate:
                if row.skip_reason not in gate or row.stored_volume_e8:
                    yield (
                        f"{login} should be left out ({[Reason.Name(r) for r in gate]}), got {row.stored_volume_e8} "
                        f"{Reason.Name(row.skip_reason)}"
                    )
            else:
                taking_part[login] = link
        yield from self._volume_problems(opening, rows, taking_part)

    def _sum_problems(self, opening: Opening) -> Iterator[str]:
        allocation = opening.allocation
        given = sum(abs(row.stored_volume_e8) for row in opening.explained.children)
        if self._terms.method in DIVIDING:
            rest = abs(allocation.unallocated_volume_e8)
            if given + rest != abs(allocation.master_volume_e8):
                yield f"{given} given + {rest} unallocated is not {allocation.master_volume_e8}"
        for row in opening.explained.children:
            if not row.stored_volume_e8 and not row.skip_reason:
                yield f"{row.account_login} got nothing, without a reason"

    def _gate(
        self, opening: Opening, link: Link, row: allocations_pb2.ChildExplanation
    ) -> tuple[Reason.ValueType, ...]:
        """Why somebody may take no part; empty: he takes part."""
        settings, symbol = link.settings, opening.deal["Symbol"]
        refused = (
            subscriptions_pb2.DIRECTION_FILTER_SELL_ONLY
            if opening.buys
            else subscriptions_pb2.DIRECTION_FILTER_BUY_ONLY
        )
        if not link.active:
            return (allocations_pb2.SKIP_REASON_INACTIVE,)
        if row.skip_reason in TAKEN and not row.stored_volume_e8:
            return (row.skip_reason,)
        if (
            settings.direction_filter == refused
            or symbol in settings.denied_symbols
            or (settings.allowed_symbols and symbol not in settings.allowed_symbols)
        ):
            return (allocations_pb2.SKIP_REASON_FILTERED,)
        if settings.symbol_map.get(symbol) == UNKNOWN_SYMBOL:
            return (allocations_pb2.SKIP_REASON_SYMBOL_UNMAPPED,)
        limits_held = settings.max_open_positions or settings.max_total_lot_e8
        if limits_held and row.skip_reason == allocations_pb2.SKIP_REASON_CAPPED and not row.stored_volume_e8:
            return (row.skip_reason,)
        if self._terms.method in NO_PARAMETER:
            nothing = not (self._weight(link, row) > 0)
            return (allocations_pb2.SKIP_REASON_BELOW_MIN_LOT,) if nothing else ()
        return self._gate_basis(opening, link, row)

    def _gate_basis(
        self, opening: Opening, link: Link, row: allocations_pb2.ChildExplanation
    ) -> tuple[Reason.ValueType, ...]:
        if self._terms.method in WITHOUT_BASIS:
            return ()
        if self._terms.method == masters_pb2.ALLOCATION_METHOD_LOT_MULTIPLIER and link.lot_mode in {
            Mode.LOT_MODE_MULTIPLIER,
            Mode.LOT_MODE_FIXED,
        }:
            return ()
        if UNKNOWN in {row.basis, opening.explained.master_basis}:
            return (allocations_pb2.SKIP_REASON_STALE_STATE,)
        return (allocations_pb2.SKIP_REASON_NO_EQUITY,) if row.basis <= 0 else ()

    def _weight(self, link: Link, row: allocations_pb2.ChildExplanation) -> int:
        if self._terms.method == masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_LOT:
            return link.lot_e8
        if self._terms.method == masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_PERCENT:
            return link.percent_e8
        return row.basis

    def _volume_problems(
        self, opening: Opening, rows: dict[int, allocations_pb2.ChildExplanation], links: dict[int, Link]
    ) -> Iterator[str]:
        owed = self._owed.setdefault(opening.deal["Symbol"], {})
        caps = {login: link.settings.max_lot_e8 // STEP_E8 for login, link in links.items() if link.settings.max_lot_e8}
        # A limit of what is held altogether is taken as it was applied, where it may have been.
        for login, link in links.items():
            if link.settings.max_total_lot_e8 and rows[login].skip_reason == allocations_pb2.SKIP_REASON_CAPPED:
                caps[login] = abs(rows[login].stored_volume_e8) // STEP_E8
        by_family = self._divided if self._terms.method in DIVIDING else self._copied
        rounded = by_family(opening, rows, links, caps, owed)
        self._owed[opening.deal["Symbol"]] = rounded.owed
        for login, wanted in rounded.steps.items():
            row, link = rows[login], links[login]
            if wanted * STEP_E8 != abs(row.stored_volume_e8):
                yield f"{login} should get {wanted * STEP_E8}, got {row.stored_volume_e8}: {row.text}"
            reason = (
                allocations_pb2.SKIP_REASON_CAPPED
                if login in rounded.cut
                else allocations_pb2.SKIP_REASON_UNSPECIFIED
                if wanted
                else allocations_pb2.SKIP_REASON_BELOW_MIN_LOT
            )
            if row.skip_reason != reason:
                yield f"{login} should say {Reason.Name(reason)}, says {Reason.Name(row.skip_reason)}: {row.text}"
            if wanted and (row.stored_volume_e8 > 0) != (opening.buys != link.settings.reverse):
                yield f"{login} goes in the wrong direction with {row.stored_volume_e8}"

    def _copied(
        self,
        opening: Opening,
        rows: dict[int, allocations_pb2.ChildExplanation],
        links: dict[int, Link],
        caps: dict[int, int],
        owed: dict[int, Fraction],
    ) -> Rounded:
        shares = {login: self._share(opening, link, rows[login]) for login, link in links.items()}
        factors = {login: ROUND_UP_FACTOR for login, link in links.items() if link.settings.round_up_to_min}
        return copy(shares, self._terms.rounding, owed, caps, factors, STEP_E8)

    def _share(self, opening: Opening, link: Link, row: allocations_pb2.ChildExplanation) -> Fraction:
        """In steps, before the one rounding."""
        master, lot = opening.steps, Fraction(link.lot_e8, STEP_E8)
        method, ratio, percent = self._terms.method, Fraction(link.ratio_e8, E8), Fraction(link.percent_e8, PERCENT_E8)
        equity = Fraction(row.basis, CENTS)
        if method == masters_pb2.ALLOCATION_METHOD_LOT_MULTIPLIER:
            method = {
                Mode.LOT_MODE_FIXED: masters_pb2.ALLOCATION_METHOD_FIXED_LOT,
                Mode.LOT_MODE_RISK: masters_pb2.ALLOCATION_METHOD_RISK,
                Mode.LOT_MODE_EQUITY: masters_pb2.ALLOCATION_METHOD_EQUITY_SHARE,
            }.get(link.lot_mode, masters_pb2.ALLOCATION_METHOD_RATIO_MULTIPLIER)
            ratio = Fraction(link.lot_e8, E8)
        match method:
            case masters_pb2.ALLOCATION_METHOD_FIXED_LOT:
                return lot
            case masters_pb2.ALLOCATION_METHOD_RATIO_MULTIPLIER:
                return master * ratio
            case masters_pb2.ALLOCATION_METHOD_EQUITY_SHARE:
                return equity * percent * E8 / STEP_E8
            case masters_pb2.ALLOCATION_METHOD_EQUITY_PERCENT:
                found = LOT_PRICE.search(row.text)
                if found is None:
                    return Fraction(0)
                return percent * LEVERAGE * equity / (int(found[1]) * Fraction(found[2])) * E8 / STEP_E8
        of_master = master * Fraction(row.basis, opening.explained.master_basis)
        if method == masters_pb2.ALLOCATION_METHOD_RISK:
            return of_master * percent
        return of_master if method == masters_pb2.ALLOCATION_METHOD_COPY_BY_FREE_MARGIN else of_master * ratio

    def _divided(
        self,
        opening: Opening,
        rows: dict[int, allocations_pb2.ChildExplanation],
        links: dict[int, Link],
        caps: dict[int, int],
        owed: dict[int, Fraction],
    ) -> Rounded:
        weights = {login: self._weight(link, rows[login]) for login, link in links.items()}
        total, policy = floor(opening.steps), self._terms.rounding
        had: dict[int, Fraction] = {}
        if self._terms.method == masters_pb2.ALLOCATION_METHOD_EQUAL_RISK:
            had = {login: _held(rows[login].text) for login in links}
        elif policy == CARRY:
            had = {login: -owed.get(login, Fraction(0)) for login in links}
        spare = PERCENT_E8 - sum(weights.values())
        if self._terms.method == masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_PERCENT and spare > 0:
            steps, cut = self._divided_in_part(total, weights, spare, had, caps)
        else:
            steps, cut = divide(total, weights, had, policy, caps)
        after = divided_owed(steps, cut, weights, owed, STEP_E8) if policy == CARRY else owed
        return Rounded(steps, cut, after)

    def _divided_in_part(
        self, total: int, weights: dict[int, int], spare: int, had: dict[int, Fraction], caps: dict[int, int]
    ) -> tuple[Volumes, set[int]]:
        """What is missing to 100 percent is nobody's: it is rounded as if it were somebody's, who comes last."""
        nobody = max(weights, default=0) + 1
        policy = self._terms.rounding
        everybody, _ = divide(total, {**weights, nobody: spare}, {}, policy, {})
        rest = everybody.pop(nobody)
        if policy != CARRY and all(everybody[login] <= caps.get(login, everybody[login]) for login in everybody):
            return everybody, set()
        return divide(total - rest, weights, had, policy, caps)


def _held(text: str) -> Fraction:
    """What one held already, in steps: the last of the formula's two figures."""
    found = HELD.findall(text)
    return Fraction(found[-1]) * E8 / STEP_E8 if found else Fraction(0)
