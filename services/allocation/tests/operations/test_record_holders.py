"""Who holds a record: he is not left out, and has his master's sign."""

from __future__ import annotations

from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import text

from apportion.allocation.domain.allocations import AllocationFilter
from apportion.allocation.domain.copy_settings import CopySettings
from apportion.allocation.domain.methods import AllocationMethod, AllocationMode
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.domain.subscriptions import SubscriptionChange, SubscriptionFilter
from apportion.allocation.errors import ReverseNotAllowed
from apportion.allocation.operations.batch_update_subscriptions import (
    BatchUpdateSubscriptions,
    batch_update_subscriptions,
)
from apportion.allocation.operations.explain_allocation import explain_allocation
from apportion.allocation.operations.get_allocation import get_allocation
from apportion.allocation.operations.list_allocations import list_allocations
from apportion.allocation.operations.list_subscriptions import list_subscriptions
from apportion.allocation.operations.preview_trade import preview_trade
from apportion.allocation.operations.update_master import MasterChange, UpdateMaster, update_master
from apportion.allocation.operations.update_subscription import UpdateSubscription, update_subscription
from apportion.allocation.storage.allocations import load_columns
from apportion.allocation.storage.packing import pack_sparse
from apportion.money import E8, INT64_MAX
from apportion.storage import RequestKey, transaction

REVERSE = CopySettings(reverse=True)


def key():
    return RequestKey(1, "test", str(uuid4()), b"hash")


async def pooled(house, *equities_minor):
    master = await house.master(AllocationMethod.DIVIDE_BY_EQUITY, allocation_mode=AllocationMode.PROFIT)
    for number, equity_minor in enumerate(equities_minor):
        await house.follower(master, 101 + number, equity_minor=equity_minor)
    return master


async def records(house):
    await house.project()
    return await house.children()


async def test_who_holds_a_record_is_not_told_as_left_out(house):
    """Neither the lot grid nor a limit makes him a skipped one: not in the decision, its event, lists, explanation."""
    master = await pooled(house, 999, 1)
    await house.follower(master, 103, equity_minor=1_000, settings=CopySettings(max_lot_e8=E8 // 100))
    await house.follower(master, 104, settings=CopySettings(denied_symbols=("EURUSD",)))
    await house.deal(64, 0.1, position=900)
    none, filtered = SkipReason.NONE, SkipReason.FILTERED
    decision, page = await get_allocation(house.engine, 1, house.waiting[0].allocation_id, first=0, limit=10)
    assert page.reasons.tolist() == [none, none, none, filtered]
    assert page.volumes_e8[1] == 0
    assert (decision.child_count, decision.skipped_count, decision.row_count) == (3, 1, 4)
    (event,) = await house.facts("allocations")
    assert (event.allocation.child_count, event.allocation.skipped_count) == (3, 1)
    assert list(event.children.skip_reasons) == [none, none, none, filtered]
    for reason, count in ((SkipReason.BELOW_MIN_LOT, 0), (SkipReason.CAPPED, 0), (filtered, 1)):
        wanted = AllocationFilter(skip_reason=reason)
        assert len(await list_allocations(house.engine, 1, wanted, before=INT64_MAX, limit=10)) == count
    assert len(await records(house)) == 3
    explained = await explain_allocation(house.engine, 1, decision.allocation_id, first=0, limit=10)
    assert explained.agrees
    assert [child.reason for child in explained.children] == [none, none, none, filtered]
    assert explained.children[1].text.endswith("0.00005 → 0 lot by NEAREST_LARGEST, step 0.01")
    preview, shown = await preview_trade(
        house.engine, house.desk, 1, master.master_id, decision.trade, limit=10, now=house.clock.now()
    )
    assert (preview.child_count, shown.reasons.tolist()) == (3, page.reasons.tolist())


async def test_a_share_too_small_for_any_volume_is_explained(house):
    await pooled(house, 10**9, 1)
    await house.deal(64, 0.01, position=900)
    explained = await explain_allocation(house.engine, 1, house.waiting[0].allocation_id, first=0, limit=10)
    small = explained.children[1]
    assert (explained.agrees, small.proportion_e9, small.reason) == (True, 1, SkipReason.NONE)
    assert 0 < small.exact_volume_e8 < 1
    assert small.text.endswith("≈ 0 → 0 lot by NEAREST_LARGEST, step 0.01")


async def test_decisions_of_former_versions_are_explained_alike(house):
    """They told of a small record that it was below min lot."""
    await pooled(house, 999, 1)
    await house.deal(64, 0.01, position=900)
    (decision,) = house.waiting
    async with transaction(house.engine) as tx:
        columns = await load_columns(tx, decision.allocation_id)
        reason_bytes, reasons = pack_sparse(np.where(columns.volumes_e8, np.int8(0), np.int8(3)))
        query = "UPDATE allocations SET reason_bytes = :bytes, reasons = :reasons WHERE kind = 1"
        await tx.execute(text(query), {"bytes": reason_bytes, "reasons": reasons})
        assert (await load_columns(tx, decision.allocation_id)).reasons.tolist() == [0, SkipReason.BELOW_MIN_LOT]
    explained = await explain_allocation(house.engine, 1, decision.allocation_id, first=0, limit=10)
    assert explained.agrees
    assert [child.reason for child in explained.children] == [SkipReason.NONE] * 2


@pytest.mark.parametrize("lots", [1.0, -1.0])
async def test_decision_event_and_explanation_have_the_sign_of_the_records(house, lots):
    await pooled(house, 1, 1)
    await house.deal(64, lots, position=900)
    volume_e8 = round(lots * E8) // 2
    (decision,) = house.waiting
    explained = await explain_allocation(house.engine, 1, decision.allocation_id, first=0, limit=10)
    assert [child.stored_volume_e8 for child in explained.children] == [volume_e8] * 2
    (event,) = await house.facts("allocations")
    assert list(event.children.volumes_e8) == [volume_e8] * 2
    assert [record.open_volume_e8 for record in await records(house)] == [volume_e8] * 2


class TestNothingIsReversed:
    async def test_no_reversed_subscription_begins(self, house):
        master = await pooled(house)
        with pytest.raises(ReverseNotAllowed) as refused:
            await house.follower(master, 101, settings=REVERSE)
        assert refused.value.metadata["masterId"] == str(master.master_id)
        assert await self.subscriptions(house, master) == []

    async def test_none_becomes_reversed(self, house):
        master = await pooled(house, 1, 1)
        ids = [row.subscription_id for row in await self.subscriptions(house, master)]
        with pytest.raises(ReverseNotAllowed):
            command = UpdateSubscription(key(), ids[1], SubscriptionChange(settings=REVERSE))
            await update_subscription(house.engine, command, now=house.clock.now())
        changes = {ids[0]: SubscriptionChange(ratio_e8=2 * E8), ids[1]: SubscriptionChange(settings=REVERSE)}
        with pytest.raises(ReverseNotAllowed) as refused:
            command = BatchUpdateSubscriptions(key(), master.master_id, changes)
            await batch_update_subscriptions(house.engine, command, now=house.clock.now())
        assert refused.value.metadata["subscriptionId"] == str(ids[1])
        rows = await self.subscriptions(house, master)
        assert [(row.settings.reverse, row.parameters.ratio_e8) for row in rows] == [(False, E8)] * 2

    async def test_a_master_with_reversed_followers_keeps_on_trading_for_them(self, house):
        master = await house.master(AllocationMethod.DIVIDE_BY_EQUITY)
        await house.follower(master, 101)
        first = await house.follower(master, 102, settings=REVERSE)
        second = await house.follower(master, 103, settings=REVERSE)

        async def change_mode(mode):
            command = UpdateMaster(key(), master.master_id, MasterChange(allocation_mode=mode))
            return (await update_master(house.engine, command, now=house.clock.now())).allocation_mode

        with pytest.raises(ReverseNotAllowed) as refused:
            await change_mode(AllocationMode.PROFIT)
        assert refused.value.metadata["subscriptionId"] == str(first.subscription_id)
        change = SubscriptionChange(settings=CopySettings(), active=False)
        command = UpdateSubscription(key(), first.subscription_id, change)
        await update_subscription(house.engine, command, now=house.clock.now())
        with pytest.raises(ReverseNotAllowed) as refused:
            await change_mode(AllocationMode.PROFIT)
        assert refused.value.metadata["subscriptionId"] == str(second.subscription_id)
        await house.end(second)
        assert await change_mode(AllocationMode.PROFIT) is AllocationMode.PROFIT

    async def test_others_of_a_master_with_reversed_followers_are_changed(self, house):
        """Only the mode is refused, nothing else of his terms."""
        master = await house.master(AllocationMethod.DIVIDE_BY_EQUITY)
        await house.follower(master, 101, settings=REVERSE)
        command = UpdateMaster(key(), master.master_id, MasterChange(name="Other"))
        assert (await update_master(house.engine, command, now=house.clock.now())).name == "Other"

    async def subscriptions(self, house, master):
        return await list_subscriptions(
            house.engine, 1, SubscriptionFilter(master_id=master.master_id), after=0, limit=10
        )
