"""Which orders may be sent."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import text

from apportion.platform_groups.domain.orders import ACCOUNT_READ_ONLY
from apportion.platform_groups.domain.shards import SHARD_COUNT
from apportion.platform_groups.domain.states import OrderPurpose
from apportion.platform_groups.storage.orders import claim_orders, stop_orders
from apportion.storage import transaction


async def test_a_modification_replaces_older_ones_of_its_own_account_only(start, simulator) -> None:
    async with start(frozenset({"serve"})) as platform:
        await platform.set_up(simulator)
        one, other = await platform.account(), await platform.account()
        for number, account in enumerate((one, other, one)):
            await platform.modify(f"m/{number}", account.account_id, 77, number + 1)
        now, shards = datetime.now(UTC), list(range(SHARD_COUNT))
        async with transaction(platform.engine) as tx:
            stopped = await stop_orders(tx, platform.server_id, shards, now)
            epochs = dict.fromkeys(shards, 1)
            claimed = await claim_orders(tx, platform.server_id, epochs, limit=9, server_time_ms=1, now=now)
        assert [row["source_id"] for row in stopped] == ["m/0"]
        assert [(order.account_id, order.stop_loss_e8) for order in claimed] == [
            (other.account_id, 2),
            (one.account_id, 3),
        ]


async def test_nothing_is_opened_on_a_read_only_account_whatever_its_server_would_do(start, simulator) -> None:
    async with start(frozenset({"serve"})) as platform:
        await platform.set_up(simulator)
        locked, other = await platform.account(), await platform.account()
        await platform.submit("open", [(locked.account_id, 1_000_000), (other.account_id, 1_000_000)])
        await platform.submit("close", [(locked.account_id, -1_000_000)], tickets=[77])
        now, shards = datetime.now(UTC), list(range(SHARD_COUNT))
        epochs = dict.fromkeys(shards, 1)
        async with transaction(platform.engine) as tx:
            wish = "UPDATE accounts SET wanted_access = 2, access_settled = false WHERE account_id = :id"
            await tx.execute(text(wish), {"id": locked.account_id})
            claimed = await claim_orders(tx, platform.server_id, epochs, limit=9, server_time_ms=1, now=now)
            stopped = await stop_orders(tx, platform.server_id, shards, now)
        assert [(order.account_id, order.purpose) for order in claimed] == [
            (locked.account_id, OrderPurpose.CLOSE),
            (other.account_id, OrderPurpose.OPEN),
        ]
        assert [(row["account_id"], row["reason"]) for row in stopped] == [(locked.account_id, ACCOUNT_READ_ONLY)]
