"""Is a random day's end what it must be? Plain integers and fractions, over the trading server's own deals and
over what the services say; no code of theirs takes part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from apportion.api.allocation.v1 import allocations_pb2, subscriptions_pb2
from apportion.devstack.crowd import CrowdMaster
from apportion.devstack.fraction_twins import close
from apportion.devstack.ledger import ENTRY_IN, ENTRY_OUT
from apportion.devstack.random_books import (
    OURS,
    Book,
    Books,
    is_excess,
    master_deals,
    net_children,
    net_positions,
    signed_positions,
)
from apportion.devstack.random_figures import Figures
from apportion.devstack.random_openings import Opening, OpeningTwin
from apportion.devstack.random_profit import ProfitTwin
from apportion.devstack.random_scene import RandomDay
from apportion.devstack.random_stops import stop_problems
from apportion.devstack.random_terms import DIVIDING

OPEN, CLOSE = allocations_pb2.ALLOCATION_KIND_OPEN, allocations_pb2.ALLOCATION_KIND_CLOSE
STEP_E8 = 1_000_000
INDEX_BITS = 20
"""A child's id is its first decision's, and below that its place."""
MISSES = {allocations_pb2.CHILD_TRADE_STATE_REJECTED, allocations_pb2.CHILD_TRADE_STATE_EXPIRED}


@dataclass
class Audit:
    """What was looked at, how often, and each thing that is wrong."""

    counted: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.counted.items()))
        return "\n".join([f"{len(self.problems)} differences; {counts}", *self.problems])


def audit(day: RandomDay, books: Books) -> Audit:
    """All checks of all masters."""
    result = Audit()
    for problem in _all(day, books, result.counted):
        result.problems.append(problem)
    return result


def _all(day: RandomDay, books: Books, counted: Counter[str]) -> Iterator[str]:
    figures = Figures(books.server, day.rounds, {link.login for link in day.crowd.links if link.nets})
    for master in day.crowd.masters:
        auditor = _MasterAudit(day, books, master, figures, counted)
        for check in auditor.checks:
            for problem in check():
                yield f"{master.terms.name} ({master.login}): {problem}"


class _MasterAudit:
    """One master, his decisions and his children."""

    def __init__(
        self, day: RandomDay, books: Books, master: CrowdMaster, figures: Figures, counted: Counter[str]
    ) -> None:
        self._day = day
        self._books = books
        self._master = master
        self._figures = figures
        self._counted = counted
        self._links = master.links
        self._allocations = books.allocations[master.master_id]
        children = books.children[master.master_id]
        self._children = [child for child in children if not is_excess(child)]
        self._excess = [child for child in children if is_excess(child)]
        self._deals = master_deals(books.server[master.login])
        self._made = {int(made.deal["Deal"]): made for made in day.deals if made.master is master}
        self._first = {(a.kind, a.deal_ticket): a for a in self._allocations if not a.wave}
        self._closes_e8 = self._sum_closes()
        of_trades = (
            self._closes_by_formula,
            self._positions_are_children,
            self._net_positions_are_sums,
            self._excess_is_undone,
            self._children_are_as_decided,
            self._stops_are_the_masters,
        )
        self.checks: tuple[Callable[[], Iterator[str]], ...] = (
            self._one_decision_for_each_deal,
            self._decisions_agree,
            self._opens_by_formula,
            *((ProfitTwin(books, master, counted).problems,) if master.terms.distributes else of_trades),
        )

    def _sum_closes(self) -> Counter[int]:
        """What the decisions on the master's closes took of each child."""
        closes: Counter[int] = Counter()
        for allocation in self._first.values():
            if allocation.kind == CLOSE:
                for row in self._books.explained[allocation.allocation_id].children:
                    closes[row.child_trade_id] += abs(row.stored_volume_e8)
        return closes

    def _one_decision_for_each_deal(self) -> Iterator[str]:
        expected: dict[tuple[allocations_pb2.AllocationKind.ValueType, int], int] = {}
        for deal in self._deals:
            self._counted["reversals of masters"] += bool(deal.opened_e8 and deal.closed_e8)
            self._counted[f"deals of masters, reason {deal.deal['Reason']}"] += 1
            if deal.opened_e8:
                expected[OPEN, deal.ticket] = deal.opened_e8
            if deal.closed_e8:
                expected[CLOSE, deal.ticket] = deal.closed_e8
        found = Counter((a.kind, a.deal_ticket) for a in self._allocations if not a.wave and a.kind in {OPEN, CLOSE})
        for key in sorted(expected.keys() | found.keys()):
            if found[key] != (key in expected):
                yield f"deal {key[1]} has {found[key]} decisions of kind {key[0]}"
        for key, allocation in self._first.items():
            volume = allocation.requested_volume_e8 or allocation.master_volume_e8
            if key in expected and volume != expected[key]:
                yield f"deal {key[1]} was {expected[key]}, decided on as {volume}"

    def _decisions_agree(self) -> Iterator[str]:
        for allocation in self._allocations:
            kind = allocations_pb2.AllocationKind.Name(allocation.kind).removeprefix("ALLOCATION_KIND_")
            self._counted[f"decisions {kind}{' again' if allocation.wave else ''}"] += 1
            if not self._books.explained[allocation.allocation_id].agrees:
                yield f"allocation {allocation.allocation_id} does not recompute to what is stored"

    def _opens_by_formula(self) -> Iterator[str]:
        twin = OpeningTwin(self._master.terms)
        deals = {deal.ticket: deal for deal in self._deals}
        copied: dict[int, Counter[int]] = {}
        for allocation in self._allocations:
            explained = self._books.explained[allocation.allocation_id]
            made, deal = self._made.get(allocation.deal_ticket), deals.get(allocation.deal_ticket)
            if allocation.kind != OPEN or deal is None:
                continue
            if not allocation.wave and made is not None:
                opened_e8, links, is_halted = deal.opened_e8, made.links, made.is_halted
                time_ms = int(deal.deal["TimeMsc"])
            elif self._is_copy(allocation, explained):
                subscription_id = explained.children[0].subscription_id
                copy = self._day.copied[subscription_id]
                opened_e8 = allocation.requested_volume_e8 or allocation.master_volume_e8
                copied.setdefault(subscription_id, Counter())[opened_e8] += 1
                links, is_halted, time_ms = (copy.link,), copy.is_halted, copy.time_ms
                self._counted["open positions copied"] += 1
            else:
                continue
            opening = Opening(deal.deal["Symbol"], opened_e8, allocation, explained, links, is_halted)
            self._counted["volumes by formula"] += len(explained.children)
            terms, login = self._master.terms, self._master.login
            figures = self._figures.problems(terms.method, explained, login, opening.symbol, time_ms)
            for problem in (*twin.problems(opening, self._counted), *figures):
                yield f"deal {deal.ticket}, decision {allocation.allocation_id}: {problem}"
        for subscription_id in self._links.keys() & self._day.copied.keys():
            yield from self._copy_problems(subscription_id, copied.get(subscription_id, Counter()))

    def _copy_problems(self, subscription_id: int, copied: Counter[int]) -> Iterator[str]:
        """What was open is copied, and at most what a stop has closed right before, which is closed again then."""
        copy = self._day.copied[subscription_id]
        wanted = Counter(copy.volumes_e8)
        just_closed = Counter(
            deal.before_e8 for deal in self._deals if deal.closed_e8 and int(deal.deal["TimeMsc"]) == copy.time_ms
        )
        self._counted["copied of what a stop had just closed"] += (copied - wanted).total()
        if wanted - copied or copied - wanted - just_closed:
            yield f"{subscription_id} should copy {wanted}, not {copied}"

    def _is_copy(
        self, allocation: allocations_pb2.Allocation, explained: allocations_pb2.ExplainAllocationResponse
    ) -> bool:
        """A further opening decision that has a child of its own; others name those of the first one."""
        own = [row.child_trade_id >> INDEX_BITS == allocation.allocation_id for row in explained.children]
        return bool(allocation.wave) and len(own) == 1 and own[0]

    def _closes_by_formula(self) -> Iterator[str]:
        for deal in self._deals:
            allocation = self._first.get((CLOSE, deal.ticket))
            if allocation is None or not deal.closed_e8:
                continue
            rows = self._books.explained[allocation.allocation_id].children
            held = {place: row.basis // STEP_E8 for place, row in enumerate(rows)}
            wanted = close(held, deal.fraction, dividing=self._master.terms.method in DIVIDING)
            self._counted["closes by formula"] += len(rows)
            for place, row in enumerate(rows):
                if abs(row.stored_volume_e8) != wanted[place] * STEP_E8:
                    yield (
                        f"deal {deal.ticket} closes {deal.fraction}: {row.account_login} with {row.basis} should close "
                        f"{wanted[place] * STEP_E8}, not {row.stored_volume_e8}"
                    )

    def _positions_are_children(self) -> Iterator[str]:
        """Open here as on the server; each position of ours is one child's, each order and child has one."""
        hedging = [child for child in self._children if not self._links[child.subscription_id].nets]
        tickets = Counter(child.position_ticket for child in hedging if child.position_ticket)
        yield from (f"position {ticket} is {count} children's" for ticket, count in tickets.items() if count > 1)
        pairs = Counter((child.allocation_id, child.subscription_id) for child in self._children)
        yield from (f"{pair} has {count} children" for pair, count in pairs.items() if count > 1)
        here = {child.position_ticket: child.open_volume_e8 for child in hedging if child.open_volume_e8}
        actual: dict[int, int] = {}
        for login in sorted({link.login for link in self._links.values() if not link.nets}):
            book = self._books.server[login]
            actual |= signed_positions(book)
            opens = [deal for deal in book.trades if deal["Entry"] == ENTRY_IN]
            tokens = Counter(OURS.findall(" ".join(deal["Comment"] for deal in opens)))
            yield from (f"order {token} opened {count} positions" for token, count in tokens.items() if count > 1)
            for deal in opens:
                self._counted["positions"] += 1
                if int(deal["PositionID"]) not in tickets:
                    yield f"position {deal['PositionID']} of {login} ({deal['Comment']}) is no child's"
        self._counted["open children"] += len(here)
        for ticket in sorted(actual.keys() | here.keys()):
            if actual.get(ticket, 0) != here.get(ticket, 0):
                yield f"position {ticket} is {actual.get(ticket, 0)} on the server, {here.get(ticket, 0)} here"

    def _net_positions_are_sums(self) -> Iterator[str]:
        """A netting account has open what its children add up to, and each order of ours made one deal."""
        for login in sorted({link.login for link in self._links.values() if link.nets}):
            book = self._books.server[login]
            tokens = Counter(OURS.findall(" ".join(deal["Comment"] for deal in book.trades)))
            yield from (f"order {token} made {count} deals" for token, count in tokens.items() if count > 1)
            here, actual = net_children([*self._children, *self._excess], login), net_positions(book)
            self._counted["netting positions"] += len(actual)
            if here != actual:
                yield f"{login} has {actual} open on the server, its children add up to {here}"

    def _excess_is_undone(self) -> Iterator[str]:
        """What a close on a netting account opened, since others had closed its child before, is closed again."""
        closes = {allocation.allocation_id for allocation in self._allocations if allocation.kind == CLOSE}
        for child in self._excess:
            self._counted["closed too much, and undone"] += 1
            link = self._links[child.subscription_id]
            if child.open_volume_e8 or child.allocation_id not in closes or not link.nets:
                yield f"child {child.child_trade_id} of {link.login} was too much and is not undone"
            elif not _trades_himself(self._books.server[link.login], child.symbol):
                yield f"child {child.child_trade_id} of {link.login} is too much, and nobody else traded there"

    def _children_are_as_decided(self) -> Iterator[str]:
        """What is open of each is what was decided, less what was closed; anything else has a reason."""
        decided: dict[int, int] = {}
        for allocation in self._allocations:
            explained = self._books.explained[allocation.allocation_id]
            if allocation.kind == OPEN and (not allocation.wave or self._is_copy(allocation, explained)):
                decided |= {row.child_trade_id: row.stored_volume_e8 for row in explained.children}
        decided = {child_id: volume for child_id, volume in decided.items() if volume}
        children = {child.child_trade_id: child for child in self._children}
        if decided.keys() != children.keys():
            yield f"children decided and not there, or the reverse: {sorted(decided.keys() ^ children.keys())[:5]}"
        for child_id in sorted(decided.keys() & children.keys()):
            yield from self._child_problems(children[child_id], decided[child_id])

    def _child_problems(self, child: allocations_pb2.ChildTrade, decided_e8: int) -> Iterator[str]:
        link = self._links[child.subscription_id]
        book = self._books.server[link.login]
        name = f"child {child.child_trade_id} of {link.login}"
        state = allocations_pb2.ChildTradeState.Name(child.state).removeprefix("CHILD_TRADE_STATE_")
        self._counted[f"children {state}"] += 1
        is_missed = not child.filled_volume_e8 if link.nets else not child.position_ticket
        if is_missed:
            if child.state not in MISSES or not child.reason:
                yield f"{name} was not opened and says {state} '{child.reason}'"
            self._counted[f"not opened: {child.reason}"] += 1
            return
        open_e8, closes_e8 = abs(child.open_volume_e8), self._closes_e8[child.child_trade_id]
        if link.nets:
            # Which child a deal belonged to does not show on the server: their sum does.
            in_e8 = abs(child.filled_volume_e8)
            not_ours_e8 = abs(decided_e8) - closes_e8 - open_e8 if _trades_himself(book, child.symbol) else 0
        else:
            in_e8 = book.volume_e8(child.position_ticket, ENTRY_IN)
            not_ours_e8 = book.volume_e8(child.position_ticket, ENTRY_OUT, ours=False)
        if in_e8 != abs(child.filled_volume_e8) or in_e8 > abs(decided_e8):
            yield f"{name}: decided {decided_e8}, {in_e8} opened on the server, {child.filled_volume_e8} here"
        wanted_e8 = max(0, abs(decided_e8) - closes_e8 - not_ours_e8)
        if link.left == subscriptions_pb2.LEAVE_POLICY_CLOSE:
            wanted_e8 = 0
        if open_e8 == wanted_e8:
            return
        detached = link.left == subscriptions_pb2.LEAVE_POLICY_DETACH
        if detached and child.child_trade_id not in self._day.kept and not open_e8:
            self._counted["filled after they were detached, and closed"] += 1
            return
        # An investor or his stop, and his master, who close at once: what the one closed the other's order may no
        # longer find.
        if not_ours_e8 and child.reason and open_e8 < abs(decided_e8):
            self._counted[f"explained: {child.reason}"] += 1
            return
        yield (
            f"{name}: decided {decided_e8}, closes {closes_e8}, not ours {not_ours_e8}, left {link.left}: "
            f"{wanted_e8} should be open, {open_e8} is; {state} '{child.reason}'"
        )

    def _stops_are_the_masters(self) -> Iterator[str]:
        symbols = {deal.position: str(deal.deal["Symbol"]) for deal in self._deals}
        self._counted["stops of open children"] += sum(bool(child.open_volume_e8) for child in self._children)
        yield from stop_problems(self._master, self._children, symbols, self._books.server)


def _trades_himself(book: Book, symbol: str) -> bool:
    """Whether somebody else than we traded a symbol on the account, its owner or the server."""
    return any(deal["Symbol"] == symbol and not OURS.search(deal["Comment"]) for deal in book.trades)
