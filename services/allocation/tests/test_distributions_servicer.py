"""The RPCs that show how profit was distributed, through an in-process server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from apportion.allocation.domain.methods import AllocationMethod, AllocationMode
from apportion.allocation.servicers.distributions import DistributionsServicer
from apportion.api.allocation.v1 import distributions_pb2, distributions_pb2_grpc
from apportion.api.platform_groups.v1 import events_pb2
from apportion.errors import InvalidArgument, NotFound
from apportion.rpc import call_options
from apportion.storage import transaction
from apportion.testing.polling import PATIENCE_SECONDS
from apportion.testing.servers import running_server

PAY = "UPDATE payouts SET state = 3, next_time = NULL, settle_time = now()"


class Client:
    def __init__(self, channel) -> None:
        self.distributions = distributions_pb2_grpc.DistributionsServiceStub(channel)


@pytest.fixture
async def client(house) -> AsyncIterator[Client]:
    def add(grpc_server):
        distributions_pb2_grpc.add_DistributionsServiceServicer_to_server(
            DistributionsServicer(house.engine), grpc_server
        )

    async with running_server(add) as channel:
        yield Client(channel)


async def listed(client, label=1, **fields):
    request = distributions_pb2.ListDistributionsRequest(**fields)
    return await client.distributions.ListDistributions(request, **call_options(label, PATIENCE_SECONDS))


async def shown(client, allocation_id, label=1, **fields):
    request = distributions_pb2.GetDistributionRequest(allocation_id=allocation_id, **fields)
    return await client.distributions.GetDistribution(request, **call_options(label, PATIENCE_SECONDS))


async def two_closes(house):
    master = await house.master(AllocationMethod.DIVIDE_BY_EQUITY, allocation_mode=AllocationMode.PROFIT)
    for account_id in (101, 102, 103):
        await house.follower(master, account_id, equity_minor=1)
    await house.deal(64, 2.0, position=900)
    for profit_minor in (10_000, -2):
        await house.deal(64, -1.0, position=900, entry=events_pb2.DEAL_ENTRY_OUT, money=(profit_minor, 0, -6))
    return master


async def test_a_distribution_shows_each_way_and_each_payout(house, client):
    await two_closes(house)
    async with transaction(house.engine) as tx:
        query = "UPDATE payouts SET state = 4, reason = 'INSUFFICIENT_FUNDS' WHERE credit_account_id = 102"
        await tx.execute(text(query))
    newest, oldest = (await listed(client)).distributions
    assert (oldest.profit_minor, oldest.commission_minor, newest.profit_minor) == (10_000, -6, -2)
    assert (oldest.unpaid_count, oldest.refused_count, oldest.unpaid_minor) == (3, 1, 9_994)
    page = await shown(client, oldest.allocation_id, first_row_index=1, page_size=1)
    assert page.agrees
    (row,) = page.rows
    assert (row.account_id, row.proportion, page.whole) == (102, 333_333_333, 10**9)
    assert (row.profit_minor, row.commission_minor) == (3_333, -2)
    assert row.text == "profit 10000 × 0.333333333 ≈ 3333.3333 → 3333; commission -6 × 0.333333333 ≈ -2.0000 → -2"
    assert (row.payout_state, row.payout_reason) == (4, "INSUFFICIENT_FUNDS")
    assert list(page.opening_volumes_e8) == [200_000_000]


async def test_what_was_changed_in_the_store_does_not_agree(house, client):
    await two_closes(house)
    (_, oldest) = (await listed(client)).distributions
    async with transaction(house.engine) as tx:
        await tx.execute(text("UPDATE distributions SET profit_minor = 10100"))
    assert not (await shown(client, oldest.allocation_id)).agrees


async def test_pages_filters_and_who_owes(house, client):
    master = await two_closes(house)
    first = await listed(client, page_size=1)
    second = await listed(client, page_size=1, page_token=first.next_page_token)
    assert [page.distributions[0].profit_minor for page in (first, second)] == [-2, 10_000]
    assert second.next_page_token == ""
    assert len((await listed(client, master_id=master.master_id)).distributions) == 2
    assert len((await listed(client, master_id=master.master_id + 1)).distributions) == 0
    async with transaction(house.engine) as tx:
        await tx.execute(text(f"{PAY} WHERE allocation_id % 2 = 0"))
    unpaid = (await listed(client, only_unpaid=True)).distributions
    assert [row.allocation_id % 2 for row in unpaid] == [1]


async def test_other_labels_see_nothing_and_shapes_are_checked(house, client):
    await two_closes(house)
    (_, oldest) = (await listed(client)).distributions
    assert (await listed(client, label=2)).distributions == []
    with pytest.raises(NotFound):
        await shown(client, oldest.allocation_id, label=2)
    with pytest.raises(InvalidArgument):
        await shown(client, 0)
    with pytest.raises(InvalidArgument):
        await shown(client, 1, first_row_index=-1)


async def test_what_belongs_to_nobody_is_found(house, client):
    master = await two_closes(house)
    assert (await listed(client, only_undistributed=True)).distributions == []
    async with transaction(house.engine) as tx:
        await tx.execute(text("UPDATE subscriptions SET active = false"))
        await tx.execute(text("UPDATE masters SET set_version = set_version + 1"))
    await house.deal(64, 1.0, position=901)
    await house.deal(64, -1.0, position=901, entry=events_pb2.DEAL_ENTRY_OUT, money=(42, 0, 0))
    (found,) = (await listed(client, only_undistributed=True, master_id=master.master_id)).distributions
    assert (found.undistributed_minor, found.undistributed_reason, found.row_count) == (42, "INACTIVE", 0)


async def test_what_was_written_off_is_shown_apart(house, client):
    await two_closes(house)
    (_, oldest) = (await listed(client)).distributions
    async with transaction(house.engine) as tx:
        await tx.execute(
            text("UPDATE payouts SET state = 4, reason = 'ACCOUNT_NOT_OPEN' WHERE credit_account_id = 102")
        )
        await tx.execute(text("UPDATE payouts SET state = 5, next_time = NULL, settle_time = now() WHERE state = 4"))
    page = await shown(client, oldest.allocation_id)
    distribution = page.distribution
    assert (distribution.unpaid_count, distribution.refused_count, distribution.unpaid_minor) == (2, 0, 6_663)
    assert (distribution.written_off_count, distribution.written_off_minor) == (1, 3_331)
    assert page.rows[1].payout_state == distributions_pb2.PAYOUT_STATE_WRITTEN_OFF
