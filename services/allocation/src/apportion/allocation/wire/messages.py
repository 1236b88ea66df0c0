"""Messages to commands and back."""

from __future__ import annotations

from collections.abc import Sequence

from apportion.allocation.domain.allocations import MasterTrade
from apportion.allocation.domain.child_trades import ChildTrade
from apportion.allocation.domain.explaining import ChildExplanation
from apportion.allocation.domain.masters import Master
from apportion.allocation.domain.methods import AccountType, AllocationMethod, RoundingPolicy
from apportion.allocation.domain.subscriptions import Subscription, SubscriptionChange
from apportion.allocation.operations.allocate_trade import AllocateTrade
from apportion.allocation.operations.create_master import CreateMaster
from apportion.allocation.operations.create_subscription import CreateSubscription
from apportion.allocation.operations.event_payloads import allocation_message
from apportion.allocation.operations.explain_allocation import Explanation
from apportion.allocation.operations.halt_master import HaltMaster
from apportion.allocation.operations.resume_master import ResumeMaster
from apportion.allocation.operations.update_subscription import UpdateSubscription
from apportion.api.allocation.v1 import allocations_pb2, masters_pb2, subscriptions_pb2
from apportion.money import E8
from apportion.rpc import Problems, request_key, to_timestamp

NAME_LENGTH = 100
CAUSE_LENGTH = 200
SYMBOL_LENGTH = 32


def parse_create_master(request: masters_pb2.CreateMasterRequest) -> CreateMaster:
    key, problems = request_key(request), Problems()
    problems.text(request.name, "name", longest=NAME_LENGTH)
    problems.one_of(request.account_type, set(AccountType), "account_type")
    problems.positive(request.account_id, "account_id")
    problems.one_of(request.method, set(AllocationMethod), "method")
    problems.one_of(request.rounding, {0, *RoundingPolicy}, "rounding")
    problems.not_negative(request.min_follower_equity_minor, "min_follower_equity_minor")
    problems.raise_if_any()
    return CreateMaster(
        key=key,
        name=request.name,
        account_type=AccountType(request.account_type),
        account_id=request.account_id,
        method=AllocationMethod(request.method),
        rounding=RoundingPolicy(request.rounding) if request.rounding else None,
        min_follower_equity_minor=request.min_follower_equity_minor,
        listed_on_leaderboard=request.listed_on_leaderboard if request.HasField("listed_on_leaderboard") else None,
    )


def parse_halt_master(request: masters_pb2.HaltMasterRequest) -> HaltMaster:
    key, problems = request_key(request), Problems()
    problems.positive(request.master_id, "master_id")
    problems.text(request.cause, "cause", longest=CAUSE_LENGTH)
    problems.raise_if_any()
    return HaltMaster(key, request.master_id, request.cause)


def parse_resume_master(request: masters_pb2.ResumeMasterRequest) -> ResumeMaster:
    key, problems = request_key(request), Problems()
    problems.positive(request.master_id, "master_id")
    problems.text(request.cause, "cause", longest=CAUSE_LENGTH)
    problems.raise_if_any()
    return ResumeMaster(key, request.master_id, request.cause)


def parse_create_subscription(request: subscriptions_pb2.CreateSubscriptionRequest) -> CreateSubscription:
    key, problems = request_key(request), Problems()
    problems.positive(request.master_id, "master_id")
    problems.positive(request.account_id, "account_id")
    problems.raise_if_any()
    return CreateSubscription(
        key=key,
        master_id=request.master_id,
        account_id=request.account_id,
        ratio_e8=request.ratio_e8 or E8,
        lot_e8=request.lot_e8,
        percent_e8=request.percent_e8,
        round_up_to_min=request.round_up_to_min,
    )


def parse_update_subscription(request: subscriptions_pb2.UpdateSubscriptionRequest) -> UpdateSubscription:
    key = request_key(request)
    parse_id(request.subscription_id, "subscription_id")
    change = SubscriptionChange(
        active=request.active if request.HasField("active") else None,
        ratio_e8=request.ratio_e8 if request.HasField("ratio_e8") else None,
        lot_e8=request.lot_e8 if request.HasField("lot_e8") else None,
        percent_e8=request.percent_e8 if request.HasField("percent_e8") else None,
        round_up_to_min=request.round_up_to_min if request.HasField("round_up_to_min") else None,
    )
    return UpdateSubscription(key, request.subscription_id, change, request.etag)


def parse_allocate_trade(request: allocations_pb2.AllocateTradeRequest) -> AllocateTrade:
    key, problems = request_key(request), Problems()
    problems.positive(request.master_id, "master_id")
    problems.positive(request.deal_ticket, "deal_ticket")
    problems.positive(request.position_ticket, "position_ticket")
    problems.text(request.symbol, "symbol", longest=SYMBOL_LENGTH)
    problems.not_negative(request.price_e8, "price_e8")
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


def parse_id(value: int, field: str) -> int:
    """An id that must be given."""
    problems = Problems()
    problems.positive(value, field)
    problems.raise_if_any()
    return value


def parse_filters(**ids: int) -> None:
    """Ids that filter a list, or an index: 0 is none."""
    problems = Problems()
    for field, value in ids.items():
        problems.not_negative(value, field)
    problems.raise_if_any()


def render_master(master: Master) -> masters_pb2.Master:
    return masters_pb2.Master(
        master_id=master.master_id,
        name=master.name,
        account_type=master.account_type,  # type: ignore[arg-type]  # the numbers are the same
        account_id=master.account_id,
        account_login=master.account_login,
        trading_server_id=master.trading_server_id,
        currency_code=master.currency_code,
        method=master.method,  # type: ignore[arg-type]
        rounding=master.rounding,  # type: ignore[arg-type]
        state=masters_pb2.MASTER_STATE_HALTED if master.halted else masters_pb2.MASTER_STATE_ACTIVE,
        halt_cause=", ".join(master.halt_causes),
        listed_on_leaderboard=master.listed_on_leaderboard,
        min_follower_equity_minor=master.min_follower_equity_minor,
        active_subscription_count=master.active_subscription_count,
        etag=master.etag,
        create_time=to_timestamp(master.create_time),
        wallet_account_id=master.wallet_account_id,
    )


def render_subscription(subscription: Subscription) -> subscriptions_pb2.Subscription:
    return subscriptions_pb2.Subscription(
        subscription_id=subscription.subscription_id,
        master_id=subscription.master_id,
        account_id=subscription.account_id,
        account_login=subscription.account_login,
        wallet_account_id=subscription.wallet_account_id,
        active=subscription.active,
        ratio_e8=subscription.ratio_e8,
        lot_e8=subscription.lot_e8,
        percent_e8=subscription.percent_e8,
        round_up_to_min=subscription.round_up_to_min,
        etag=subscription.etag,
        create_time=to_timestamp(subscription.create_time),
    )


def render_child_trade(child: ChildTrade) -> allocations_pb2.ChildTrade:
    return allocations_pb2.ChildTrade(
        child_trade_id=child.child_trade_id,
        allocation_id=child.allocation_id,
        master_id=child.master_id,
        subscription_id=child.subscription_id,
        account_id=child.account_id,
        symbol=child.symbol,
        state=child.state,  # type: ignore[arg-type]
        reason=child.reason,
        volume_e8=child.volume_e8,
        filled_volume_e8=child.filled_volume_e8,
        open_volume_e8=child.open_volume_e8,
        open_price_e8=child.open_price_e8,
        position_ticket=child.position_ticket,
        create_time=to_timestamp(child.create_time),
    )


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
        )
        for child in children
    ]
