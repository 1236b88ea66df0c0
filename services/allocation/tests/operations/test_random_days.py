"""Random days of a master and his followers on a played trading server: whatever the order of messages, partial fills,
rejections and investors' own closes, what we believe is what the server has, and in the end everybody is flat."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from random import Random

import pytest

from apportion.allocation.domain.allocations import AllocationKind
from apportion.allocation.domain.methods import AllocationMethod
from apportion.allocation.operations.follow_up_positions import follow_up_positions
from apportion.allocation.operations.ports import OrderBatch
from apportion.money import E8

STEP = E8 // 100
IN, OUT, IN_OUT = 1, 2, 3
FOLLOWERS = (101, 102, 103)


@dataclass
class Server:
    """Positions by ticket, orders not yet executed, and messages not yet delivered: in order within a stream only."""

    random: Random
    positions: dict[int, tuple[int, int]] = field(default_factory=dict)
    orders: list[OrderBatch] = field(default_factory=list)
    streams: dict[object, list[tuple]] = field(default_factory=lambda: defaultdict(list))
    closed_e8: int = 0
    next_ticket: int = 5_000

    def accept(self, batch: OrderBatch) -> None:
        for row in range(batch.item_ids.size):
            rows = slice(row, row + 1)
            self.orders.append(
                replace(
                    batch,
                    item_ids=batch.item_ids[rows],
                    account_ids=batch.account_ids[rows],
                    volumes_e8=batch.volumes_e8[rows],
                    position_tickets=batch.position_tickets[rows],
                )
            )

    def execute(self) -> None:
        order = self.orders.pop(self.random.randrange(len(self.orders)))
        if order.kind is AllocationKind.OPEN:
            self._open(order)
        else:
            self._close(order)

    def close_by_hand(self) -> None:
        ticket = self.random.choice(list(self.positions))
        volume_e8 = abs(self.positions[ticket][1])
        part_e8 = volume_e8 if self.random.random() < 0.5 else self.random.randrange(STEP, volume_e8 + 1, STEP)
        self._reduce(ticket, part_e8, ordered=False)

    def _open(self, order: OrderBatch) -> None:
        (account_id,), (volume_e8,) = order.account_ids.tolist(), order.volumes_e8.tolist()
        share = self.random.choice([1, 1, 1, 1, 0.5, 0])
        filled_e8 = int(abs(volume_e8) * share) // STEP * STEP
        ticket, self.next_ticket = self.next_ticket, self.next_ticket + 1
        if filled_e8:
            self.positions[ticket] = (account_id, filled_e8 if volume_e8 > 0 else -filled_e8)
        self.streams["orders"].append(("result", order, ticket, filled_e8))

    def _close(self, order: OrderBatch) -> None:
        (ticket,), (volume_e8,) = order.position_tickets.tolist(), order.volumes_e8.tolist()
        there_e8 = abs(self.positions.get(ticket, (0, 0))[1])
        done_e8 = 0 if self.random.random() < 0.1 else min(there_e8, abs(volume_e8))
        if done_e8:
            self._reduce(ticket, done_e8, ordered=True)
        self.streams["orders"].append(("result", order, ticket, done_e8))

    def _reduce(self, ticket: int, part_e8: int, *, ordered: bool) -> None:
        account_id, volume_e8 = self.positions.pop(ticket)
        signed_e8 = part_e8 if volume_e8 > 0 else -part_e8
        if volume_e8 != signed_e8:
            self.positions[ticket] = (account_id, volume_e8 - signed_e8)
        self.closed_e8 += part_e8
        self.streams[account_id].append(("deal", account_id, -signed_e8, ticket, ordered))

    async def deliver(self, house) -> None:
        waiting = [stream for stream, messages in self.streams.items() if messages]
        kind, *message = self.streams[self.random.choice(waiting)].pop(0)
        if kind == "deal":
            account_id, volume_e8, ticket, ordered = message
            await house.deal(account_id, volume_e8 / E8, position=ticket, entry=OUT, ordered=ordered)
        else:
            order, ticket, filled_e8 = message
            await house.fill(order, first_position=ticket, lots={order.item_ids.tolist()[0]: filled_e8 / E8})

    @property
    def is_quiet(self) -> bool:
        return not self.orders and not any(self.streams.values())


async def settle(house, server: Server) -> None:
    """Everything sent, executed and delivered, again until nothing more comes of it."""
    for _ in range(30):
        while house.waiting or not server.is_quiet:
            for batch in await house.dispatch():
                server.accept(batch)
            if server.orders:
                server.execute()
            if any(server.streams.values()):
                await server.deliver(house)
        house.waiting += await follow_up_positions(house.engine, now=house.clock.now())
        if not house.waiting:
            return
    raise AssertionError("the day does not settle")


async def compare(house, server: Server) -> None:
    open_here = {child.position_ticket: child.open_volume_e8 for child in await house.children(only_open=True)}
    assert open_here == {ticket: volume_e8 for ticket, (_, volume_e8) in server.positions.items()}
    told_e8 = sum(sum(fact.closed_volumes_e8) for fact in await house.facts("children"))
    assert told_e8 == server.closed_e8


@dataclass
class HedgingMaster:
    """Every trade is a position of its own."""

    random: Random
    trades: dict[int, int] = field(default_factory=dict)
    """Open volumes by position."""

    async def open(self, house) -> None:
        position = 900 + len(self.trades)
        self.trades[position] = volume_e8 = self.random.choice([1, -1]) * self.random.randrange(5, 200) * STEP
        await house.deal(64, volume_e8 / E8, position=position)

    async def change(self, house) -> None:
        still_open = [ticket for ticket, volume_e8 in self.trades.items() if volume_e8]
        await self._reduce(house, self.random.choice(still_open))

    async def close(self, house) -> None:
        for position, volume_e8 in self.trades.items():
            if volume_e8:
                await house.deal(64, -volume_e8 / E8, position=position, entry=OUT)

    async def _reduce(self, house, position: int) -> None:
        volume_e8 = self.trades[position]
        part_e8 = self.random.randrange(1, abs(volume_e8) // STEP + 1) * STEP
        part_e8 = part_e8 if volume_e8 > 0 else -part_e8
        self.trades[position] -= part_e8
        await house.deal(64, -part_e8 / E8, position=position, entry=OUT)


@dataclass
class NettingMaster(HedgingMaster):
    """One position, which is added to, reduced and turned; a new one once it is closed."""

    async def open(self, house) -> None:
        position = 900 + len(self.trades) - 1
        if not self.trades.get(position):
            await super().open(house)
            return
        added_e8 = self.random.randrange(5, 200) * STEP * (1 if self.trades[position] > 0 else -1)
        self.trades[position] += added_e8
        await house.deal(64, added_e8 / E8, position=position)

    async def change(self, house) -> None:
        position = 900 + len(self.trades) - 1
        if self.random.random() < 0.5:
            await self._reduce(house, position)
            return
        before_e8 = self.trades[position]
        self.trades[position] = self.random.randrange(5, 200) * STEP * (-1 if before_e8 > 0 else 1)
        await house.deal(64, (self.trades[position] - before_e8) / E8, position=position, entry=IN_OUT)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", [HedgingMaster, NettingMaster])
async def test_a_random_day(house, kind, seed):
    print(f"seed {seed}")
    random = Random(seed)
    method = random.choice([AllocationMethod.RATIO_MULTIPLIER, AllocationMethod.DIVIDE_BY_EQUITY])
    master = await house.master(method)
    for number, account_id in enumerate(FOLLOWERS):
        await house.follower(master, account_id, ratio_e8=E8 // (number + 1), equity_minor=10_000 * (number + 1))
    server, trader = Server(random), kind(random)
    for _ in range(60):
        action = random.random()
        if action < 0.12:
            await trader.open(house)
        elif action < 0.25 and any(trader.trades.values()):
            await trader.change(house)
        elif action < 0.32 and server.positions:
            server.close_by_hand()
        elif action < 0.5:
            for batch in await house.dispatch():
                server.accept(batch)
        elif action < 0.75 and server.orders:
            server.execute()
        elif any(server.streams.values()):
            await server.deliver(house)
    await settle(house, server)
    await compare(house, server)
    await trader.close(house)
    await settle(house, server)
    await compare(house, server)
    assert server.positions == {}
