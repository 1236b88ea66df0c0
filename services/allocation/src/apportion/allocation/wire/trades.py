"""Trades of masters and of children, as a dealing desk lists them."""

from __future__ import annotations

from apportion.allocation.domain.child_listing import ChildTradeFilter, ChildTradeGrouping, ChildTradeRow
from apportion.allocation.domain.child_trades import ChildTradeState
from apportion.allocation.domain.copy_settings import SYMBOL_LENGTH
from apportion.allocation.domain.master_trades import MasterTradeFilter, MasterTradeRow
from apportion.allocation.domain.reasons import SkipReason
from apportion.api.allocation.v1 import allocations_pb2
from apportion.rpc import Problems, from_timestamp, parse_filters, to_timestamp


def parse_child_trade_filter(request: allocations_pb2.ListChildTradesRequest) -> ChildTradeFilter:
    problems = Problems()
    for field in ("master_id", "allocation_id", "subscription_id", "master_position_ticket"):
        problems.not_negative(getattr(request, field), field)
    problems.require(len(request.symbol) <= SYMBOL_LENGTH, "symbol", f"must have at most {SYMBOL_LENGTH} characters")
    for index, state in enumerate(request.states):
        problems.one_of(state, set(ChildTradeState), f"states[{index}]")
    problems.one_of(request.grouping, set(ChildTradeGrouping), "grouping")
    problems.one_of(request.skip_reason, set(SkipReason), "skip_reason")
    problems.raise_if_any()
    return ChildTradeFilter(
        master_id=request.master_id,
        allocation_id=request.allocation_id,
        subscription_id=request.subscription_id,
        master_position_ticket=request.master_position_ticket,
        symbol=request.symbol,
        skip_reason=SkipReason(request.skip_reason),
        states=tuple(sorted({ChildTradeState(state) for state in request.states})),
        start_time=from_timestamp(request.start_time, "start_time") if request.HasField("start_time") else None,
        end_time=from_timestamp(request.end_time, "end_time") if request.HasField("end_time") else None,
        only_open=request.only_open,
        only_mismatched=request.only_mismatched,
        include_foreign=request.include_foreign,
        grouping=ChildTradeGrouping(request.grouping),
    )


def parse_master_trade_filter(request: allocations_pb2.ListMasterTradesRequest) -> MasterTradeFilter:
    parse_filters(master_id=request.master_id)
    return MasterTradeFilter(request.master_id, request.include_closed, request.only_mismatched)


def render_child_trade(row: ChildTradeRow) -> allocations_pb2.ChildTrade:
    child = row.child
    return allocations_pb2.ChildTrade(
        child_trade_id=child.child_trade_id,
        allocation_id=child.allocation_id,
        master_id=child.master_id,
        subscription_id=child.subscription_id,
        account_id=child.account_id,
        symbol=child.symbol,
        state=child.state,  # type: ignore[arg-type]  # the numbers are the same
        reason=child.reason,
        volume_e8=child.shown_e8(child.volume_e8),
        filled_volume_e8=child.shown_e8(child.filled_volume_e8),
        open_volume_e8=child.shown_e8(child.open_volume_e8),
        open_price_e8=child.open_price_e8,
        position_ticket=child.position_ticket,
        create_time=to_timestamp(child.create_time),
        master_position_ticket=child.master_position_ticket,
        account_login=child.account_login,
        mismatches=row.mismatches,  # type: ignore[arg-type]
        proportion_e9=child.proportion_e9,
        floating_profit_minor=child.floating_profit_minor,
        skip_reason=child.skip_reason,  # type: ignore[arg-type]
    )


def render_master_trade(row: MasterTradeRow) -> allocations_pb2.MasterTrade:
    facts = row.facts
    return allocations_pb2.MasterTrade(
        master_id=row.master_id,
        position_ticket=row.position_ticket,
        symbol=row.symbol,
        open_volume_e8=row.direction * facts.open_volume_e8,
        expected_volume_e8=row.direction * facts.expected_volume_e8,
        actual_volume_e8=row.direction * facts.actual_volume_e8,
        child_count=row.child_count,
        open_child_count=row.open_child_count,
        rejected_child_count=row.rejected_child_count,
        open_time=to_timestamp(row.open_time),
        mismatches=row.mismatches,  # type: ignore[arg-type]
        method=facts.method,  # type: ignore[arg-type]
    )
