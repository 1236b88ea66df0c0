"""What the services say of a random day, and what the trading server shows: read once, put side by side."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from apportion.api.allocation.v1 import allocations_pb2, distributions_pb2
from apportion.devstack.ledger import BALANCE_DEAL, Json
from apportion.devstack.random_scene import RandomDay

OURS = re.compile(r"ap:o\d+")
AT_ONCE = 16


@dataclass(frozen=True)
class Book:
    """One account on the trading server."""

    positions: list[Json]
    trades: list[Json]
    balances: list[Json]
    """Deals that moved money without a trade."""

    def volume_e8(self, position: int, entry: str, *, ours: bool | None = None) -> int:
        """Of a position's deals in or out; `ours`: only those by orders of ours, or only those of others."""
        return sum(
            int(deal["VolumeExt"])
            for deal in self.trades
            if int(deal["PositionID"]) == position
            and deal["Entry"] == entry
            and (ours is None or bool(OURS.search(deal["Comment"])) is ours)
        )


@dataclass(frozen=True)
class Books:
    """Allocations by master, oldest first, with follow-ups; explanations by allocation; children by master."""

    allocations: dict[int, list[allocations_pb2.Allocation]]
    explained: dict[int, allocations_pb2.ExplainAllocationResponse]
    children: dict[int, list[allocations_pb2.ChildTrade]]
    server: dict[int, Book]
    """By login."""
    distributions: dict[int, list[distributions_pb2.GetDistributionResponse]]
    """By master, oldest first, with all rows."""


async def read_children(day: RandomDay) -> dict[int, list[allocations_pb2.ChildTrade]]:
    children = {}
    for master in day.crowd.masters:
        request = allocations_pb2.ListChildTradesRequest(master_id=master.master_id)
        pages = day.clients.pages(day.clients.allocations.ListChildTrades, request)
        children[master.master_id] = [child async for page in pages for child in page.child_trades]
    return children


async def read_positions(day: RandomDay) -> dict[int, Book]:
    """Of all accounts, without their deals."""
    return await _each(day, _logins(day), deals=False)


def signed_positions(book: Book) -> dict[int, int]:
    return {int(position["Position"]): signed_e8(position) for position in book.positions}


def net_positions(book: Book) -> Counter[str]:
    """Signed volume by symbol."""
    sums: Counter[str] = Counter()
    for position in book.positions:
        sums[position["Symbol"]] += signed_e8(position)
    return sums


def is_excess(child: allocations_pb2.ChildTrade) -> bool:
    """What a close on a netting account did too much: filled, and decided by nobody."""
    return not child.volume_e8 and bool(child.filled_volume_e8) and not child.proportion_e9


def net_children(children: Iterable[allocations_pb2.ChildTrade], login: int) -> Counter[str]:
    """What the children of an account add up to, by symbol."""
    sums: Counter[str] = Counter()
    for child in children:
        if child.account_login == login and child.open_volume_e8:
            sums[child.symbol] += child.open_volume_e8
    return Counter({symbol: volume for symbol, volume in sums.items() if volume})


def _logins(day: RandomDay) -> list[int]:
    return sorted({*(master.login for master in day.crowd.masters), *(link.login for link in day.crowd.links)})


async def read_books(day: RandomDay) -> Books:
    allocations: dict[int, list[allocations_pb2.Allocation]] = {}
    for master in day.crowd.masters:
        request = allocations_pb2.ListAllocationsRequest(master_id=master.master_id, include_follow_ups=True)
        pages = day.clients.pages(day.clients.allocations.ListAllocations, request)
        newest_first = [allocation async for page in pages for allocation in page.allocations]
        allocations[master.master_id] = newest_first[::-1]
    explained = {}
    for found in allocations.values():
        for allocation in found:
            explained[allocation.allocation_id] = await _explained(day, allocation.allocation_id)
    children, server = await read_children(day), await _each(day, _logins(day), deals=True)
    return Books(allocations, explained, children, server, await _read_distributions(day))


async def _read_distributions(day: RandomDay) -> dict[int, list[distributions_pb2.GetDistributionResponse]]:
    found = {}
    for master in day.crowd.masters:
        listing = distributions_pb2.ListDistributionsRequest(master_id=master.master_id)
        pages = day.clients.pages(day.clients.distributions.ListDistributions, listing)
        newest_first = [distribution async for page in pages for distribution in page.distributions]
        found[master.master_id] = [await _distribution(day, each.allocation_id) for each in newest_first[::-1]]
    return found


async def _distribution(day: RandomDay, allocation_id: int) -> distributions_pb2.GetDistributionResponse:
    request = distributions_pb2.GetDistributionRequest(allocation_id=allocation_id, page_size=1_000)
    answer: distributions_pb2.GetDistributionResponse = await day.clients.call(
        day.clients.distributions.GetDistribution, request
    )
    return answer


async def _explained(day: RandomDay, allocation_id: int) -> allocations_pb2.ExplainAllocationResponse:
    """With all its children."""
    whole: allocations_pb2.ExplainAllocationResponse | None = None
    while True:
        first = len(whole.children) if whole else 0
        request = allocations_pb2.ExplainAllocationRequest(
            allocation_id=allocation_id, first_child_index=first, page_size=1_000
        )
        page: allocations_pb2.ExplainAllocationResponse = await day.clients.call(
            day.clients.allocations.ExplainAllocation, request
        )
        if whole is None:
            whole = page
        else:
            whole.children.extend(page.children)
        if len(page.children) < 1_000:
            return whole


async def _each(day: RandomDay, logins: Iterable[int], *, deals: bool) -> dict[int, Book]:
    gate = asyncio.Semaphore(AT_ONCE)
    admin = day.simulator.admin

    async def one(login: int) -> tuple[int, Book]:
        async with gate:
            positions = await admin.positions(login)
            found = await admin.deals(login) if deals else []
        trades = [deal for deal in found if deal["Action"] in {"0", "1"}]
        return login, Book(positions, trades, [deal for deal in found if deal["Action"] == BALANCE_DEAL])

    return dict(await asyncio.gather(*(one(login) for login in logins)))


@dataclass(frozen=True)
class MasterDeal:
    """A master's deal and what it did to his position: it may open, enlarge, close or turn it around."""

    deal: Json
    before_e8: int
    """Of the position, signed as buys and sells, as the others."""
    opened_e8: int
    closed_e8: int

    @property
    def ticket(self) -> int:
        return int(self.deal["Deal"])

    @property
    def position(self) -> int:
        """Of the first deal, and of all after it until nothing is open."""
        return int(self.deal["PositionID"])

    @property
    def fraction(self) -> Fraction:
        """What part of the position it closed."""
        return Fraction(abs(self.closed_e8), abs(self.before_e8))


def signed_e8(deal: Json) -> int:
    return int(deal["VolumeExt"]) * (1 if deal["Action"] == "0" else -1)


def master_deals(book: Book) -> list[MasterDeal]:
    """In the server's order."""
    made = []
    open_e8: dict[str, int] = {}
    for deal in sorted(book.trades, key=lambda deal: int(deal["Deal"])):
        before, volume = open_e8.get(deal["PositionID"], 0), signed_e8(deal)
        against = before * volume < 0
        closed = (1 if volume > 0 else -1) * min(abs(volume), abs(before)) if against else 0
        made.append(MasterDeal(deal, before, volume - closed, closed))
        open_e8[deal["PositionID"]] = before + volume
    return made
