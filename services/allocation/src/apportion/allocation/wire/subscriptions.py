"""Subscriptions: messages to commands and back."""

from __future__ import annotations

from collections.abc import Iterable

from apportion.allocation.domain.copy_settings import DEFAULT_SETTINGS, CopySettings, DirectionFilter, LeavePolicy
from apportion.allocation.domain.methods import LotMode
from apportion.allocation.domain.subscriptions import Parameters, Subscription, SubscriptionChange, SubscriptionFilter
from apportion.allocation.operations.batch_update_subscriptions import BatchUpdateSubscriptions
from apportion.allocation.operations.create_subscription import CreateSubscription
from apportion.allocation.operations.end_subscription import EndSubscription
from apportion.allocation.operations.update_subscription import UpdateSubscription
from apportion.api.allocation.v1 import subscriptions_pb2
from apportion.money import E8
from apportion.rpc import Problems, given, parse_filters, request_key, to_timestamp

MOST_CHANGES = 5_000
Change = subscriptions_pb2.SubscriptionChange | subscriptions_pb2.UpdateSubscriptionRequest


def parse_create_subscription(request: subscriptions_pb2.CreateSubscriptionRequest) -> CreateSubscription:
    key, problems = request_key(request), Problems()
    problems.positive(request.master_id, "master_id")
    problems.positive(request.account_id, "account_id")
    problems.one_of(request.lot_mode, {0, *LotMode}, "lot_mode")
    _check_settings(problems, request.settings, "settings")
    problems.raise_if_any()
    return CreateSubscription(
        key=key,
        master_id=request.master_id,
        account_id=request.account_id,
        parameters=Parameters(
            ratio_e8=request.ratio_e8 or E8,
            lot_e8=request.lot_e8,
            percent_e8=request.percent_e8,
            lot_mode=LotMode(request.lot_mode or LotMode.MULTIPLIER),
        ),
        settings=parse_settings(request.settings) if request.HasField("settings") else DEFAULT_SETTINGS,
    )


def parse_update_subscription(request: subscriptions_pb2.UpdateSubscriptionRequest) -> UpdateSubscription:
    key, problems = request_key(request), Problems()
    _check_change(problems, request, "")
    problems.raise_if_any()
    return UpdateSubscription(key, request.subscription_id, _change(request))


def parse_batch_update_subscriptions(
    request: subscriptions_pb2.BatchUpdateSubscriptionsRequest,
) -> BatchUpdateSubscriptions:
    key, problems = request_key(request), Problems()
    problems.positive(request.master_id, "master_id")
    ids = {change.subscription_id for change in request.changes}
    problems.require(0 < len(request.changes) <= MOST_CHANGES, "changes", f"must be 1 to {MOST_CHANGES}")
    problems.require(len(ids) == len(request.changes), "changes", "must name each subscription once")
    for index, change in enumerate(request.changes):
        _check_change(problems, change, f"changes[{index}].")
    problems.raise_if_any()
    changes = {change.subscription_id: _change(change) for change in request.changes}
    return BatchUpdateSubscriptions(key, request.master_id, changes)


def parse_end_subscription(request: subscriptions_pb2.EndSubscriptionRequest) -> EndSubscription:
    key, problems = request_key(request), Problems()
    problems.positive(request.subscription_id, "subscription_id")
    problems.one_of(request.leave_policy, {0, *LeavePolicy}, "leave_policy")
    problems.raise_if_any()
    policy = LeavePolicy(request.leave_policy) if request.leave_policy else None
    return EndSubscription(key, request.subscription_id, policy)


def parse_subscription_filter(request: subscriptions_pb2.ListSubscriptionsRequest) -> SubscriptionFilter:
    parse_filters(master_id=request.master_id, wallet_account_id=request.wallet_account_id)
    return SubscriptionFilter(request.master_id, request.wallet_account_id, request.include_ended)


def parse_settings(message: subscriptions_pb2.CopySettings) -> CopySettings:
    """Ranges are the domain's to check."""
    return CopySettings(
        direction_filter=DirectionFilter(message.direction_filter),
        reverse=message.reverse,
        ignore_stops=message.ignore_stops,
        allowed_symbols=_sorted(message.allowed_symbols),
        denied_symbols=_sorted(message.denied_symbols),
        symbol_map=tuple(sorted(message.symbol_map.items())),
        max_lot_e8=message.max_lot_e8,
        max_total_lot_e8=message.max_total_lot_e8,
        max_open_positions=message.max_open_positions,
        max_slippage_points=message.max_slippage_points,
        max_age_ms=message.max_age_ms,
        round_up_to_min=message.round_up_to_min,
        max_round_up_factor_e8=message.max_round_up_factor_e8,
        close_small_rest=message.close_small_rest,
        copy_open_positions=message.copy_open_positions,
        leave_policy=LeavePolicy(message.leave_policy or LeavePolicy.CLOSE),
    )


def render_subscription(subscription: Subscription) -> subscriptions_pb2.Subscription:
    parameters = subscription.parameters
    message = subscriptions_pb2.Subscription(
        subscription_id=subscription.subscription_id,
        master_id=subscription.master_id,
        account_id=subscription.account_id,
        account_login=subscription.account_login,
        wallet_account_id=subscription.wallet_account_id,
        active=subscription.active,
        ratio_e8=parameters.ratio_e8,
        lot_e8=parameters.lot_e8,
        percent_e8=parameters.percent_e8,
        lot_mode=parameters.lot_mode,  # type: ignore[arg-type]  # the numbers are the same
        settings=render_settings(subscription.settings),
        state=subscription.state,  # type: ignore[arg-type]
        etag=subscription.etag,
        create_time=to_timestamp(subscription.create_time),
    )
    if subscription.end_time is not None:
        message.end_time.CopyFrom(to_timestamp(subscription.end_time))
    return message


def render_settings(settings: CopySettings) -> subscriptions_pb2.CopySettings:
    return subscriptions_pb2.CopySettings(
        direction_filter=settings.direction_filter,  # type: ignore[arg-type]
        reverse=settings.reverse,
        ignore_stops=settings.ignore_stops,
        allowed_symbols=settings.allowed_symbols,
        denied_symbols=settings.denied_symbols,
        symbol_map=dict(settings.symbol_map),
        max_lot_e8=settings.max_lot_e8,
        max_total_lot_e8=settings.max_total_lot_e8,
        max_open_positions=settings.max_open_positions,
        max_slippage_points=settings.max_slippage_points,
        max_age_ms=settings.max_age_ms,
        round_up_to_min=settings.round_up_to_min,
        max_round_up_factor_e8=settings.max_round_up_factor_e8,
        close_small_rest=settings.close_small_rest,
        copy_open_positions=settings.copy_open_positions,
        leave_policy=settings.leave_policy,  # type: ignore[arg-type]
    )


def _check_change(problems: Problems, change: Change, path: str) -> None:
    problems.positive(change.subscription_id, f"{path}subscription_id")
    if change.HasField("lot_mode"):
        problems.one_of(change.lot_mode, set(LotMode), f"{path}lot_mode")
    _check_settings(problems, change.settings, f"{path}settings")


def _check_settings(problems: Problems, settings: subscriptions_pb2.CopySettings, path: str) -> None:
    problems.one_of(settings.direction_filter, set(DirectionFilter), f"{path}.direction_filter")
    problems.one_of(settings.leave_policy, {0, *LeavePolicy}, f"{path}.leave_policy")


def _change(message: Change) -> SubscriptionChange:
    return SubscriptionChange(
        active=given(message, "active"),
        ratio_e8=given(message, "ratio_e8"),
        lot_e8=given(message, "lot_e8"),
        percent_e8=given(message, "percent_e8"),
        lot_mode=given(message, "lot_mode", LotMode),
        settings=given(message, "settings", parse_settings),
        etag=message.etag,
    )


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))
