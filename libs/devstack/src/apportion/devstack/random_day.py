"""A day drawn from a seed: masters of every method trade at once, settings change, investors leave, the server fails.

What comes when depends on the machine, what is done does not: all choices are the seed's. Settings change only between
the decisions of two rounds, so that every decision's parameters are known; orders, deals and faults overlap freely.
"""

from __future__ import annotations

import asyncio

from apportion.api.allocation.v1 import allocations_pb2
from apportion.devstack.crowd import insist
from apportion.devstack.random_breakdowns import arm_faults, kill_one
from apportion.devstack.random_desk import change_settings, come_back, halt_and_resume, leave
from apportion.devstack.random_market import close_by_hand, move_prices, trade
from apportion.devstack.random_scene import RandomDay

DECIDE_SECONDS = 120.0
SEND_SECONDS = 60.0
POLL_SECONDS = 0.2
MOVING = (allocations_pb2.CHILD_TRADE_STATE_PENDING, allocations_pb2.CHILD_TRADE_STATE_SENT)


async def play(day: RandomDay, round_count: int, *, kill_every: int) -> None:
    """The day without its audit; the faults are over when it returns. In each `kill_every`-th round a process of ours
    is killed while all trade.
    """
    for number in range(1, round_count + 1):
        day.announce(f"round {number} of {round_count}")
        await move_prices(day)
        await halt_and_resume(day)
        await change_settings(day)
        await leave(day)
        await come_back(day)
        await close_by_hand(day)
        await arm_faults(day)
        killing = asyncio.create_task(kill_one(day, number // kill_every)) if number % kill_every == 0 else None
        traded = await asyncio.gather(*(trade(day, master) for master in day.crowd.masters))
        day.deals += [deal for deal in traded if deal is not None]
        if killing is not None:
            await killing
        await _await_decisions(day)
        await _await_orders(day)
    await day.simulator.admin.clear_faults()


async def _await_decisions(day: RandomDay) -> None:
    """Each deal of a master so far has its decision: what is changed from now on does not concern it."""
    give_up = asyncio.get_running_loop().time() + DECIDE_SECONDS
    waiting = {made.master.master_id: int(made.deal["Deal"]) for made in day.deals}
    while waiting:
        for master_id, ticket in list(waiting.items()):
            request = allocations_pb2.ListAllocationsRequest(master_id=master_id, page_size=5)
            answer = await insist(day.clients, day.clients.allocations.ListAllocations, request)
            if any(allocation.deal_ticket >= ticket for allocation in answer.allocations):
                del waiting[master_id]
        if waiting and asyncio.get_running_loop().time() > give_up:
            raise TimeoutError(f"deals not decided on, by master: {waiting}")
        await asyncio.sleep(POLL_SECONDS)


async def _await_orders(day: RandomDay) -> None:
    """Most orders of the opens are executed, for a while: some are always under way when the next round begins."""
    give_up = asyncio.get_running_loop().time() + SEND_SECONDS
    while asyncio.get_running_loop().time() < give_up:
        moving = 0
        for master in day.crowd.masters:
            request = allocations_pb2.ListChildTradesRequest(master_id=master.master_id, states=MOVING, page_size=1_000)
            answer = await insist(day.clients, day.clients.allocations.ListChildTrades, request)
            moving += len(answer.child_trades)
        if moving <= len(day.crowd.links) // 20:
            return
        await asyncio.sleep(POLL_SECONDS)
