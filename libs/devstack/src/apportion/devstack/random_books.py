"""What the services say of a random day, and what the trading server shows: read once, put side by side."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from apportion.api.allocation.v1 import allocations_pb2
from apportion.devstack.ledger import ENTRY_IN, ENTRY_OUT, Json
from apportion.devstack.random_day import RandomDay

OURS = re.compile(r"ap:o\d+")
AT_ONCE = 16


@dataclass(frozen=True)
class Book:
    """One account on the trading server."""

    positions: list[Json]
    trades: list[Json]

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


async def read_children(day: RandomDay) -> dict[int, list[allocations_pb2.ChildTrade]]:
    children = {}
    for master in day.crowd.masters:
        request = allocations_pb2.ListChildTradesRequest(master_id=master.master_id)
        pages = day.clients.pages(day.clients.allocations.ListChildTrades, request)
        children[master.master_id] = [child async for page in pages for child in page.child_trades]
    return children


async def read_positions(day: RandomDay) -> dict[int, int]:
    """Signed volume by ticket, of all followers."""
    positions = await _each(day, (link.login for link in day.crowd.links), deals=False)
    return {ticket: volume for book in positions.values() for ticket, volume in signed_positions(book).items()}


def signed_positions(book: Book) -> dict[int, int]:
    return {int(p["Position"]): int(p["VolumeExt"]) * (1 if p["Action"] == "0" else -1) for p in book.positions}


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
    logins = [*(master.login for master in day.crowd.masters), *(link.login for link in day.crowd.links)]
    return Books(allocations, explained, await read_children(day), await _each(day, logins, deals=True))


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
        return login, Book(positions, [deal for deal in found if deal["Action"] in {"0", "1"}])

    return dict(await asyncio.gather(*(one(login) for login in logins)))


@dataclass(frozen=True)
class MasterPosition:
    """A master's position as its deals made it."""

    opening: Json
    closes: list[tuple[Json, Fraction]]
    """With the fraction of what was open that each closed."""


def master_positions(book: Book) -> dict[int, MasterPosition]:
    """By ticket. A position is opened by one deal, as on hedging accounts."""
    made: dict[int, MasterPosition] = {}
    open_e8: dict[int, int] = {}
    for deal in sorted(book.trades, key=lambda deal: int(deal["Deal"])):
        position, volume = int(deal["PositionID"]), int(deal["VolumeExt"])
        if deal["Entry"] == ENTRY_IN:
            made[position], open_e8[position] = MasterPosition(deal, []), volume
        elif deal["Entry"] == ENTRY_OUT:
            made[position].closes.append((deal, Fraction(volume, open_e8[position])))
            open_e8[position] -= volume
    return made
