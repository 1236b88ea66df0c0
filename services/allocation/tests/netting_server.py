"""A follower's netting account as a trading server keeps it."""

from __future__ import annotations

from dataclasses import replace

from apportion.allocation.adapters.platform_groups import PURPOSES
from apportion.allocation.domain.allocations import AllocationKind
from apportion.allocation.domain.copy_settings import DEFAULT_SETTINGS
from apportion.money import E8

IN, OUT, IN_OUT = 1, 2, 3
NO_STOPS = replace(DEFAULT_SETTINGS, ignore_stops=True)


class NettingServer:
    """One position a symbol, its ticket another after a turn."""

    def __init__(self, house, account_id: int) -> None:
        self.house = house
        self.account_id = account_id
        self.net_e8: dict[str, int] = {}
        self.ticket = 5_000
        self.orders: list[tuple[int, float, int]] = []
        """(child, lots, ticket) of every order that was sent."""

    async def trade(self, volume_e8: int, *, symbol: str = "EURUSD", order: tuple[str, int, int] | None = None) -> None:
        """One deal, of our order or of somebody else."""
        before = self.net_e8.get(symbol, 0)
        after = self.net_e8[symbol] = before + volume_e8
        entry = IN if before * volume_e8 >= 0 else OUT if after * before >= 0 else IN_OUT
        lots = volume_e8 / E8
        await self.house.deal(
            self.account_id, lots, position=self.ticket, entry=entry, symbol=symbol, ordered=bool(order), order=order
        )

    async def execute(self, batch, *, results: bool = True) -> None:
        """Orders as platform-groups carries them out: a close with a ticket never turns the position."""
        purpose = PURPOSES[batch.kind]
        tickets = batch.position_tickets.tolist() or [0] * batch.item_ids.size
        undone: dict[int, float] = {}
        for item, symbol, volume_e8, ticket in zip(
            batch.item_ids.tolist(), batch.child_symbols, batch.volumes_e8.tolist(), tickets, strict=True
        ):
            self.orders.append((item, volume_e8 / E8, ticket))
            net_e8 = self.net_e8.get(symbol, 0)
            if batch.kind is AllocationKind.CLOSE and ticket and -net_e8 * volume_e8 < volume_e8**2:
                undone[item] = 0
                continue
            await self.trade(volume_e8, symbol=symbol, order=(batch.source_id, item, purpose))
        if results:
            await self.house.fill(batch, first_position=self.ticket, lots=undone)

    async def send(self) -> None:
        """Everything that was decided."""
        for batch in await self.house.dispatch():
            await self.execute(batch)

    async def open_lots(self) -> list[float]:
        """Signed, of all children, the oldest first; they sum up to the position."""
        children = await self.house.children()
        lots = [child.open_volume_e8 / E8 for child in children]
        assert sum(child.open_volume_e8 for child in children if child.symbol == "EURUSD") == self.net_e8["EURUSD"]
        return lots


async def open_two(server: NettingServer, first: float = 2.0, second: float = -1.0) -> None:
    await server.house.deal(64, first, position=900)
    await server.send()
    await server.house.deal(64, second, position=901)
    await server.send()
