"""Has every cent that a pooled master's deals brought reached his investors, once, and is none left?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from math import floor
from typing import TypeAlias

from apportion.api.allocation.v1 import allocations_pb2, distributions_pb2
from apportion.devstack.crowd import CrowdMaster
from apportion.devstack.fraction_twins import HALF, NEAREST_LARGEST, distribute, largest_remainder
from apportion.devstack.ledger import minor
from apportion.devstack.random_books import Books, MasterDeal, master_deals

OPEN, CLOSE = allocations_pb2.ALLOCATION_KIND_OPEN, allocations_pb2.ALLOCATION_KIND_CLOSE
WHOLE = 10**9

Kind: TypeAlias = allocations_pb2.AllocationKind.ValueType
Key = tuple[Kind, int]
Money = tuple[int, int, int]


class ProfitTwin:
    """One pooled master: his deals on the server, the proportions that were decided, the shares that were booked."""

    def __init__(self, books: Books, master: CrowdMaster, counted: Counter[str]) -> None:
        self._books = books
        self._master = master
        self._counted = counted
        self._deals = master_deals(books.server[master.login])
        self._found = {
            (each.distribution.kind, each.distribution.deal_ticket): each
            for each in books.distributions[master.master_id]
        }
        self._openings = {
            allocation.deal_ticket: allocation.allocation_id
            for allocation in books.allocations[master.master_id]
            if allocation.kind == OPEN and not allocation.wave
        }
        self._open_e8: dict[int, dict[int, int]] = {}
        """Of each opening, by position."""

    def problems(self) -> Iterator[str]:
        """Each deal's money by formula; then what the server has booked."""
        expected: set[Key] = set()
        booked: dict[int, Counter[int]] = {}
        for deal in self._deals:
            for kind, money, openings in self._parts(deal):
                wanted, whole = self._proportions(openings)
                if (kind == CLOSE or any(money)) and wanted:
                    expected.add((kind, deal.ticket))
                    yield from self._distribution_problems(kind, deal, money, wanted, whole, booked)
        if len(self._books.distributions[self._master.master_id]) != len(self._found):
            yield "a deal was distributed twice"
        for key in sorted(self._found.keys() - expected):
            if any(row.profit_minor or row.swap_minor or row.commission_minor for row in self._found[key].rows):
                yield f"deal {key[1]} was distributed and should not have been"
        yield from self._booking_problems(booked)

    def _parts(self, deal: MasterDeal) -> Iterator[tuple[Kind, Money, dict[int, int]]]:
        """What it closed and what it opened: the money of each, and which openings it belongs to with how much."""
        profit, swap, commission = (minor(deal.deal[name]) for name in ("Profit", "Storage", "Commission"))
        open_e8 = self._open_e8.setdefault(deal.position, {})
        opened, closed = abs(deal.opened_e8), abs(deal.closed_e8)
        closing = commission
        if opened and closed:
            exact = Fraction(abs(commission) * closed, opened + closed)
            closing = floor(exact + HALF) * (1 if commission > 0 else -1)
        if closed:
            yield CLOSE, (profit, swap, closing), {number: e8 for number, e8 in open_e8.items() if e8}
            before = abs(deal.before_e8)
            shares = {number: Fraction(closed * e8, before) for number, e8 in open_e8.items() if e8}
            for number, part in largest_remainder(closed, shares).items():
                open_e8[number] -= part
        if opened:
            opening = self._openings.get(deal.ticket, 0)
            money = (0, 0, commission - closing) if closed else (profit, swap, commission)
            yield OPEN, money, {opening: opened}
            open_e8[opening] = opened

    def _proportions(self, openings: dict[int, int]) -> tuple[dict[int, int], int]:
        """By login, and what they are parts of."""
        parts = {
            number: {row.account_login: row.proportion_e9 for row in self._books.explained[number].children}
            for number in openings
            if number in self._books.explained
        }
        if len(parts) == 1:
            (only,) = parts.values()
            return {login: part for login, part in only.items() if part}, WHOLE
        volume = sum(openings.values())
        weights = largest_remainder(WHOLE, {n: Fraction(WHOLE * e8, volume) for n, e8 in openings.items()})
        sums: Counter[int] = Counter()
        for number, part in parts.items():
            for login, proportion in part.items():
                sums[login] += proportion * weights[number]
        return {login: part for login, part in sums.items() if part}, WHOLE * WHOLE

    def _distribution_problems(
        self,
        kind: Kind,
        deal: MasterDeal,
        money: Money,
        proportions: dict[int, int],
        whole: int,
        booked: dict[int, Counter[int]],
    ) -> Iterator[str]:
        self._counted["distributions by formula"] += 1
        found = self._found.get((kind, deal.ticket))
        if found is None:
            yield f"what deal {deal.ticket} brought, {money}, was not distributed"
            return
        head = found.distribution
        if (head.profit_minor, head.swap_minor, head.commission_minor) != money:
            yield f"deal {deal.ticket} brought {money}, not {head.profit_minor, head.swap_minor, head.commission_minor}"
        if not found.agrees:
            yield f"the distribution of deal {deal.ticket} does not recompute to what is stored"
        if head.unpaid_count:
            yield f"deal {deal.ticket}: {head.unpaid_count} shares are not booked"
        rule = self._master.terms.residual_rule or NEAREST_LARGEST
        wanted = [distribute(amount, proportions, whole, rule) for amount in money]
        rows = {row.account_login: row for row in found.rows}
        for login in sorted(proportions.keys() | rows.keys()):
            row = rows.get(login, distributions_pb2.DistributionRow())
            shares = tuple(parts.get(login, 0) for parts in wanted)
            self._counted["shares of profit by formula"] += 1
            if (row.profit_minor, row.swap_minor, row.commission_minor) != shares:
                yield f"deal {deal.ticket}: {login} should get {shares}, not {row.profit_minor} {row.swap_minor} …"
            if total := sum(shares):
                booked.setdefault(login, Counter())[total] += 1
                booked.setdefault(self._master.login, Counter())[-total] += 1

    def _booking_problems(self, booked: dict[int, Counter[int]]) -> Iterator[str]:
        """On the server, each share is one balance operation of the investor's and one of the master's. An account's
        first is its deposit.
        """
        logins = {self._master.login, *(link.login for link in self._master.links.values())}
        for login in sorted(logins):
            book = self._books.server[login]
            legs = sorted(book.balances, key=lambda deal: int(deal["Deal"]))[1:]
            tokens = Counter(deal["Comment"] for deal in legs)
            yield from (f"{token} was booked {count} times" for token, count in tokens.items() if count > 1)
            actual = Counter(minor(deal["Profit"]) for deal in legs)
            self._counted["bookings of profit"] += len(legs)
            wanted = booked.get(login, Counter())
            if actual != wanted:
                yield f"{login}: {actual - wanted} was booked and should not be, {wanted - actual} was not"
            if login != self._master.login and (book.positions or book.trades):
                yield f"{login} has trades, and his master distributes profit"
