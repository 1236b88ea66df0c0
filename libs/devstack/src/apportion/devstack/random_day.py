"""A day drawn from a seed: masters of every method trade at once, settings change, investors leave, the server fails.

What comes when depends on the machine, what is done does not: all choices are the seed's. Settings change only between
the decisions of two rounds, so that every decision's parameters are known; orders, deals and faults overlap freely.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from apportion.api.allocation.v1 import allocations_pb2, subscriptions_pb2
from apportion.devstack.clients import Clients, request_id
from apportion.devstack.crowd import (
    DIVIDING,
    Crowd,
    CrowdMaster,
    Link,
    build_crowd,
    draw_parameters,
    draw_settings,
    insist,
)
from apportion.devstack.day import START
from apportion.devstack.ledger import Json
from apportion.devstack.ports import free_port
from apportion.devstack.scene import LABEL, SETTINGS
from apportion.devstack.stack import Stack
from apportion.mt5_simulator.process import AdminRefused, SimulatorProcess

SYMBOLS = {"AUDUSD": 66_000, "EURUSD": 109_000, "GBPUSD": 127_000}
"""Prices at the beginning, in points."""
LEAVES = (
    subscriptions_pb2.LEAVE_POLICY_CLOSE,
    subscriptions_pb2.LEAVE_POLICY_CLOSE_WITH_MASTER,
    subscriptions_pb2.LEAVE_POLICY_DETACH,
)
ROUND_SECONDS = 60
DECIDE_SECONDS = 120.0
SEND_SECONDS = 60.0
POLL_SECONDS = 0.2
OPEN_AT_ONCE = 3
SEND = "dealer/send_request"
RESULT = "dealer/get_request_result"
FAULTS: tuple[dict[str, object], ...] = (
    {"kind": "latency", "endpoint": SEND, "seconds": 0.2, "probability": 0.05, "count": 20},
    {"kind": "latency", "endpoint": "deal/get_batch", "seconds": 0.5, "count": 3},
    {"kind": "late_result", "endpoint": SEND, "seconds": 1.0, "probability": 0.1, "count": 10},
    {"kind": "requote", "endpoint": SEND, "probability": 0.1, "count": 10},
    {"kind": "reject", "endpoint": SEND, "retcode": 10006, "probability": 0.05, "count": 5},
    {"kind": "reject", "endpoint": SEND, "retcode": 10021, "probability": 0.1, "count": 10},
    {"kind": "reject", "endpoint": SEND, "retcode": 10024, "probability": 0.1, "count": 10},
    {"kind": "timeout", "endpoint": SEND, "probability": 0.1, "count": 5},
    {"kind": "lose_answer", "endpoint": SEND, "probability": 0.05, "count": 3},
    {"kind": "lose_result", "endpoint": SEND, "probability": 0.1, "count": 5},
    {"kind": "lose_result", "endpoint": RESULT, "count": 2},
    {"kind": "disconnect", "endpoint": "*", "probability": 0.02, "count": 3},
    {"kind": "forbidden", "endpoint": SEND, "count": 1},
)
MOVING = (allocations_pb2.CHILD_TRADE_STATE_PENDING, allocations_pb2.CHILD_TRADE_STATE_SENT)
DAY_SETTINGS = SETTINGS | {
    # Faults are many here, and the day is short.
    "ALLOCATION_FOLLOW_UP_SECONDS": "1",
    "ALLOCATION_STALE_SECONDS": "60",
    "ALLOCATION_CATCH_UP_SECONDS": "60",
}


@dataclass(frozen=True)
class DealMade:
    """A master's deal, and what every subscription was set to when it was decided on."""

    master: CrowdMaster
    deal: Json
    links: tuple[Link, ...]
    """In login order; those that had ended are not among them."""


@dataclass
class RandomDay:
    crowd: Crowd
    clients: Clients
    simulator: SimulatorProcess
    stack: Stack
    chance: random.Random
    announce: Callable[[str], None]
    deals: list[DealMade] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    """What was done, how often."""
    kept: set[int] = field(default_factory=set)
    """Children that were open when their subscription was detached."""
    _leaves: int = 0
    _number: int = 0

    async def play(self, round_count: int) -> None:
        """The day without its audit; the faults are over when it returns."""
        for number in range(round_count):
            self.announce(f"round {number + 1} of {round_count}")
            self._number = number
            await self._move_prices()
            await self._change_settings()
            await self._leave()
            await self._close_by_hand()
            await self._arm_faults()
            traded = await asyncio.gather(*(self._trade(master) for master in self.crowd.masters))
            self.deals += [deal for deal in traded if deal is not None]
            await self._await_decisions()
            await self._await_orders()
        await self.simulator.admin.clear_faults()

    async def _move_prices(self) -> None:
        """Without a spread, pinned: a decision's figures do not depend on the moment."""
        await self.simulator.advance(ROUND_SECONDS)
        for symbol, first in SYMBOLS.items():
            points = first + self.chance.randrange(-first // 200, first // 200)
            price = f"{points / 100_000:.5f}"
            await self.simulator.set_price(symbol, price, price)

    async def _change_settings(self) -> None:
        """Several masters' subscriptions, each master's in one call: parameters, settings, active."""
        for master in self.crowd.masters:
            followers = master.followers
            if not followers or self.chance.random() > 0.5:
                continue
            changed = [self._changed(master, link) for link in self.chance.sample(followers, len(followers) // 8 + 1)]
            request = subscriptions_pb2.BatchUpdateSubscriptionsRequest(
                request_id=request_id("change", self._number, master.master_id),
                master_id=master.master_id,
                changes=[_change(link) for link in changed],
            )
            await insist(self.clients, self.clients.subscriptions.BatchUpdateSubscriptions, request)
            master.links |= {link.subscription_id: link for link in changed}
            self.counted["subscriptions changed"] += len(changed)

    def _changed(self, master: CrowdMaster, link: Link) -> Link:
        kind = self.chance.choice(["active", "active", "parameters", "settings"])
        if kind == "active":
            self.counted["deactivated" if link.active else "activated"] += 1
            return replace(link, active=not link.active)
        if kind == "settings":
            return replace(link, settings=draw_settings(self.chance, master.terms))
        drawn = draw_parameters(self.chance, master.terms, len(master.links))
        return replace(link, **drawn)

    async def _leave(self) -> None:
        """One subscription ends in each round, in each of the three ways in turn."""
        master = self.chance.choice(self.crowd.masters)
        if not master.followers:
            return
        link = self.chance.choice(master.followers)
        policy = LEAVES[self._leaves % len(LEAVES)]
        self._leaves += 1
        if policy == subscriptions_pb2.LEAVE_POLICY_DETACH:
            await self._note_kept(link)
        request = subscriptions_pb2.EndSubscriptionRequest(
            request_id=request_id("leave", link.subscription_id),
            subscription_id=link.subscription_id,
            leave_policy=policy,
        )
        await insist(self.clients, self.clients.subscriptions.EndSubscription, request)
        master.links[link.subscription_id] = replace(link, left=policy)
        self.counted[f"left {subscriptions_pb2.LeavePolicy.Name(policy).removeprefix('LEAVE_POLICY_')}"] += 1

    async def _note_kept(self, link: Link) -> None:
        """What is open stays with whom is detached; what fills later is closed at once."""
        request = allocations_pb2.ListChildTradesRequest(
            subscription_id=link.subscription_id, only_open=True, page_size=1_000
        )
        answer = await insist(self.clients, self.clients.allocations.ListChildTrades, request)
        self.kept |= {child.child_trade_id for child in answer.child_trades}

    async def _close_by_hand(self) -> None:
        """Some investors close a copy, all or a part of it."""
        for link in self.chance.sample(self.crowd.links, len(self.crowd.links) // 50 + 1):
            which, share = self.chance.random(), self.chance.random()
            positions = await self.simulator.admin.positions(link.login)
            if positions:
                position = positions[int(which * len(positions))]
                steps = int(position["VolumeExt"]) // 1_000_000
                part = None if steps < 2 or share < 0.7 else f"{steps // 2 / 100:.2f}"
                await self.simulator.close(link.login, position["Position"], part)
                self.counted["closed by investors"] += 1

    async def _arm_faults(self) -> None:
        for fault in self.chance.sample(FAULTS, 2):
            options = {"seed": self.chance.randrange(1 << 30), **fault}
            await self.simulator.admin.request("POST", "/faults", options)
            self.counted[f"fault {fault['kind']}"] += 1

    async def _trade(self, master: CrowdMaster) -> DealMade | None:
        """Opens, closes a part, or closes all of a position; at times nothing."""
        draws = [self.chance.random() for _ in range(4)]
        if draws[0] < 0.2:
            return None
        held = await self.simulator.admin.positions(master.login)
        links = tuple(master.followers)
        try:
            if held and (len(held) >= OPEN_AT_ONCE or draws[1] < 0.4):
                deal = await self._close(master, held[int(draws[2] * len(held))], draws[3])
            else:
                deal = await self._open(master, draws[2], draws[3])
        except AdminRefused as refusal:  # too big for his account: no deal
            self.counted[f"refused {refusal.retcode}"] += 1
            return None
        return DealMade(master, deal, links)

    async def _open(self, master: CrowdMaster, where: float, size: float) -> Json:
        symbol = sorted(SYMBOLS)[int(where * len(SYMBOLS))]
        order = self.simulator.buy if size < 0.6 else self.simulator.sell
        lots = 0.5 + 2 * size
        if master.terms.method in DIVIDING:
            lots = len(master.links) * (0.01 + 0.06 * size)
        self.counted["masters' opens"] += 1
        return await order(master.login, symbol, f"{lots:.2f}")

    async def _close(self, master: CrowdMaster, position: Json, size: float) -> Json:
        steps = int(position["VolumeExt"]) // 1_000_000
        part = None if size < 0.4 or steps < 2 else f"{max(1, int(steps * size * 0.9)) / 100:.2f}"
        self.counted["masters' partial closes" if part else "masters' full closes"] += 1
        return await self.simulator.close(master.login, position["Position"], part)

    async def _await_decisions(self) -> None:
        """Each deal of a master so far has its decision: what is changed from now on does not concern it."""
        give_up = asyncio.get_running_loop().time() + DECIDE_SECONDS
        waiting = {made.master.master_id: int(made.deal["Deal"]) for made in self.deals}
        while waiting:
            for master_id, ticket in list(waiting.items()):
                request = allocations_pb2.ListAllocationsRequest(master_id=master_id, page_size=5)
                answer = await insist(self.clients, self.clients.allocations.ListAllocations, request)
                if any(allocation.deal_ticket >= ticket for allocation in answer.allocations):
                    del waiting[master_id]
            if waiting and asyncio.get_running_loop().time() > give_up:
                raise TimeoutError(f"deals not decided on, by master: {waiting}")
            await asyncio.sleep(POLL_SECONDS)

    async def _await_orders(self) -> None:
        """Most orders of the opens are executed, for a while: some are always under way when the next round begins."""
        give_up = asyncio.get_running_loop().time() + SEND_SECONDS
        while asyncio.get_running_loop().time() < give_up:
            moving = 0
            for master in self.crowd.masters:
                request = allocations_pb2.ListChildTradesRequest(
                    master_id=master.master_id, states=MOVING, page_size=1_000
                )
                answer = await insist(self.clients, self.clients.allocations.ListChildTrades, request)
                moving += len(answer.child_trades)
            if moving <= len(self.crowd.links) // 20:
                return
            await asyncio.sleep(POLL_SECONDS)


def _change(link: Link) -> subscriptions_pb2.SubscriptionChange:
    return subscriptions_pb2.SubscriptionChange(
        subscription_id=link.subscription_id,
        active=link.active,
        ratio_e8=link.ratio_e8,
        lot_e8=link.lot_e8,
        percent_e8=link.percent_e8,
        lot_mode=link.lot_mode,
        settings=link.settings,
    )


@asynccontextmanager
async def open_random_day(
    folder: Path,
    *,
    master_count: int,
    investor_count: int,
    open_seconds: int,
    seed: int,
    announce: Callable[[str], None],
) -> AsyncIterator[RandomDay]:
    """The stack, a paused simulator and a crowd on it. Data and logs lie in `folder`.

    What became of an order without an answer is certain only `open_seconds` after its decision.
    """
    settings = DAY_SETTINGS | {"ALLOCATION_OPEN_SECONDS": str(open_seconds)}
    ports = ["--https-port", str(free_port()), "--admin-port", str(free_port())]
    simulator = SimulatorProcess(folder / "simulator", start=START, seed=seed, paused=True, options=ports)
    async with simulator, Stack(folder, settings) as stack:
        clients = stack.clients(LABEL)
        try:
            for symbol, points in SYMBOLS.items():
                await simulator.set_price(symbol, f"{points / 100_000:.5f}", f"{points / 100_000:.5f}")
            announce(f"{master_count} masters, {investor_count} investors")
            crowd = await build_crowd(
                clients, simulator, master_count=master_count, investor_count=investor_count, seed=seed
            )
            yield RandomDay(crowd, clients, simulator, stack, random.Random(seed), announce)  # noqa: S311
        finally:
            await clients.close()
