"""The decision on a master's opening deal, computed again from its stored inputs and from what was set by then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from apportion.api.allocation.v1 import allocations_pb2, masters_pb2, subscriptions_pb2
from apportion.devstack.crowd import Link
from apportion.devstack.fraction_twins import (
    CARRY,
    Cushion,
    Rounded,
    Volumes,
    copy,
    divide,
    divide_by_risk,
    divided_owed,
    largest_remainder,
)
from apportion.devstack.random_terms import DIVIDING, UNKNOWN_SYMBOL, Terms

E8 = 100_000_000
STEP_E8 = 1_000_000
"""The lot step and the smallest volume of every symbol here."""
UNKNOWN = -(2**63)
CENTS = 100
PERCENT_E8 = 100 * E8
ROUND_UP_FACTOR = Fraction(5)
WHOLE = 10**9

Reason = allocations_pb2.SkipReason
Mode = subscriptions_pb2.LotMode
NO_PARAMETER = {masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_LOT, masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_PERCENT}
WITHOUT_BASIS = NO_PARAMETER | {
    masters_pb2.ALLOCATION_METHOD_FIXED_LOT,
    masters_pb2.ALLOCATION_METHOD_RATIO_MULTIPLIER,
}
NEVER = {
    # The account states are waited for, prices and rates are known, markets never close, and nobody limits the age.
    allocations_pb2.SKIP_REASON_STALE_STATE,
    allocations_pb2.SKIP_REASON_NO_PRICE,
    allocations_pb2.SKIP_REASON_TOO_LATE,
    allocations_pb2.SKIP_REASON_MARKET_CLOSED,
}


@dataclass(frozen=True)
class Opening:
    """A decision to be computed again: on a master's deal, or on what he has open for one who begins to follow."""

    symbol: str
    volume_e8: int
    """Signed, by the trading server."""
    allocation: allocations_pb2.Allocation
    explained: allocations_pb2.ExplainAllocationResponse
    links: tuple[Link, ...]
    """As they were set by then, in login order."""
    is_halted: bool

    @property
    def buys(self) -> bool:
        return self.volume_e8 > 0

    @property
    def steps(self) -> Fraction:
        return Fraction(abs(self.volume_e8), STEP_E8)


class OpeningTwin:
    """Goes through the openings of one master in their order: what CARRY owes is its memory."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._owed: dict[str, dict[int, Fraction]] = {}
        self._subscriptions: dict[int, int] = {}

    def problems(self, opening: Opening, counted: Counter[str]) -> Iterator[str]:
        links = {link.login: link for link in opening.links}
        self._forget_others(opening.links)
        rows = {row.account_login: row for row in opening.explained.children}
        if links.keys() != rows.keys() or len(rows) != len(opening.explained.children):
            yield f"{sorted(links.keys() ^ rows.keys())[:5]} are in the decision and should not be, or the reverse"
        yield from self._sum_problems(opening)
        taking_part: dict[int, Link] = {}
        for login, link in links.items():
            if login not in rows:
                continue
            row, gate = rows[login], self._gate(opening, link, rows[login])
            counted[f"reason {Reason.Name(row.skip_reason).removeprefix('SKIP_REASON_')}"] += 1
            if row.skip_reason in NEVER:
                yield f"{login} is left out: {Reason.Name(row.skip_reason)}"
            if gate:
                if row.skip_reason not in gate or row.stored_volume_e8:
                    yield (
                        f"{login} should be left out ({[Reason.Name(r) for r in gate]}), got {row.stored_volume_e8} "
                        f"{Reason.Name(row.skip_reason)}"
                    )
            else:
                taking_part[login] = link
        yield from self._volume_problems(opening, rows, taking_part)
        if self._terms.distributes:
            yield from self._proportion_problems(rows, taking_part)

    def _forget_others(self, links: tuple[Link, ...]) -> None:
        """A new subscription of an account is owed nothing of what the one before was."""
        for link in links:
            if self._subscriptions.setdefault(link.login, link.subscription_id) != link.subscription_id:
                self._subscriptions[link.login] = link.subscription_id
                for owed in self._owed.values():
                    owed.pop(link.login, None)

    def _sum_problems(self, opening: Opening) -> Iterator[str]:
        allocation = opening.allocation
        given = sum(abs(row.stored_volume_e8) for row in opening.explained.children)
        if self._terms.method in DIVIDING:
            rest = abs(allocation.unallocated_volume_e8)
            if given + rest != abs(allocation.master_volume_e8):
                yield f"{given} given + {rest} unallocated is not {allocation.master_volume_e8}"
        for row in opening.explained.children:
            if not row.stored_volume_e8 and not row.proportion_e9 and not row.skip_reason:
                yield f"{row.account_login} got nothing, without a reason"

    def _gate(
        self, opening: Opening, link: Link, row: allocations_pb2.ChildExplanation
    ) -> tuple[Reason.ValueType, ...]:
        """Why somebody may take no part; empty: he takes part."""
        settings, symbol = link.settings, opening.symbol
        refused = (
            subscriptions_pb2.DIRECTION_FILTER_SELL_ONLY
            if opening.buys
            else subscriptions_pb2.DIRECTION_FILTER_BUY_ONLY
        )
        if not link.active:
            return (allocations_pb2.SKIP_REASON_INACTIVE,)
        if opening.is_halted:
            return (allocations_pb2.SKIP_REASON_PAUSED_BY_RISK,)
        if (
            settings.direction_filter == refused
            or symbol in settings.denied_symbols
            or (settings.allowed_symbols and symbol not in settings.allowed_symbols)
        ):
            return (allocations_pb2.SKIP_REASON_FILTERED,)
        if settings.symbol_map.get(symbol) == UNKNOWN_SYMBOL:
            return (allocations_pb2.SKIP_REASON_SYMBOL_UNMAPPED,)
        if (
            settings.max_open_positions
            and row.skip_reason == allocations_pb2.SKIP_REASON_CAPPED
            and not row.stored_volume_e8
        ):
            return (row.skip_reason,)
        if self._terms.method in NO_PARAMETER:
            nothing = not (self._weight(link, row) > 0)
            return (allocations_pb2.SKIP_REASON_BELOW_MIN_LOT,) if nothing else ()
        return self._gate_figures(opening, link, row)

    def _gate_figures(
        self, opening: Opening, link: Link, row: allocations_pb2.ChildExplanation
    ) -> tuple[Reason.ValueType, ...]:
        """By what the decision says that it knew of the accounts: that it is theirs is looked at elsewhere."""
        explained, method = opening.explained, self._terms.method
        if method in WITHOUT_BASIS:
            return ()
        if method == masters_pb2.ALLOCATION_METHOD_LOT_MULTIPLIER and link.lot_mode in {
            Mode.LOT_MODE_MULTIPLIER,
            Mode.LOT_MODE_FIXED,
        }:
            return ()
        if UNKNOWN in {row.basis, explained.master_basis}:
            return (allocations_pb2.SKIP_REASON_STALE_STATE,)
        if row.basis <= 0:
            return (allocations_pb2.SKIP_REASON_NO_EQUITY,)
        watched = method == masters_pb2.ALLOCATION_METHOD_EQUAL_RISK and link.percent_e8 > 0
        if watched or method == masters_pb2.ALLOCATION_METHOD_EQUITY_PERCENT:
            if not (explained.contract_size_e8 and explained.conversion_e8 and row.leverage > 0):
                return (allocations_pb2.SKIP_REASON_NO_PRICE,)
            if watched and row.margin_minor == UNKNOWN:
                return (allocations_pb2.SKIP_REASON_STALE_STATE,)
            if watched and self._cushion(opening, link, row).falls_out(0):
                return (allocations_pb2.SKIP_REASON_MARGIN_GATE,)
        return ()

    def _cushion(self, opening: Opening, link: Link, row: allocations_pb2.ChildExplanation) -> Cushion:
        explained = opening.explained
        step_minor = Fraction(explained.contract_size_e8 * explained.conversion_e8 * STEP_E8 * CENTS, E8**3)
        least = Fraction(link.percent_e8, PERCENT_E8)
        return Cushion(row.basis, row.margin_minor, row.leverage, step_minor, least)

    def _weight(self, link: Link, row: allocations_pb2.ChildExplanation) -> int:
        if self._terms.method == masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_LOT:
            return link.lot_e8
        if self._terms.method == masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_PERCENT:
            return link.percent_e8
        return row.basis

    def _volume_problems(
        self, opening: Opening, rows: dict[int, allocations_pb2.ChildExplanation], links: dict[int, Link]
    ) -> Iterator[str]:
        owed = self._owed.setdefault(opening.symbol, {})
        caps = {login: rows[login].cap_volume_e8 // STEP_E8 for login in links if rows[login].HasField("cap_volume_e8")}
        for login, link in links.items():
            most = [limit for limit in (link.settings.max_lot_e8, link.settings.max_total_lot_e8) if limit]
            if bool(most) != (login in caps) or (most and rows[login].cap_volume_e8 > min(most)):
                yield f"{login} has limits {most}, and {rows[login].cap_volume_e8} was left of them"
            elif most and not link.settings.max_total_lot_e8 and rows[login].cap_volume_e8 != min(most):
                yield f"{login} has the limit {most}, and {rows[login].cap_volume_e8} was left of it"
        gated: set[int] = set()
        if self._terms.method in DIVIDING:
            rounded, gated = self._divided(opening, rows, links, caps, owed)
        else:
            rounded = self._copied(opening, rows, links, caps, owed)
        self._owed[opening.symbol] = rounded.owed
        for login, wanted in rounded.steps.items():
            row, link = rows[login], links[login]
            if wanted * STEP_E8 != abs(row.stored_volume_e8):
                yield f"{login} should get {wanted * STEP_E8}, got {row.stored_volume_e8}: {row.text}"
            reason = (
                allocations_pb2.SKIP_REASON_MARGIN_GATE
                if login in gated
                else allocations_pb2.SKIP_REASON_CAPPED
                if login in rounded.cut and not row.proportion_e9
                else allocations_pb2.SKIP_REASON_UNSPECIFIED
                if wanted or row.proportion_e9
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
                lot_price = Fraction(opening.explained.contract_size_e8 * opening.explained.conversion_e8, E8**2)
                return percent * row.leverage * equity / lot_price * E8 / STEP_E8
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
    ) -> tuple[Rounded, set[int]]:
        """And who is out for his margin level."""
        weights = {login: self._weight(link, rows[login]) for login, link in links.items()}
        total, policy = floor(opening.steps), self._terms.rounding
        if self._terms.method == masters_pb2.ALLOCATION_METHOD_EQUAL_RISK:
            held = {login: Fraction(rows[login].held_volume_e8, STEP_E8) for login in links}
            cushions = {login: self._cushion(opening, link, rows[login]) for login, link in links.items()}
            steps, cut, gated = divide_by_risk(total, weights, held, policy, caps, cushions)
            return Rounded(steps, cut, owed), gated
        had = {login: -owed.get(login, Fraction(0)) for login in links} if policy == CARRY else {}
        spare = PERCENT_E8 - sum(weights.values())
        if self._terms.method == masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_PERCENT and spare > 0:
            steps, cut = self._divided_in_part(total, weights, spare, had, caps)
        else:
            steps, cut = divide(total, weights, had, policy, caps)
        after = divided_owed(steps, cut, weights, owed, STEP_E8) if policy == CARRY else owed
        return Rounded(steps, cut, after), set()

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

    def _proportion_problems(
        self, rows: dict[int, allocations_pb2.ChildExplanation], links: dict[int, Link]
    ) -> Iterator[str]:
        """Parts of 1e9 by weight, what is missing to 100 percent is nobody's; nothing for who takes no part."""
        weights = {login: self._weight(link, rows[login]) for login, link in links.items()}
        weight_sum = sum(weights.values())
        spare = 0
        if self._terms.method == masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_PERCENT:
            spare = max(PERCENT_E8 - weight_sum, 0)
        parts: Volumes = {}
        if weight_sum:
            everybody = {**weights, max(weights) + 1: spare}
            shares = {n: Fraction(WHOLE * weight, weight_sum + spare) for n, weight in everybody.items()}
            parts = largest_remainder(WHOLE, shares)
        for login, row in rows.items():
            wanted = parts.get(login, 0) if login in links else 0
            if row.proportion_e9 != wanted:
                yield f"{login} should have {wanted} parts of 1e9, has {row.proportion_e9}"
