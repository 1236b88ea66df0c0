"""Register, create, trade, close, move money: the whole way to a real simulator process and back."""

from __future__ import annotations

from apportion.api.platform_groups.v1 import accounts_pb2, events_pb2, trading_pb2
from apportion.testing.polling import eventually

LOT = 100_000_000


async def test_an_account_trades_and_is_seen(start, simulator) -> None:
    async with start() as platform:
        await platform.set_up(simulator)
        wallet = await platform.account(balance_minor=1_000_000)
        assert wallet.state == accounts_pb2.ACCOUNT_STATE_OPEN
        assert wallet.login > 0

        async def funded() -> bool:
            account = await platform.get(wallet.account_id)
            return account.snapshot.balance_minor == 1_000_000

        await eventually(funded, 60)

        response = await platform.submit("test/1", [(wallet.account_id, LOT)])
        assert (response.accepted_count, response.known_count) == (1, 0)
        opened = await platform.finished("test/1")
        assert list(opened.states) == [trading_pb2.ORDER_STATE_FILLED]
        assert list(opened.filled_volumes_e8) == [LOT]
        assert list(opened.prices_e8) == [110_010_000]
        [position] = await platform.positions(wallet.account_id)
        assert position.position_ticket == opened.position_tickets[0]
        assert position.order_id == opened.order_ids[0]

        await platform.submit("test/2", [(wallet.account_id, -LOT)], tickets=[position.position_ticket])
        closed = await platform.finished("test/2")
        assert list(closed.states) == [trading_pb2.ORDER_STATE_FILLED]
        assert list(closed.prices_e8) == [110_000_000]
        assert await platform.positions(wallet.account_id) == []

        async def deals() -> list[events_pb2.DealsObserved] | None:
            found = [events_pb2.DealsObserved.FromString(payload) for _, payload in await platform.events("deals")]
            return found if sum(len(each.deal_tickets) for each in found) >= 3 else None

        seen = await eventually(deals, 60)
        rows = [
            (each.entries[i], each.order_ids[i], each.transfer_ids[i])
            for each in seen
            for i in range(len(each.deal_tickets))
        ]
        assert [row[1] for row in rows] == [0, opened.order_ids[0], closed.order_ids[0]]
        assert rows[0][2] > 0, "the first deposit names its transfer"
