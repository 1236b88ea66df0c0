"""Messages to commands and back."""

from __future__ import annotations

from collections.abc import Sequence

from apportion.allocation.domain.allocations import Allocation, AllocationFilter, MasterTrade
from apportion.allocation.domain.explaining import ChildExplanation
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.operations.allocate_trade import AllocateTrade
from apportion.allocation.operations.event_payloads import allocation_message
from apportion.allocation.operations.explain_allocation import Explanation
from apportion.api.allocation.v1 import allocations_pb2
from apportion.rpc import Problems, request_key

SYMBOL_LENGTH = 32


def parse_allocate_trade(request: allocations_pb2.AllocateTradeRequest) -> AllocateTrade:
    key, problems = request_key(request), Problems()
    problems.positive(request.master_id, "master_id")
    problems.positive(request.deal_ticket, "deal_ticket")
    problems.positive(request.position_ticket, "position_ticket")
    problems.text(request.symbol, "symbol", longest=SYMBOL_LENGTH)
    problems.positive(request.price_e8, "price_e8")
    problems.raise_if_any()
    trade = MasterTrade(
        deal_ticket=request.deal_ticket,
        position_ticket=request.position_ticket,
        symbol=request.symbol,
        volume_e8=request.volume_e8,
        price_e8=request.price_e8,
        server_time_ms=0,
    )
    return AllocateTrade(key, request.master_id, trade)


def parse_preview_trade(request: allocations_pb2.PreviewTradeRequest) -> tuple[int, MasterTrade]:
    problems = Problems()
    problems.positive(request.master_id, "master_id")
    problems.text(request.symbol, "symbol", longest=SYMBOL_LENGTH)
    problems.raise_if_any()
    return request.master_id, MasterTrade(0, 0, request.symbol, request.volume_e8, 0, 0)


def parse_allocation_filter(request: allocations_pb2.ListAllocationsRequest) -> AllocationFilter:
    problems = Problems()
    problems.not_negative(request.master_id, "master_id")
    problems.one_of(request.skip_reason, set(SkipReason), "skip_reason")
    problems.raise_if_any()
    return AllocationFilter(
        master_id=request.master_id,
        skip_reason=SkipReason(request.skip_reason),
        only_unallocated=request.only_unallocated,
        with_follow_ups=request.include_follow_ups,
    )


def render_preview(allocation: Allocation) -> allocations_pb2.Allocation:
    """Without times: it was not made."""
    message = allocation_message(allocation)
    message.ClearField("decide_time")
    message.ClearField("dispatch_time")
    return message


def render_explanation(explanation: Explanation) -> allocations_pb2.ExplainAllocationResponse:
    allocation = explanation.allocation
    return allocations_pb2.ExplainAllocationResponse(
        allocation=allocation_message(allocation),
        master_basis=allocation.master_basis,
        agrees=explanation.agrees,
        children=_render_explanations(explanation.children),
        volume_step_e8=allocation.grid.step_e8,
        min_volume_e8=allocation.grid.min_e8,
        max_volume_e8=allocation.grid.max_e8,
        conversion_e8=allocation.conversion_e8,
        contract_size_e8=allocation.contract_size_e8,
        currency_digits=allocation.currency_digits,
    )


def _render_explanations(children: Sequence[ChildExplanation]) -> list[allocations_pb2.ChildExplanation]:
    return [
        allocations_pb2.ChildExplanation(
            subscription_id=child.subscription_id,
            account_login=child.account_login,
            basis=child.basis,
            ratio_e8=child.ratio_e8,
            exact_numerator=str(child.exact_volume_e8.numerator),
            exact_denominator=str(child.exact_volume_e8.denominator),
            stored_volume_e8=child.stored_volume_e8,
            recomputed_volume_e8=child.recomputed_volume_e8,
            skip_reason=child.reason,  # type: ignore[arg-type]
            text=child.text,
            proportion_e9=child.proportion_e9,
            child_trade_id=child.child_trade_id,
            margin_minor=child.margin_minor,
            leverage=child.leverage,
            held_volume_e8=child.held_volume_e8,
            cap_volume_e8=child.cap_volume_e8,
        )
        for child in children
    ]
