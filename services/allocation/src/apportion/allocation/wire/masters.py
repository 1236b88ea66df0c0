"""Masters: messages to commands and back."""

from __future__ import annotations

from apportion.allocation.domain.copy_settings import SYMBOL_LENGTH
from apportion.allocation.domain.master_summaries import MasterSummary
from apportion.allocation.domain.masters import (
    DEFAULT_ARTIFICIAL_SYMBOL,
    RESIDUAL_RULES,
    Master,
    MasterChange,
    MasterFilter,
)
from apportion.allocation.domain.methods import AccountType, AllocationMethod, AllocationMode, RoundingPolicy
from apportion.allocation.operations.create_master import CreateMaster
from apportion.allocation.operations.halt_master import HaltMaster
from apportion.allocation.operations.resume_master import ResumeMaster
from apportion.allocation.operations.update_master import UpdateMaster
from apportion.api.allocation.v1 import masters_pb2
from apportion.rpc import Problems, given, parse_filters, request_key, to_timestamp

NAME_LENGTH = 100
CAUSE_LENGTH = 200


def parse_create_master(request: masters_pb2.CreateMasterRequest) -> CreateMaster:
    key, problems = request_key(request), Problems()
    problems.text(request.name, "name", longest=NAME_LENGTH)
    problems.one_of(request.account_type, set(AccountType), "account_type")
    problems.positive(request.account_id, "account_id")
    problems.one_of(request.method, set(AllocationMethod), "method")
    problems.one_of(request.rounding, {0, *RoundingPolicy}, "rounding")
    problems.not_negative(request.min_follower_equity_minor, "min_follower_equity_minor")
    problems.one_of(request.allocation_mode, {0, *AllocationMode}, "allocation_mode")
    problems.text(request.artificial_symbol or DEFAULT_ARTIFICIAL_SYMBOL, "artificial_symbol", longest=SYMBOL_LENGTH)
    problems.one_of(request.residual_rule, {0, *RESIDUAL_RULES}, "residual_rule")
    problems.raise_if_any()
    return CreateMaster(
        key=key,
        name=request.name,
        account_type=AccountType(request.account_type),
        account_id=request.account_id,
        method=AllocationMethod(request.method),
        rounding=RoundingPolicy(request.rounding) if request.rounding else None,
        min_follower_equity_minor=request.min_follower_equity_minor,
        listed_on_leaderboard=given(request, "listed_on_leaderboard"),
        allocation_mode=AllocationMode(request.allocation_mode or AllocationMode.TRADES),
        artificial_symbol=request.artificial_symbol or DEFAULT_ARTIFICIAL_SYMBOL,
        residual_rule=RoundingPolicy(request.residual_rule or RESIDUAL_RULES[0]),
    )


def parse_update_master(request: masters_pb2.UpdateMasterRequest) -> UpdateMaster:
    key, problems = request_key(request), Problems()
    problems.positive(request.master_id, "master_id")
    if request.HasField("name"):
        problems.text(request.name, "name", longest=NAME_LENGTH)
    if request.HasField("artificial_symbol"):
        problems.text(request.artificial_symbol, "artificial_symbol", longest=SYMBOL_LENGTH)
    if request.HasField("method"):
        problems.one_of(request.method, set(AllocationMethod), "method")
    if request.HasField("rounding"):
        problems.one_of(request.rounding, set(RoundingPolicy), "rounding")
    if request.HasField("allocation_mode"):
        problems.one_of(request.allocation_mode, set(AllocationMode), "allocation_mode")
    if request.HasField("residual_rule"):
        problems.one_of(request.residual_rule, set(RESIDUAL_RULES), "residual_rule")
    problems.not_negative(request.min_follower_equity_minor, "min_follower_equity_minor")
    problems.raise_if_any()
    change = MasterChange(
        name=given(request, "name"),
        method=given(request, "method", AllocationMethod),
        rounding=given(request, "rounding", RoundingPolicy),
        allocation_mode=given(request, "allocation_mode", AllocationMode),
        artificial_symbol=given(request, "artificial_symbol"),
        residual_rule=given(request, "residual_rule", RoundingPolicy),
        min_follower_equity_minor=given(request, "min_follower_equity_minor"),
        listed_on_leaderboard=given(request, "listed_on_leaderboard"),
        etag=request.etag,
    )
    return UpdateMaster(key, request.master_id, change)


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


def parse_master_filter(request: masters_pb2.ListMastersRequest) -> MasterFilter:
    parse_filters(wallet_account_id=request.wallet_account_id)
    return MasterFilter(request.wallet_account_id, request.only_listed_on_leaderboard)


def render_master(master: Master) -> masters_pb2.Master:
    return masters_pb2.Master(
        master_id=master.master_id,
        name=master.name,
        account_type=master.account_type,  # type: ignore[arg-type]  # the numbers are the same
        account_id=master.account_id,
        account_login=master.account_login,
        trading_server_id=master.trading_server_id,
        currency_code=master.currency_code,
        currency_digits=master.currency_digits,
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
        allocation_mode=master.allocation_mode,  # type: ignore[arg-type]
        artificial_symbol=master.artificial_symbol,
        residual_rule=master.residual_rule,  # type: ignore[arg-type]
    )


def render_summary(summary: MasterSummary) -> masters_pb2.GetMasterSummaryResponse:
    sums = summary.sums
    message = masters_pb2.GetMasterSummaryResponse(
        master_id=summary.master_id,
        subscription_count=sums.subscription_count,
        active_count=sums.active_account_ids.size,
        lot_sum_e8=sums.lot_e8,
        percent_sum_e8=sums.percent_e8,
        balance_sum_minor=summary.balance_minor,
        equity_sum_minor=summary.equity_minor,
        margin_sum_minor=summary.margin_minor,
        free_margin_sum_minor=summary.free_margin_minor,
        warnings=summary.warnings,  # type: ignore[arg-type]
        undistributed_minor=summary.profit.undistributed_minor,
        unpaid_minor=summary.profit.unpaid_minor,
    )
    if summary.observed_time is not None:
        message.observed_time.CopyFrom(to_timestamp(summary.observed_time))
    return message
