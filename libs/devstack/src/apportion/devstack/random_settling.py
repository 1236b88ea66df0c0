"""When a random day is over: nothing is on its way any more."""

from __future__ import annotations

import asyncio

from apportion.api.allocation.v1 import allocations_pb2, distributions_pb2
from apportion.devstack.day import FAILURES
from apportion.devstack.random_books import (
    is_excess,
    net_children,
    net_positions,
    read_children,
    read_positions,
    signed_positions,
)
from apportion.devstack.random_day import MOVING
from apportion.devstack.random_scene import RandomDay
from apportion.devstack.random_stops import stop_problems

POLL_SECONDS = 0.5
CALM_READS = 4


async def settle(day: RandomDay, seconds: float) -> None:
    """Wait until no child is on its way, what is open here is open on the server, with its stops, and all profit is
    booked, or the time is over. What is sent again comes a moment later: calm is what lasts.
    """
    give_up = asyncio.get_running_loop().time() + seconds
    calm, told = 0, ""
    while calm < CALM_READS and asyncio.get_running_loop().time() < give_up:
        await asyncio.sleep(POLL_SECONDS)
        try:
            moving = await _what_moves(day)
        except FAILURES as failure:
            moving = f"{type(failure).__name__}: {failure}"
        calm = 0 if moving else calm + 1
        if moving != told:
            day.announce(f"settling: {moving or 'calm'}")
            told = moving


async def _what_moves(day: RandomDay) -> str:
    """Empty: nothing."""
    unpaid = distributions_pb2.ListDistributionsRequest(only_unpaid=True, page_size=1)
    if (await day.clients.call(day.clients.distributions.ListDistributions, unpaid)).distributions:
        return "a distribution is not booked"
    children, server = await read_children(day), await read_positions(day)
    moving = sum(child.state in MOVING for found in children.values() for child in found)
    if moving:
        return f"{moving} children are on their way"
    here: dict[int, int] = {}
    actual: dict[int, int] = {}
    for master in day.crowd.masters:
        mine = children[master.master_id]
        if master.terms.distributes:
            continue
        for child in mine:
            if is_excess(child) and child.open_volume_e8:
                return f"child {child.child_trade_id} is too much"
            if child.open_volume_e8 and not master.links[child.subscription_id].nets:
                here[child.position_ticket] = child.open_volume_e8
        for link in master.links.values():
            if not link.nets:
                actual |= signed_positions(server[link.login])
            elif net_children(mine, link.login) != net_positions(server[link.login]):
                return f"what {link.login} has open differs"
        if problems := list(stop_problems(master, mine, await _symbols(day, master.master_id), server)):
            return f"{len(problems)} stops: {problems[0]}"
    differ = [ticket for ticket in here.keys() | actual.keys() if here.get(ticket) != actual.get(ticket)]
    return f"{len(differ)} positions differ" if differ else ""


async def _symbols(day: RandomDay, master_id: int) -> dict[int, str]:
    request = allocations_pb2.ListMasterTradesRequest(master_id=master_id, include_closed=True)
    pages = day.clients.pages(day.clients.allocations.ListMasterTrades, request)
    return {trade.position_ticket: trade.symbol async for page in pages for trade in page.master_trades}
