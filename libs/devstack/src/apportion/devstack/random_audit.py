"""Is a random day's end what it must be? Plain integers and fractions, over the trading server's own deals and
over what the services say; no code of theirs takes part.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from apportion.api.allocation.v1 import allocations_pb2, subscriptions_pb2
from apportion.devstack.crowd import DIVIDING, CrowdMaster
from apportion.devstack.day import FAILURES
from apportion.devstack.fraction_twins import close
from apportion.devstack.ledger import ENTRY_IN, ENTRY_OUT
from apportion.devstack.random_books import (
    OURS,
    Books,
    MasterPosition,
    master_positions,
    read_children,
    read_positions,
    signed_positions,
)
from apportion.devstack.random_day import MOVING, RandomDay
from apportion.devstack.random_openings import Opening, OpeningTwin

OPEN, CLOSE = allocations_pb2.ALLOCATION_KIND_OPEN, allocations_pb2.ALLOCATION_KIND_CLOSE
STEP_E8 = 1_000_000
POLL_SECONDS = 0.5
MISSES = {allocations_pb2.CHILD_TRADE_STATE_REJECTED, allocations_pb2.CHILD_TRADE_STATE_EXPIRED}


@dataclass
class Audit:
    """What was looked at, how often, and each thing that is wrong."""

    counted: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.counted.items()))
        return "\n".join([f"{len(self.problems)} differences; {counts}", *self.problems])


async def settle(day: RandomDay, seconds: float) -> None:
    """Wait until no child is on its way and the children's open volumes are the server's, or the time is over."""
    give_up = asyncio.get_running_loop().time() + seconds
    calm = 0
    while calm < 3 and asyncio.get_running_loop().time() < give_up:
        await asyncio.sleep(POLL_SECONDS)
        try:
            children = [child for found in (await read_children(day)).values() for child in found]
            actual = await read_positions(day)
        except FAILURES:
            calm = 0
            continue
        here = {child.position_ticket: child.open_volume_e8 for child in children if child.open_volume_e8}
        settled = here == actual and not any(child.state in MOVING for child in children)
        # Closes that were refused are sent again a moment later: calm is what lasts.
        calm = calm + 1 if settled else 0


def audit(day: RandomDay, books: Books) -> Audit:
    """All checks of all masters."""
    result = Audit()
    for problem in _all(day, books, result.counted):
        result.problems.append(problem)
    return result


def _all(day: RandomDay, books: Books, counted: Counter[str]) -> Iterator[str]:
    for master in day.crowd.masters:
        auditor = _MasterAudit(day, books, master, counted)
        for check in auditor.checks:
            for problem in check():
                yield f"{master.terms.name} ({master.login}): {problem}"


class _MasterAudit:
    """One master, his decisions and his children."""

    def __init__(self, day: RandomDay, books: Books, master: CrowdMaster, counted: Counter[str]) -> None:
        self._day = day
        self._books = books
        self._master = master
        self._counted = counted
        self._links = master.links
        self._allocations = books.allocations[master.master_id]
        self._children = books.children[master.master_id]
        self._positions: dict[int, MasterPosition] = master_positions(books.server[master.login])
        self._set_at = {int(made.deal["Deal"]): made.links for made in day.deals if made.master is master}
        self._first = {(a.kind, a.deal_ticket): a for a in self._allocations if not a.wave}
        self.checks: tuple[Callable[[], Iterator[str]], ...] = (
            self._one_decision_for_each_deal,
            self._decisions_agree,
            self._opens_by_formula,
            self._closes_by_formula,
            self._positions_are_children,
            self._children_are_as_decided,
        )

    def _one_decision_for_each_deal(self) -> Iterator[str]:
        expected: dict[tuple[allocations_pb2.AllocationKind.ValueType, int], int] = {}
        for position in self._positions.values():
            for kind, deals in ((OPEN, [position.opening]), (CLOSE, [deal for deal, _ in position.closes])):
                for deal in deals:
                    sign = 1 if deal["Action"] == "0" else -1
                    expected[kind, int(deal["Deal"])] = sign * int(deal["VolumeExt"])
        found = Counter((a.kind, a.deal_ticket) for a in self._allocations if not a.wave and a.kind in {OPEN, CLOSE})
        self._counted["deals of masters"] += len(expected)
        for key in sorted(expected.keys() | found.keys()):
            if found[key] != (key in expected):
                yield f"deal {key[1]} has {found[key]} decisions of kind {key[0]}"
        for key, allocation in self._first.items():
            volume = allocation.requested_volume_e8 or allocation.master_volume_e8
            if key in expected and volume != expected[key]:
                yield f"deal {key[1]} was {expected[key]}, decided on as {volume}"

    def _decisions_agree(self) -> Iterator[str]:
        for allocation in self._allocations:
            self._counted["decisions explained"] += 1
            if not self._books.explained[allocation.allocation_id].agrees:
                yield f"allocation {allocation.allocation_id} does not recompute to what is stored"

    def _opens_by_formula(self) -> Iterator[str]:
        twin = OpeningTwin(self._master.terms)
        for position in self._positions.values():
            ticket = int(position.opening["Deal"])
            allocation = self._first.get((OPEN, ticket))
            if allocation is None or ticket not in self._set_at:
                continue
            explained = self._books.explained[allocation.allocation_id]
            opening = Opening(position.opening, allocation, explained, self._set_at[ticket])
            self._counted["volumes by formula"] += len(explained.children)
            for problem in twin.problems(opening, self._counted):
                yield f"deal {ticket}: {problem}"

    def _closes_by_formula(self) -> Iterator[str]:
        for position in self._positions.values():
            for deal, fraction in position.closes:
                allocation = self._first.get((CLOSE, int(deal["Deal"])))
                if allocation is None:
                    continue
                rows = self._books.explained[allocation.allocation_id].children
                held = {place: row.basis // STEP_E8 for place, row in enumerate(rows)}
                wanted = close(held, fraction, dividing=self._master.terms.method in DIVIDING)
                self._counted["closes by formula"] += len(rows)
                for place, row in enumerate(rows):
                    if abs(row.stored_volume_e8) != wanted[place] * STEP_E8:
                        yield (
                            f"deal {deal['Deal']} closes {fraction}: {row.account_login} with {row.basis} should close "
                            f"{wanted[place] * STEP_E8}, not {row.stored_volume_e8}"
                        )

    def _positions_are_children(self) -> Iterator[str]:
        """Open here as on the server; each position of ours is one child's, each order and child has one."""
        tickets = Counter(child.position_ticket for child in self._children if child.position_ticket)
        yield from (f"position {ticket} is {count} children's" for ticket, count in tickets.items() if count > 1)
        pairs = Counter((child.allocation_id, child.subscription_id) for child in self._children)
        yield from (f"{pair} has {count} children" for pair, count in pairs.items() if count > 1)
        here = {child.position_ticket: child.open_volume_e8 for child in self._children if child.open_volume_e8}
        actual: dict[int, int] = {}
        for link in self._links.values():
            book = self._books.server[link.login]
            actual |= signed_positions(book)
            opens = [deal for deal in book.trades if deal["Entry"] == ENTRY_IN]
            tokens = Counter(OURS.findall(" ".join(deal["Comment"] for deal in opens)))
            yield from (f"order {token} opened {count} positions" for token, count in tokens.items() if count > 1)
            for deal in opens:
                self._counted["positions"] += 1
                if int(deal["PositionID"]) not in tickets:
                    yield f"position {deal['PositionID']} of {link.login} ({deal['Comment']}) is no child's"
        self._counted["open children"] += len(here)
        for ticket in sorted(actual.keys() | here.keys()):
            if actual.get(ticket, 0) != here.get(ticket, 0):
                yield f"position {ticket} is {actual.get(ticket, 0)} on the server, {here.get(ticket, 0)} here"

    def _children_are_as_decided(self) -> Iterator[str]:
        """What is open of each is what was decided, less what was closed; anything else has a reason."""
        decided = {
            (allocation.allocation_id, row.subscription_id): row.stored_volume_e8
            for allocation in self._first.values()
            if allocation.kind == OPEN
            for row in self._books.explained[allocation.allocation_id].children
            if row.stored_volume_e8
        }
        children = {(child.allocation_id, child.subscription_id): child for child in self._children}
        if decided.keys() != children.keys():
            yield f"children decided and not there, or the reverse: {sorted(decided.keys() ^ children.keys())[:5]}"
        for key in decided.keys() & children.keys():
            yield from self._child_problems(children[key], decided[key])

    def _child_problems(self, child: allocations_pb2.ChildTrade, decided_e8: int) -> Iterator[str]:
        link = self._links[child.subscription_id]
        book = self._books.server[link.login]
        name = f"child {child.child_trade_id} of {link.login}"
        state = allocations_pb2.ChildTradeState.Name(child.state).removeprefix("CHILD_TRADE_STATE_")
        self._counted[f"children {state}"] += 1
        if not child.position_ticket:
            if child.state not in MISSES or not child.reason:
                yield f"{name} was not opened and says {state} '{child.reason}'"
            self._counted[f"not opened: {child.reason}"] += 1
            return
        open_e8 = abs(child.open_volume_e8)
        in_e8 = book.volume_e8(child.position_ticket, ENTRY_IN)
        by_hand_e8 = book.volume_e8(child.position_ticket, ENTRY_OUT, ours=False)
        if in_e8 != abs(child.filled_volume_e8) or in_e8 > abs(decided_e8):
            yield f"{name}: decided {decided_e8}, {in_e8} opened on the server, {child.filled_volume_e8} here"
        wanted_e8 = max(0, abs(decided_e8) - self._closes_e8(child) - by_hand_e8)
        if link.left == subscriptions_pb2.LEAVE_POLICY_CLOSE:
            wanted_e8 = 0
        if open_e8 == wanted_e8:
            return
        detached = link.left == subscriptions_pb2.LEAVE_POLICY_DETACH
        if detached and child.child_trade_id not in self._day.kept and not open_e8:
            self._counted["filled after they were detached, and closed"] += 1
            return
        # An investor and his master who close at once: what the one closed the other's order may no longer find.
        if by_hand_e8 and child.reason and open_e8 < abs(decided_e8):
            self._counted[f"explained: {child.reason}"] += 1
            return
        yield (
            f"{name}: decided {decided_e8}, closes {self._closes_e8(child)}, by hand {by_hand_e8}, left {link.left}: "
            f"{wanted_e8} should be open, {open_e8} is; {state} '{child.reason}'"
        )

    def _closes_e8(self, child: allocations_pb2.ChildTrade) -> int:
        """What the decisions on the master's closes took of a child."""
        opening = next(a for a in self._allocations if a.allocation_id == child.allocation_id)
        position = self._positions[opening.position_ticket]
        closes = [self._first.get((CLOSE, int(deal["Deal"]))) for deal, _ in position.closes]
        return sum(
            abs(row.stored_volume_e8)
            for allocation in closes
            if allocation is not None
            for row in self._books.explained[allocation.allocation_id].children
            if row.subscription_id == child.subscription_id
        )
