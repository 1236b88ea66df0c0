"""Which modifications may be sent."""

from __future__ import annotations

from datetime import UTC, datetime

from apportion.platform_groups.domain.shards import SHARD_COUNT
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
