"""Each RPC through an in-process server, and each reason it refuses with."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from apportion.allocation.domain.accounts import AccountKind
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.methods import AllocationMethod
from apportion.allocation.servicers.allocations import AllocationsServicer
from apportion.allocation.servicers.masters import MastersServicer
from apportion.allocation.servicers.subscriptions import SubscriptionsServicer
from apportion.api.allocation.v1 import (
    allocations_pb2,
    allocations_pb2_grpc,
    masters_pb2,
    masters_pb2_grpc,
    subscriptions_pb2,
    subscriptions_pb2_grpc,
)
from apportion.errors import DomainError, IdempotencyKeyReused, InvalidArgument, NotFound, VersionConflict
from apportion.money import E8
from apportion.rpc import call_options
from apportion.testing.polling import PATIENCE_SECONDS
from apportion.testing.servers import running_server


class Client:
    """The three services as one caller sees them."""

    def __init__(self, channel) -> None:
        self.masters = masters_pb2_grpc.MastersServiceStub(channel)
        self.subscriptions = subscriptions_pb2_grpc.SubscriptionsServiceStub(channel)
        self.allocations = allocations_pb2_grpc.AllocationsServiceStub(channel)

    async def create_master(self, *, label=1, request_id=None, **fields) -> masters_pb2.Master:
        defaults = {
            "name": "Alpha",
            "account_type": masters_pb2.ACCOUNT_TYPE_MAM,
            "account_id": 64,
            "method": masters_pb2.ALLOCATION_METHOD_RATIO_MULTIPLIER,
        }
        request = masters_pb2.CreateMasterRequest(request_id=request_id or new_id(), **{**defaults, **fields})
        return (await self.masters.CreateMaster(request, **call_options(label, PATIENCE_SECONDS))).master

    async def subscribe(self, master_id, account_id=101, *, request_id=None, **fields):
        request = subscriptions_pb2.CreateSubscriptionRequest(
            request_id=request_id or new_id(), master_id=master_id, account_id=account_id, **fields
        )
        return (await self.subscriptions.CreateSubscription(request, **call_options(1, PATIENCE_SECONDS))).subscription

    async def allocate(self, master_id, *, request_id=None, **fields) -> allocations_pb2.AllocateTradeResponse:
        defaults = {
            "deal_ticket": 500,
            "position_ticket": 900,
            "symbol": "EURUSD",
            "volume_e8": E8,
            "price_e8": E8,
            "include_children": True,
        }
        request = allocations_pb2.AllocateTradeRequest(
            request_id=request_id or new_id(), master_id=master_id, **{**defaults, **fields}
        )
        return await self.allocations.AllocateTrade(request, **call_options(1, PATIENCE_SECONDS))


def new_id() -> str:
    return str(uuid.uuid4())


def refused(reason: str):
    class Check:
        def __enter__(self):
            self._raises = pytest.raises(DomainError)
            self.caught = self._raises.__enter__()
            return self.caught

        def __exit__(self, *error):
            done = self._raises.__exit__(*error)
            assert self.caught.value.reason == reason
            return done

    return Check()


@pytest.fixture
async def client(house) -> AsyncIterator[Client]:
    for account_id in (64, 65, 128):
        house.add_account(account_id, AccountKind.MASTER)
    for account_id in (101, 102, 103):
        house.add_account(account_id, AccountKind.INVESTMENT)

    def add(server) -> None:
        masters = MastersServicer(house.engine, house.accounts, house.positions, house.orders, house.desk, house.clock)
        masters_pb2_grpc.add_MastersServiceServicer_to_server(masters, server)
        subscriptions = SubscriptionsServicer(house.engine, house.desk, house.accounts, house.positions, house.clock)
        subscriptions_pb2_grpc.add_SubscriptionsServiceServicer_to_server(subscriptions, server)
        allocations = AllocationsServicer(house.engine, house.desk, house.clock)
        allocations_pb2_grpc.add_AllocationsServiceServicer_to_server(allocations, server)

    async with running_server(add) as channel:
        yield Client(channel)


class TestMasters:
    async def test_create_and_get(self, client):
        master = await client.create_master(account_type=masters_pb2.ACCOUNT_TYPE_COPY, method=8)
        assert master.state == masters_pb2.MASTER_STATE_ACTIVE
        assert master.rounding == masters_pb2.ROUNDING_POLICY_NEAREST
        assert (master.currency_code, master.account_login, master.wallet_account_id) == ("USD", 10_064, 500_064)
        assert master.listed_on_leaderboard
        request = masters_pb2.GetMasterRequest(master_id=master.master_id)
        assert (await client.masters.GetMaster(request, **call_options(1, PATIENCE_SECONDS))).master == master

    async def test_a_repeat_gives_the_stored_answer_and_other_content_is_refused(self, client):
        request_id = new_id()
        master = await client.create_master(request_id=request_id)
        assert await client.create_master(request_id=request_id) == master
        with pytest.raises(IdempotencyKeyReused):
            await client.create_master(request_id=request_id, name="Beta")

    async def test_another_labels_master_is_not_found(self, client):
        master = await client.create_master()
        with pytest.raises(NotFound):
            await client.masters.GetMaster(
                masters_pb2.GetMasterRequest(master_id=master.master_id), **call_options(2, 5)
            )

    @pytest.mark.parametrize(
        ("fields", "reason"),
        [
            ({"account_type": 2, "method": 4}, "ACCOUNT_TYPE_NOT_AVAILABLE"),
            ({"account_type": 1, "method": 4}, "METHOD_NOT_ALLOWED"),
            ({"method": 5, "rounding": 5}, "ROUNDING_NOT_ALLOWED"),
            ({"rounding": 1}, "ROUNDING_NOT_ALLOWED"),
            ({"account_id": 101}, "ACCOUNT_KIND_MISMATCH"),
            ({"account_id": 999}, "NOT_FOUND"),
            ({"request_id": "7"}, "REQUEST_ID_REQUIRED"),
        ],
    )
    async def test_refusals(self, client, fields, reason):
        with refused(reason):
            await client.create_master(**fields)

    async def test_all_bad_fields_are_told_at_once(self, client):
        with pytest.raises(InvalidArgument) as caught:
            await client.create_master(
                name="", account_type=0, account_id=0, method=99, rounding=77, min_follower_equity_minor=-1
            )
        fields = [violation.field for violation in caught.value.violations]
        assert fields == ["name", "account_type", "account_id", "method", "rounding", "min_follower_equity_minor"]

    async def test_name_and_account_are_taken_once(self, client):
        await client.create_master()
        with refused("MASTER_NAME_TAKEN"):
            await client.create_master(account_id=65)
        with refused("MASTER_ACCOUNT_TAKEN"):
            await client.create_master(name="Beta")

    async def test_list_pages_and_filters(self, client):
        first = await client.create_master()
        second = await client.create_master(name="Beta", account_id=65, listed_on_leaderboard=True)
        options = call_options(1, PATIENCE_SECONDS)
        page = await client.masters.ListMasters(masters_pb2.ListMastersRequest(page_size=1), **options)
        assert list(page.masters) == [first]
        rest = await client.masters.ListMasters(
            masters_pb2.ListMastersRequest(page_size=1, page_token=page.next_page_token), **options
        )
        assert (list(rest.masters), rest.next_page_token) == ([second], "")
        listed = masters_pb2.ListMastersRequest(only_listed_on_leaderboard=True)
        assert list((await client.masters.ListMasters(listed, **options)).masters) == [second]
        mine = masters_pb2.ListMastersRequest(wallet_account_id=first.wallet_account_id)
        assert list((await client.masters.ListMasters(mine, **options)).masters) == [first]
        with refused("PAGE_TOKEN_INVALID"):
            await client.masters.ListMasters(
                masters_pb2.ListMastersRequest(wallet_account_id=1, page_token=page.next_page_token), **options
            )

    async def test_halt_and_resume(self, client):
        master = await client.create_master()
        halt = masters_pb2.HaltMasterRequest(request_id=new_id(), master_id=master.master_id, cause="risk/trip/1")
        halted = (await client.masters.HaltMaster(halt, **call_options(1, PATIENCE_SECONDS))).master
        assert (halted.state, halted.halt_cause) == (masters_pb2.MASTER_STATE_HALTED, "risk/trip/1")
        assert halted.etag != master.etag
        resume = masters_pb2.ResumeMasterRequest(request_id=new_id(), master_id=master.master_id, cause="else")
        with refused("HALT_CAUSE_MISMATCH"):
            await client.masters.ResumeMaster(resume, **call_options(1, PATIENCE_SECONDS))
        resume.cause = "risk/trip/1"
        resumed = (await client.masters.ResumeMaster(resume, **call_options(1, PATIENCE_SECONDS))).master
        assert (resumed.state, resumed.halt_cause) == (masters_pb2.MASTER_STATE_ACTIVE, "")
        assert (await client.masters.HaltMaster(halt, **call_options(1, PATIENCE_SECONDS))).master == halted

    async def test_update_master(self, client, house):
        master = await client.create_master()

        async def update(**fields) -> masters_pb2.Master:
            request = masters_pb2.UpdateMasterRequest(request_id=new_id(), master_id=master.master_id, **fields)
            return (await client.masters.UpdateMaster(request, **call_options(1, PATIENCE_SECONDS))).master

        changed = await update(name="Omega", min_follower_equity_minor=500, etag=master.etag)
        assert (changed.name, changed.min_follower_equity_minor, changed.etag != master.etag) == ("Omega", 500, True)
        with pytest.raises(VersionConflict):
            await update(name="Psi", etag=master.etag)
        divides = await update(method=masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_EQUITY)
        assert divides.rounding == masters_pb2.ROUNDING_POLICY_NEAREST_LARGEST
        profit = masters_pb2.ALLOCATION_MODE_PROFIT
        assert (await update(allocation_mode=profit)).allocation_mode == profit
        with refused("POOLED_ONLY"):
            await update(method=masters_pb2.ALLOCATION_METHOD_RATIO_MULTIPLIER)
        await client.subscribe(master.master_id)
        await house.deal(64, 1.0, position=900)
        for terms in ({"allocation_mode": masters_pb2.ALLOCATION_MODE_TRADES}, {"artificial_symbol": "OTHER"}):
            with refused("OPEN_TRADES"):
                await update(**terms)
        same_family = masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_PERCENT
        assert (await update(method=same_family)).method == same_family

    async def test_update_of_another_labels_master(self, client):
        master = await client.create_master()
        request = masters_pb2.UpdateMasterRequest(request_id=new_id(), master_id=master.master_id, name="Mine")
        with pytest.raises(NotFound):
            await client.masters.UpdateMaster(request, **call_options(2, 5))


class TestSubscriptions:
    async def test_create_get_and_count(self, client):
        master = await client.create_master()
        subscription = await client.subscribe(master.master_id)
        assert (subscription.active, subscription.ratio_e8, subscription.account_login) == (True, E8, 10_101)
        request = subscriptions_pb2.GetSubscriptionRequest(subscription_id=subscription.subscription_id)
        answer = await client.subscriptions.GetSubscription(request, **call_options(1, PATIENCE_SECONDS))
        assert answer.subscription == subscription
        with pytest.raises(NotFound):
            await client.subscriptions.GetSubscription(request, **call_options(2, 5))
        again = masters_pb2.GetMasterRequest(master_id=master.master_id)
        found = await client.masters.GetMaster(again, **call_options(1, PATIENCE_SECONDS))
        assert found.master.active_subscription_count == 1

    async def test_refusals(self, client, house):
        master = await client.create_master(min_follower_equity_minor=50)
        copy = await client.create_master(name="Copy", account_id=65, account_type=1, method=8)
        await client.subscribe(master.master_id)
        house.accounts.known[1, 110] = house.add_account(110, AccountKind.INVESTMENT, equity_minor=49)
        for account_id, changes, reason in [
            (101, {}, "SUBSCRIPTION_EXISTS"),
            (64, {}, "SELF_SUBSCRIPTION"),
            (65, {}, "ACCOUNT_KIND_MISMATCH"),
            (999, {}, "NOT_FOUND"),
            (102, {"ratio_e8": -1}, "RATIO_RANGE"),
            (102, {"lot_e8": -1}, "FIELD_INVALID"),
            (0, {}, "FIELD_INVALID"),
            (110, {}, "FOLLOWER_EQUITY"),
        ]:
            with refused(reason):
                await client.subscribe(master.master_id, account_id, **changes)
        with refused("SEVERAL_MASTERS"):
            await client.subscribe(copy.master_id, 101)
        with refused("NOT_FOUND"):
            await client.subscribe(12_345, 102)

    async def test_list(self, client):
        master = await client.create_master()
        first, second = await client.subscribe(master.master_id), await client.subscribe(master.master_id, 102)
        options = call_options(1, PATIENCE_SECONDS)
        page = await client.subscriptions.ListSubscriptions(
            subscriptions_pb2.ListSubscriptionsRequest(master_id=master.master_id, page_size=1), **options
        )
        assert list(page.subscriptions) == [first]
        rest = await client.subscriptions.ListSubscriptions(
            subscriptions_pb2.ListSubscriptionsRequest(
                master_id=master.master_id, page_size=1, page_token=page.next_page_token
            ),
            **options,
        )
        assert list(rest.subscriptions) == [second]
        mine = subscriptions_pb2.ListSubscriptionsRequest(wallet_account_id=second.wallet_account_id)
        assert list((await client.subscriptions.ListSubscriptions(mine, **options)).subscriptions) == [second]

    async def test_update_and_old_etag(self, client):
        master = await client.create_master()
        before = await client.subscribe(master.master_id)
        request = subscriptions_pb2.UpdateSubscriptionRequest(
            request_id=new_id(),
            subscription_id=before.subscription_id,
            active=False,
            ratio_e8=2 * E8,
            etag=before.etag,
        )
        after = (
            await client.subscriptions.UpdateSubscription(request, **call_options(1, PATIENCE_SECONDS))
        ).subscription
        assert (after.active, after.ratio_e8, after.etag != before.etag) == (False, 2 * E8, True)
        request.request_id = new_id()
        with pytest.raises(VersionConflict):
            await client.subscriptions.UpdateSubscription(request, **call_options(1, PATIENCE_SECONDS))
        request.request_id, request.etag, request.ratio_e8 = new_id(), "", 0
        with refused("RATIO_RANGE"):
            await client.subscriptions.UpdateSubscription(request, **call_options(1, PATIENCE_SECONDS))

    async def test_settings_travel_whole(self, client):
        master = await client.create_master()
        settings = subscriptions_pb2.CopySettings(
            direction_filter=subscriptions_pb2.DIRECTION_FILTER_BUY_ONLY,
            reverse=True,
            denied_symbols=["GBPUSD", "AUDUSD"],
            symbol_map={"EURUSD": "EURUSD.m"},
            max_lot_e8=5 * E8,
            max_open_positions=3,
            max_slippage_points=20,
            max_age_ms=2_000,
            round_up_to_min=True,
            leave_policy=subscriptions_pb2.LEAVE_POLICY_DETACH,
        )
        subscription = await client.subscribe(master.master_id, settings=settings, lot_mode=2)
        settings.denied_symbols.sort()
        assert (subscription.settings, subscription.lot_mode) == (settings, subscriptions_pb2.LOT_MODE_FIXED)
        request = subscriptions_pb2.UpdateSubscriptionRequest(
            request_id=new_id(), subscription_id=subscription.subscription_id, settings={"max_lot_e8": -1}
        )
        with refused("FIELD_INVALID"):
            await client.subscriptions.UpdateSubscription(request, **call_options(1, PATIENCE_SECONDS))
        request.settings.Clear()
        request.request_id = new_id()
        request.settings.SetInParent()
        after = (
            await client.subscriptions.UpdateSubscription(request, **call_options(1, PATIENCE_SECONDS))
        ).subscription
        assert after.settings == subscriptions_pb2.CopySettings(leave_policy=subscriptions_pb2.LEAVE_POLICY_CLOSE)

    async def test_many_are_changed_together_or_not_at_all(self, client, house):
        master = await house.master(AllocationMethod.DIVIDE_BY_PERCENT)
        first = await client.subscribe(master.master_id, 101, percent_e8=30 * E8)
        second = await client.subscribe(master.master_id, 102, percent_e8=70 * E8)
        with refused("PERCENT_SUM"):
            await client.subscribe(master.master_id, 103, percent_e8=1)

        async def change(*changes, request_id=None):
            request = subscriptions_pb2.BatchUpdateSubscriptionsRequest(
                request_id=request_id or new_id(), master_id=master.master_id
            )
            for subscription, fields in changes:
                request.changes.add(subscription_id=subscription, **fields)
            return await client.subscriptions.BatchUpdateSubscriptions(request, **call_options(1, PATIENCE_SECONDS))

        one, two = first.subscription_id, second.subscription_id
        answer = await change((one, {"percent_e8": 60 * E8}), (two, {"percent_e8": 40 * E8, "lot_e8": E8}))
        assert (answer.changed_count, answer.percent_sum_e8, answer.lot_sum_e8) == (2, 100 * E8, E8)
        for changes, reason in (
            ([(one, {"percent_e8": 61 * E8})], "PERCENT_SUM"),
            ([(one, {"active": False}), (99_999, {"active": False})], "NOT_FOUND"),
            ([(one, {"active": False}), (two, {"etag": first.etag, "ratio_e8": E8})], "VERSION_CONFLICT"),
            ([(one, {"active": False}), (two, {"ratio_e8": 0})], "RATIO_RANGE"),
            ([(one, {}), (one, {})], "FIELD_INVALID"),
            ([], "FIELD_INVALID"),
        ):
            with refused(reason):
                await change(*changes)
        get = subscriptions_pb2.GetSubscriptionRequest(subscription_id=one)
        found = (await client.subscriptions.GetSubscription(get, **call_options(1, PATIENCE_SECONDS))).subscription
        assert (found.active, found.percent_e8) == (True, 60 * E8)

    async def test_ended_subscriptions_are_listed_on_demand_and_stay_as_they_are(self, client):
        master = await client.create_master()
        subscription = await client.subscribe(master.master_id)
        request = subscriptions_pb2.EndSubscriptionRequest(
            request_id=new_id(), subscription_id=subscription.subscription_id
        )
        options = call_options(1, PATIENCE_SECONDS)
        ended = (await client.subscriptions.EndSubscription(request, **options)).subscription
        assert (ended.state, ended.active) == (subscriptions_pb2.SUBSCRIPTION_STATE_ENDED, False)
        assert (await client.subscriptions.EndSubscription(request, **options)).subscription == ended
        request.request_id = new_id()
        with refused("SUBSCRIPTION_ENDED"):
            await client.subscriptions.EndSubscription(request, **options)
        with refused("SUBSCRIPTION_ENDED"):
            await client.subscriptions.UpdateSubscription(
                subscriptions_pb2.UpdateSubscriptionRequest(
                    request_id=new_id(), subscription_id=subscription.subscription_id, active=True
                ),
                **options,
            )
        again = await client.subscribe(master.master_id)
        listing = subscriptions_pb2.ListSubscriptionsRequest(master_id=master.master_id)
        assert list((await client.subscriptions.ListSubscriptions(listing, **options)).subscriptions) == [again]
        listing.include_ended = True
        both = (await client.subscriptions.ListSubscriptions(listing, **options)).subscriptions
        assert list(both) == [ended, again]


class TestAllocations:
    async def followed_master(self, client, **fields):
        master = await client.create_master(**fields)
        await client.subscribe(master.master_id, 101, ratio_e8=130_000_000)
        await client.subscribe(master.master_id, 102, ratio_e8=250_000_000)
        return master

    async def test_allocate_get_list_explain(self, client):
        master = await self.followed_master(client)
        answer = await client.allocate(master.master_id)
        assert list(answer.children.volumes_e8) == [130_000_000, 250_000_000]
        assert list(answer.children.account_ids) == [101, 102]
        allocation_id, options = answer.allocation.allocation_id, call_options(1, PATIENCE_SECONDS)
        got = await client.allocations.GetAllocation(
            allocations_pb2.GetAllocationRequest(
                allocation_id=allocation_id, include_children=True, first_child_index=1
            ),
            **options,
        )
        assert got.allocation == answer.allocation
        assert list(got.children.volumes_e8) == [250_000_000]
        listed = await client.allocations.ListAllocations(allocations_pb2.ListAllocationsRequest(), **options)
        assert list(listed.allocations) == [answer.allocation]
        explained = await client.allocations.ExplainAllocation(
            allocations_pb2.ExplainAllocationRequest(allocation_id=allocation_id), **options
        )
        assert explained.agrees
        first = explained.children[0]
        assert (first.exact_numerator, first.exact_denominator) == ("130000000", "1")
        assert first.stored_volume_e8 == first.recomputed_volume_e8 == 130_000_000
        assert first.text == "1 lot × 1.3 = 1.3 → 1.3 lot by NEAREST, step 0.01"

    async def test_the_same_deal_is_answered_from_the_store_and_another_is_a_conflict(self, client):
        master = await self.followed_master(client)
        request_id = new_id()
        first = await client.allocate(master.master_id, request_id=request_id)
        assert await client.allocate(master.master_id, request_id=request_id) == first
        assert await client.allocate(master.master_id) == first
        for other in ({"volume_e8": 2 * E8}, {"price_e8": 1}, {"position_ticket": 901}):
            with refused("DEAL_CONFLICT"):
                await client.allocate(master.master_id, **other)

    @pytest.mark.parametrize(
        ("fields", "reason"),
        [
            ({"volume_e8": 0}, "VOLUME_STEP"),
            ({"volume_e8": E8 + 1}, "VOLUME_STEP"),
            ({"symbol": "XAUUSD"}, "SYMBOL_UNKNOWN"),
            ({"symbol": ""}, "FIELD_INVALID"),
            ({"master_id": 99}, "NOT_FOUND"),
            ({"deal_ticket": 0, "position_ticket": -1, "price_e8": -1}, "FIELD_INVALID"),
            ({"price_e8": 0}, "FIELD_INVALID"),
        ],
    )
    async def test_refusals(self, client, fields, reason):
        master = await self.followed_master(client)
        fields = dict(fields)
        with refused(reason):
            await client.allocate(fields.pop("master_id", master.master_id), **fields)

    async def test_preview(self, client):
        master = await self.followed_master(client)
        request = allocations_pb2.PreviewTradeRequest(
            master_id=master.master_id, symbol="EURUSD", volume_e8=E8, include_children=True
        )
        options = call_options(1, PATIENCE_SECONDS)
        answer = await client.allocations.PreviewTrade(request, **options)
        assert list(answer.children.volumes_e8) == [130_000_000, 250_000_000]
        assert (answer.allocation.allocation_id, answer.allocation.child_count) == (0, 2)
        assert not answer.allocation.HasField("decide_time")
        listed = await client.allocations.ListAllocations(allocations_pb2.ListAllocationsRequest(), **options)
        assert list(listed.allocations) == []
        for fields, reason in (
            ({"symbol": "NONE"}, "SYMBOL_UNKNOWN"),
            ({"volume_e8": 1}, "VOLUME_STEP"),
            ({"master_id": 999}, "NOT_FOUND"),
            ({"master_id": 0}, "FIELD_INVALID"),
        ):
            changed = allocations_pb2.PreviewTradeRequest()
            changed.CopyFrom(request)
            for name, value in fields.items():
                setattr(changed, name, value)
            with refused(reason):
                await client.allocations.PreviewTrade(changed, **options)

    async def test_zero_base(self, client, house):
        master = await self.followed_master(client, method=4)
        house.states.equities_minor.update({101: 0, 102: -5})
        with refused("ZERO_BASE"):
            await client.allocate(master.master_id)
        listed = await client.allocations.ListAllocations(
            allocations_pb2.ListAllocationsRequest(), **call_options(1, PATIENCE_SECONDS)
        )
        assert not listed.allocations

    async def test_explanations_name_the_exact_fraction_and_the_reason(self, client, house):
        house.symbols.grids["EURUSD"] = SymbolGrid(E8 // 10, E8 // 10, 100 * E8)
        master = await client.create_master(account_type=1, method=8)
        await client.subscribe(master.master_id, 101)
        await client.subscribe(master.master_id, 102)
        house.states.equities_minor.update({64: 300, 101: 200, 102: 1})
        answer = await client.allocate(master.master_id)
        explained = await client.allocations.ExplainAllocation(
            allocations_pb2.ExplainAllocationRequest(allocation_id=answer.allocation.allocation_id),
            **call_options(1, PATIENCE_SECONDS),
        )
        assert explained.agrees
        assert (explained.master_basis, explained.volume_step_e8) == (300, E8 // 10)
        child, skipped = explained.children
        assert (child.basis, child.exact_numerator, child.exact_denominator) == (200, "200000000", "3")
        assert child.text == "1 lot × 200 / 300 × 1 ≈ 0.66666666 → 0.7 lot by NEAREST, step 0.1"
        assert skipped.skip_reason == allocations_pb2.SKIP_REASON_BELOW_MIN_LOT
        assert skipped.text.endswith("→ 0 lot by NEAREST, step 0.1 (BELOW_MIN_LOT)")

    async def test_list_child_trades(self, client, house):
        master = await self.followed_master(client)
        await house.deal(64, 1.0, position=900)
        (batch,) = await house.dispatch()
        await house.fill(batch, first_position=5_000)
        options = call_options(1, PATIENCE_SECONDS)
        request = allocations_pb2.ListChildTradesRequest(master_id=master.master_id, only_open=True, page_size=1)
        page = await client.allocations.ListChildTrades(request, **options)
        (newest,) = page.child_trades
        assert (newest.account_id, newest.position_ticket, newest.open_volume_e8) == (102, 5_001, 250_000_000)
        assert newest.state == allocations_pb2.CHILD_TRADE_STATE_FILLED
        request.page_token = page.next_page_token
        rest = await client.allocations.ListChildTrades(request, **options)
        assert [child.account_id for child in rest.child_trades] == [101]
        other = await client.allocations.ListChildTrades(
            allocations_pb2.ListChildTradesRequest(master_id=12_345), **options
        )
        assert not other.child_trades
        with refused("FIELD_INVALID"):
            await client.allocations.ListChildTrades(
                allocations_pb2.ListChildTradesRequest(subscription_id=-1), **options
            )

    async def test_another_labels_allocation_is_not_found(self, client):
        master = await self.followed_master(client)
        allocation_id = (await client.allocate(master.master_id)).allocation.allocation_id
        for call, request in (
            (client.allocations.GetAllocation, allocations_pb2.GetAllocationRequest(allocation_id=allocation_id)),
            (
                client.allocations.ExplainAllocation,
                allocations_pb2.ExplainAllocationRequest(allocation_id=allocation_id),
            ),
        ):
            with pytest.raises(NotFound):
                await call(request, **call_options(2, 5))
