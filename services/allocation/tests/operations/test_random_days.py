"""Random days of a master and his followers on a played trading server: whatever the order of messages, partial fills,
refusals for now and for good, moved stops, leavers and investors' own closes, what we believe is what the server has,
no child is opened twice, and in the end everybody is flat."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random

import pytest

from apportion.allocation.domain.allocations import AllocationKind
from apportion.allocation.domain.copy_settings import CopySettings, LeavePolicy
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.methods import AllocationMethod
from apportion.allocation.operations.follow_up_positions import follow_up_positions
from apportion.allocation.operations.modify_stops import repeat_stops
from apportion.allocation.operations.ports import OrderBatch
from apportion.allocation.operations.reopen_children import reopen_children
from apportion.allocation.storage.allocations import list_undispatched, load_allocation
from apportion.money import E8
from apportion.storage import transaction

STEP = E8 // 100
IN, OUT, IN_OUT = 1, 2, 3
FOLLOWERS = (101, 102, 103)


@dataclass
class Server:
    """Positions by ticket, orders not yet executed, and messages not yet delivered: in order within a stream only."""

    random: Random
    positions: dict[int, tuple[int, int]] = field(default_factory=dict)
    orders: list[OrderBatch] = field(default_factory=list)
    stops: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Stop loss and take profit by position."""
    modifications: dict[int, str] = field(default_factory=dict)
    """The newest modification accepted, by position: it makes the older ones void."""
    opened: set[int] = field(default_factory=set)
    """Children that were opened."""
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
                    stop_losses_e8=batch.stop_losses_e8[rows],
                    take_profits_e8=batch.take_profits_e8[rows],
                )
            )
        if batch.kind is AllocationKind.MODIFY:
            self.modifications.update(dict.fromkeys(batch.position_tickets.tolist(), batch.source_id))

    def execute(self) -> None:
        order = self.orders.pop(self.random.randrange(len(self.orders)))
        if order.kind is AllocationKind.OPEN:
            self._open(order)
        elif order.kind is AllocationKind.MODIFY:
            self._modify(order)
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
            (child,) = order.item_ids.tolist()
            assert child not in self.opened, "a child is opened once"
            self.opened.add(child)
            self.positions[ticket] = (account_id, filled_e8 if volume_e8 > 0 else -filled_e8)
            pairs = zip(order.stop_losses_e8.tolist(), order.take_profits_e8.tolist(), strict=True)
            self.stops[ticket] = next(pairs, (0, 0))
        if not filled_e8 and self.random.random() < 0.5:
            self.streams["orders"].append(("refused", order, "REQUOTE"))
        else:
            self.streams["orders"].append(("result", order, ticket, filled_e8))

    def _modify(self, order: OrderBatch) -> None:
        (ticket,) = order.position_tickets.tolist()
        reason = ""
        if self.modifications[ticket] != order.source_id:
            reason = "SUPERSEDED"
        elif ticket not in self.positions:
            reason = "POSITION_GONE"
        elif self.random.random() < 0.3:
            reason = "STOPS_INVALID"
        else:
            self.stops[ticket] = (*order.stop_losses_e8.tolist(), *order.take_profits_e8.tolist())
        self.streams["orders"].append(("modified", order, reason))

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
        elif kind == "refused":
            await house.tell_refused(*message)
        elif kind == "modified":
            order, reason = message
            await house.tell_modified(order, {order.item_ids.tolist()[0]: reason} if reason else None)
        else:
            order, ticket, filled_e8 = message
            await house.fill(order, first_position=ticket, lots={order.item_ids.tolist()[0]: filled_e8 / E8})

    @property
    def is_quiet(self) -> bool:
        return not self.orders and not any(self.streams.values())


async def find_undispatched(house) -> None:
    """As the dispatcher finds what a command decided."""
    async with transaction(house.engine) as tx:
        found = await list_undispatched(tx, before=house.clock.now() + timedelta(days=1), limit=100)
        house.waiting += [await load_allocation(tx, label, allocation_id) for label, allocation_id in found]


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
        house.clock.advance(0.5)
        house.waiting += await reopen_children(house.engine, house.desk.limits.retries, now=house.clock.now())
        house.waiting += await repeat_stops(house.engine, now=house.clock.now())
        if not house.waiting:
            return
    raise AssertionError("the day does not settle")


async def compare(house, server: Server, trader: HedgingMaster) -> None:
    children = await house.children(only_open=True)
    open_here = {child.position_ticket: child.open_volume_e8 for child in children}
    assert open_here == {ticket: volume_e8 for ticket, (_, volume_e8) in server.positions.items()}
    for child in children:
        assert server.stops[child.position_ticket] == trader.stops.get(child.master_position_ticket, (0, 0))
    told_e8 = sum(sum(fact.closed_volumes_e8) for fact in await house.facts("children"))
    assert told_e8 == server.closed_e8


@dataclass
class HedgingMaster:
    """Every trade is a position of its own."""

    random: Random
    trades: dict[int, int] = field(default_factory=dict)
    """Open volumes by position."""
    stops: dict[int, tuple[int, int]] = field(default_factory=dict)
    """As he moved them last."""

    async def move_stops(self, house) -> None:
        """Of any of his positions."""
        position = self.random.choice([ticket for ticket, volume_e8 in self.trades.items() if volume_e8])
        stops = (self.random.randrange(0, 3), self.random.randrange(0, 3))
        self.stops[position] = (stops[0] * E8, stops[1] * E8)
        await house.move_stops(64, position, *stops)

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
        self.stops.pop(position, None)  # a deal that turns a position brings its own: none
        self.trades[position] = self.random.randrange(5, 200) * STEP * (-1 if before_e8 > 0 else 1)
        await house.deal(64, (self.trades[position] - before_e8) / E8, position=position, entry=IN_OUT)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", [HedgingMaster, NettingMaster])
async def test_a_random_day(house, kind, seed):
    print(f"seed {seed}")
    house.retry(rejected_seconds=1_000, most=100)  # so that every stop arrives in the end
    random = Random(seed)
    method = random.choice([AllocationMethod.RATIO_MULTIPLIER, AllocationMethod.DIVIDE_BY_EQUITY])
    master = await house.master(method)
    minimum = random.choice([1, 1, 4]) * STEP
    house.symbols.grids["EURUSD"] = SymbolGrid(STEP, minimum, 100 * E8)
    followers = []
    for number, account_id in enumerate(FOLLOWERS):
        equity_minor, settings = 10_000 * (number + 1), CopySettings(close_small_rest=number == 1)
        followers.append(
            await house.follower(
                master, account_id, ratio_e8=E8 // (number + 1), equity_minor=equity_minor, settings=settings
            )
        )
    server, trader = Server(random), kind(random)
    for _ in range(60):
        action = random.random()
        if action < 0.12:
            await trader.open(house)
        elif action < 0.25 and any(trader.trades.values()):
            await trader.change(house)
        elif action < 0.32 and server.positions:
            server.close_by_hand()
        elif action < 0.38 and any(trader.trades.values()):
            await trader.move_stops(house)
        elif action < 0.4 and len(followers) > 1:
            await house.end(followers.pop(), random.choice([LeavePolicy.CLOSE, LeavePolicy.CLOSE_WITH_MASTER]))
            await find_undispatched(house)
        elif action < 0.5:
            for batch in await house.dispatch():
                server.accept(batch)
        elif action < 0.75 and server.orders:
            server.execute()
        elif any(server.streams.values()):
            await server.deliver(house)
    await settle(house, server)
    await compare(house, server, trader)
    await trader.close(house)
    await settle(house, server)
    await compare(house, server, trader)
    assert server.positions == {}
