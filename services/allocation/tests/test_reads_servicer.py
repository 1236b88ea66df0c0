"""What a dealing desk reads, through an in-process server, and each reason it is refused with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from apportion.allocation.domain.copy_settings import CopySettings
from apportion.allocation.domain.methods import AllocationMethod
from apportion.allocation.servicers.allocations import AllocationsServicer
from apportion.allocation.servicers.masters import MastersServicer
from apportion.allocation.storage import fairness_spans
from apportion.api.allocation.v1 import allocations_pb2 as pb
from apportion.api.allocation.v1 import allocations_pb2_grpc, masters_pb2, masters_pb2_grpc
from apportion.errors import DomainError, InvalidArgument, NotFound
from apportion.money import E8
from apportion.rpc import call_options, to_timestamp
from apportion.testing.polling import PATIENCE_SECONDS
from apportion.testing.servers import running_server

M = AllocationMethod


class Desk:
    """The reads as one caller sees them."""

    def __init__(self, channel) -> None:
        self._allocations = allocations_pb2_grpc.AllocationsServiceStub(channel)
        self._masters = masters_pb2_grpc.MastersServiceStub(channel)

    async def children(self, *, label=1, **fields) -> pb.ListChildTradesResponse:
        return await self._allocations.ListChildTrades(
            pb.ListChildTradesRequest(**fields), **call_options(label, PATIENCE_SECONDS)
        )

    async def trades(self, *, label=1, **fields) -> pb.ListMasterTradesResponse:
        return await self._allocations.ListMasterTrades(
            pb.ListMasterTradesRequest(**fields), **call_options(label, PATIENCE_SECONDS)
        )

    async def fairness(self, *, label=1, **fields) -> pb.GetFairnessReportResponse:
        request = pb.GetFairnessReportRequest(**fields)
        return await self._allocations.GetFairnessReport(request, **call_options(label, PATIENCE_SECONDS))

    async def allocations(self, **fields) -> list[int]:
        answer = await self._allocations.ListAllocations(
            pb.ListAllocationsRequest(**fields), **call_options(1, PATIENCE_SECONDS)
        )
        return [allocation.position_ticket for allocation in answer.allocations]

    async def allocation(self, **fields) -> pb.GetAllocationResponse:
        return await self._allocations.GetAllocation(
            pb.GetAllocationRequest(**fields), **call_options(1, PATIENCE_SECONDS)
        )

    async def summary(self, master_id: int, *, label=1) -> masters_pb2.GetMasterSummaryResponse:
        request = masters_pb2.GetMasterSummaryRequest(master_id=master_id)
        return await self._masters.GetMasterSummary(request, **call_options(label, PATIENCE_SECONDS))


@pytest.fixture
async def desk(house) -> AsyncIterator[Desk]:
    def add(server) -> None:
        masters = MastersServicer(house.engine, house.accounts, house.positions, house.orders, house.desk, house.clock)
        masters_pb2_grpc.add_MastersServiceServicer_to_server(masters, server)
        allocations = AllocationsServicer(house.engine, house.desk, house.clock)
        allocations_pb2_grpc.add_AllocationsServiceServicer_to_server(allocations, server)

    async with running_server(add) as channel:
        yield Desk(channel)


async def opened(house, *, method=M.DIVIDE_BY_LOT, positions=(900,), **settings):
    master = await house.master(method)
    for account_id in (101, 102):
        await house.follower(master, account_id, lot_e8=E8, settings=CopySettings(**settings))
    for position in positions:
        await house.deal(64, 1.0, position=position)
        (batch,) = await house.dispatch()
        await house.fill(batch, first_position=position * 10)
    return master


class TestChildTrades:
    async def test_a_row_names_its_masters_position_and_its_login(self, house, desk):
        await opened(house)
        newest, _ = (await desk.children()).child_trades
        assert (newest.master_position_ticket, newest.account_login, newest.position_ticket) == (900, 10_102, 9_001)
        assert not newest.mismatches

    async def test_filters(self, house, desk):
        await opened(house, positions=(900, 901))
        await house.deal(101, -0.5, position=9_000, entry=2)
        later = to_timestamp(house.clock.now() + timedelta(seconds=1))
        for filters, count in (
            ({"states": [pb.CHILD_TRADE_STATE_CLOSED]}, 1),
            ({"states": [pb.CHILD_TRADE_STATE_FILLED, pb.CHILD_TRADE_STATE_CLOSED]}, 4),
            ({"states": [pb.CHILD_TRADE_STATE_SENT]}, 0),
            ({"symbol": "EURUSD"}, 4),
            ({"symbol": "GBPUSD"}, 0),
            ({"master_position_ticket": 901}, 2),
            ({"start_time": later}, 0),
            ({"end_time": later}, 4),
            ({"only_open": True}, 3),
            ({"only_mismatched": True}, 0),
            ({"label": 2}, 0),
        ):
            assert len((await desk.children(**filters)).child_trades) == count, filters

    async def test_who_was_cut_by_a_limit_is_told_and_can_be_asked_for(self, house, desk):
        master = await house.master(M.RATIO_MULTIPLIER)
        await house.follower(master, 101, settings=CopySettings(max_lot_e8=E8 // 4))
        await house.follower(master, 102)
        await house.deal(64, 1.0, position=900)
        await house.dispatch()
        await house.project()
        whole, cut = (await desk.children()).child_trades
        assert (whole.account_id, whole.volume_e8, whole.skip_reason) == (102, E8, pb.SKIP_REASON_UNSPECIFIED)
        assert (cut.account_id, cut.volume_e8, cut.skip_reason) == (101, E8 // 4, pb.SKIP_REASON_CAPPED)
        assert list((await desk.children(skip_reason=pb.SKIP_REASON_CAPPED)).child_trades) == [cut]
        assert not (await desk.children(skip_reason=pb.SKIP_REASON_BELOW_MIN_LOT)).child_trades

    async def test_pages_of_groups(self, house, desk):
        await opened(house, positions=(900, 901))
        seen, token = [], ""
        while True:
            page = await desk.children(grouping=pb.CHILD_TRADE_GROUPING_SUBSCRIPTION, page_size=3, page_token=token)
            seen += [(child.account_id, child.master_position_ticket) for child in page.child_trades]
            token = page.next_page_token
            if not token:
                break
        assert seen == [(102, 901), (102, 900), (101, 901), (101, 900)]
        with pytest.raises(DomainError) as caught:
            first = await desk.children(page_size=1)
            await desk.children(page_size=1, page_token=first.next_page_token, symbol="EURUSD")
        assert caught.value.reason == "PAGE_TOKEN_INVALID"

    async def test_all_bad_fields_are_told_at_once(self, desk):
        with pytest.raises(InvalidArgument) as caught:
            await desk.children(master_id=-1, symbol="X" * 100, states=[99], grouping=9, skip_reason=99)
        fields = [violation.field for violation in caught.value.violations]
        assert fields == ["master_id", "symbol", "states[0]", "grouping", "skip_reason"]
        with pytest.raises(DomainError) as caught:
            await desk.children(start_time=Timestamp(nanos=-1))
        assert caught.value.reason == "TIMESTAMP_INVALID"


class TestMasterTrades:
    async def test_rows_and_pages(self, house, desk):
        master = await opened(house, positions=(900, 901))
        page = await desk.trades(page_size=1)
        (row,) = page.master_trades
        assert (row.master_id, row.position_ticket, row.symbol) == (master.master_id, 901, "EURUSD")
        assert row.open_volume_e8 == row.expected_volume_e8 == row.actual_volume_e8 == E8
        assert (row.child_count, row.open_child_count, row.method) == (
            2,
            2,
            masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_LOT,
        )
        assert row.HasField("open_time")
        rest = await desk.trades(page_size=1, page_token=page.next_page_token)
        assert [row.position_ticket for row in rest.master_trades] == [900]
        assert not rest.next_page_token
        assert not (await desk.trades(label=2, include_closed=True)).master_trades

    async def test_flags(self, house, desk):
        await opened(house, max_lot_e8=E8 // 4)
        (row,) = (await desk.trades(only_mismatched=True)).master_trades
        assert list(row.mismatches) == [pb.MISMATCH_UNALLOCATED_REST]

    async def test_refusals(self, desk):
        with pytest.raises(InvalidArgument):
            await desk.trades(master_id=-1)


class TestSummary:
    async def test_sums_over_the_active_ones(self, house, desk):
        master = await house.master(M.DIVIDE_BY_PERCENT)
        for account_id, percent in ((101, 30), (102, 40)):
            await house.follower(
                master, account_id, percent_e8=percent * E8, lot_e8=E8, equity_minor=1_000 * account_id
            )
        house.states.margins_minor[101] = 1_000
        summary = await desk.summary(master.master_id)
        assert (summary.subscription_count, summary.active_count) == (2, 2)
        assert (summary.lot_sum_e8, summary.percent_sum_e8) == (2 * E8, 70 * E8)
        assert (summary.balance_sum_minor, summary.equity_sum_minor) == (203_000, 203_000)
        assert (summary.margin_sum_minor, summary.free_margin_sum_minor) == (1_000, 202_000)
        assert list(summary.warnings) == [masters_pb2.SUMMARY_WARNING_PERCENT_BELOW_100]
        assert summary.observed_time == to_timestamp(house.clock.now())

    async def test_states_that_are_missing_or_too_old(self, house, desk):
        master = await house.master(M.DIVIDE_BY_LOT)
        await house.follower(master, 101)
        await house.follower(master, 102)
        del house.states.equities_minor[102]
        no_lot, stale = masters_pb2.SUMMARY_WARNING_NO_LOT, masters_pb2.SUMMARY_WARNING_STALE_STATES
        summary = await desk.summary(master.master_id)
        assert (summary.equity_sum_minor, list(summary.warnings)) == (100_000, [no_lot, stale])
        house.states.observed_time = house.clock.now() - timedelta(seconds=11)
        summary = await desk.summary(master.master_id)
        assert (summary.equity_sum_minor, list(summary.warnings)) == (0, [no_lot, stale])
        assert not summary.HasField("observed_time")

    async def test_nobody_is_no_warning(self, house, desk):
        master = await house.master()
        summary = await desk.summary(master.master_id)
        assert (summary.active_count, list(summary.warnings), summary.HasField("observed_time")) == (0, [], False)

    async def test_refusals(self, house, desk):
        master = await house.master()
        with pytest.raises(NotFound):
            await desk.summary(master.master_id, label=2)
        with pytest.raises(InvalidArgument):
            await desk.summary(0)


class TestFairness:
    async def test_rows_from_an_index_on(self, house, desk):
        master = await opened(house)
        span = {
            "start_time": to_timestamp(house.clock.now()),
            "end_time": to_timestamp(house.clock.now() + timedelta(days=1)),
        }
        report = await desk.fairness(master_id=master.master_id, **span)
        assert (report.row_count, report.decision_count) == (2, 1)
        first, second = report.rows
        assert (first.account_login, first.trade_count, first.owed_volume_e8) == (10_101, 1, 0)
        assert first.exact_volume_e8 == first.allotted_volume_e8 == E8 // 2
        assert await desk.fairness(master_id=master.master_id) == report
        rest = await desk.fairness(master_id=master.master_id, **span, first_row_index=1)
        assert (list(rest.rows), rest.row_count) == ([second], 2)

    async def test_refusals(self, house, desk, monkeypatch):
        master = await opened(house)
        now, later = to_timestamp(house.clock.now()), to_timestamp(house.clock.now() + timedelta(days=1))
        with pytest.raises(InvalidArgument) as caught:
            await desk.fairness(master_id=0, first_row_index=-1)
        fields = [violation.field for violation in caught.value.violations]
        assert fields == ["master_id", "first_row_index"]
        for span, error, reason in (
            ((later, now), InvalidArgument, "FIELD_INVALID"),
            ((Timestamp(nanos=-1), later), DomainError, "TIMESTAMP_INVALID"),
        ):
            with pytest.raises(error) as caught:
                await desk.fairness(master_id=master.master_id, start_time=span[0], end_time=span[1])
            assert caught.value.reason == reason
        with pytest.raises(NotFound):
            await desk.fairness(master_id=master.master_id, start_time=now, end_time=later, label=2)
        monkeypatch.setattr(fairness_spans, "MOST_ROWS", 1)
        with pytest.raises(DomainError) as caught:
            await desk.fairness(master_id=master.master_id, start_time=now, end_time=later)
        assert caught.value.reason == "SPAN_TOO_LONG"


class TestSkipped:
    async def test_allocations_by_reason_and_by_rest(self, house, desk):
        master = await opened(house, positions=(900,))
        await house.follower(master, 103, lot_e8=0)
        await house.deal(64, 1.0, position=901)
        await house.deal(64, 300.0, position=902)
        below, capped = pb.SKIP_REASON_BELOW_MIN_LOT, pb.SKIP_REASON_CAPPED
        assert await desk.allocations() == [902, 901, 900]
        assert await desk.allocations(skip_reason=below) == [902, 901]
        assert await desk.allocations(skip_reason=capped) == [902]
        assert await desk.allocations(skip_reason=pb.SKIP_REASON_STALE_STATE) == []
        assert await desk.allocations(only_unallocated=True) == [902]
        with pytest.raises(InvalidArgument):
            await desk.allocations(skip_reason=99)

    async def test_the_skipped_of_one_allocation_in_pages(self, house, desk):
        master = await house.master()
        for account_id in (101, 102, 103):
            await house.follower(master, account_id, ratio_e8=1 if account_id > 101 else E8)
        await house.deal(64, 1.0, position=900)
        (allocation,) = house.waiting
        ask = {"allocation_id": allocation.allocation_id, "include_children": True}
        everybody = (await desk.allocation(**ask)).children
        assert list(everybody.skip_reasons) == [0, pb.SKIP_REASON_BELOW_MIN_LOT, pb.SKIP_REASON_BELOW_MIN_LOT]
        skipped = (await desk.allocation(**ask, only_skipped=True)).children
        assert list(skipped.account_ids) == [102, 103]
        rest = (await desk.allocation(**ask, only_skipped=True, first_child_index=1)).children
        assert (list(rest.account_ids), list(rest.volumes_e8)) == ([103], [0])
