"""Messages to commands and results to messages."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message

from apportion.api.platform_groups.v1.events_pb2 import AccountStates, DealAction, DealsObserved, Ticks
from apportion.api.risk.v1 import limits_pb2, trips_pb2
from apportion.api.risk.v1.events_pb2 import TripChanged
from apportion.errors import MalformedMessage
from apportion.risk.domain.books import Deals
from apportion.risk.domain.limits import Basis, DailyLimit
from apportion.risk.domain.snapshots import Snapshot, SnapshotSource
from apportion.risk.domain.trips import Price, PriceList, Trip, TripDetails
from apportion.risk.operations.record_deals import ObservedDeals
from apportion.risk.operations.set_daily_limit import SetDailyLimit
from apportion.rpc import Problems, check_lengths, column, from_timestamp, request_key, to_timestamp

AnyMessage = TypeVar("AnyMessage", bound=Message)


def parse_set_daily_limit(request: limits_pb2.SetDailyLimitRequest) -> SetDailyLimit:
    """Shape only; whether percent and basis are allowed is for the domain."""
    key, problems = request_key(request), Problems()
    problems.positive(request.master_id, "master_id")
    basis = request.basis or Basis.EQUITY_AT_DAY_START
    problems.one_of(basis, set(Basis), "basis")
    problems.raise_if_any()
    return SetDailyLimit(
        key=key,
        master_id=request.master_id,
        limit_percent_e8=request.limit_percent_e8,
        basis=Basis(basis),
        etag=request.etag,
    )


def render_daily_limit(limit: DailyLimit, last_equity_minor: int) -> limits_pb2.DailyLimit:
    """A limit with the newest equity of its account."""
    return limits_pb2.DailyLimit(
        master_id=limit.master_id,
        account_id=limit.account_id,
        currency_code=limit.currency_code,
        limit_percent_e8=limit.limit_percent_e8,
        basis=limits_pb2.DailyLimitBasis.ValueType(limit.basis),
        state=limits_pb2.LimitState.ValueType(limit.state),
        server_day=limit.server_day,
        day_start_equity_minor=limit.day_start_equity_minor,
        day_flow_minor=limit.day_flow_minor,
        signal_equity_minor=limit.signal_equity_minor,
        last_equity_minor=last_equity_minor,
        trip_id=limit.trip_id,
        etag=limit.etag,
        update_time=to_timestamp(limit.update_time),
        alarm=limit.alarm.value,
        day_start_server_time_ms=limit.day_start_time_ms,
    )


def render_trip(trip: Trip) -> trips_pb2.Trip:
    """A trip without its prices and closes."""
    evidence = trip.evidence
    message = trips_pb2.Trip(
        trip_id=trip.trip_id,
        master_id=trip.master_id,
        account_id=trip.account_id,
        state=trips_pb2.TripState.ValueType(trip.state),
        server_day=evidence.server_day,
        day_start_equity_minor=evidence.day_start_equity_minor,
        day_flow_minor=evidence.day_flow_minor,
        limit_percent_e8=evidence.limit_percent_e8,
        basis=limits_pb2.DailyLimitBasis.ValueType(evidence.basis),
        signal_equity_minor=evidence.signal_equity_minor,
        equity_minor=evidence.equity_minor,
        server_time_ms=evidence.server_time_ms,
        observed_time=to_timestamp(evidence.observed_time),
        decide_time=to_timestamp(evidence.decide_time),
        achieved_equity_minor=trip.achieved_equity_minor,
        closing_id=trip.closing_id,
        attempt_count=trip.attempt_count,
        last_error=trip.last_error,
        balance_minor=evidence.balance_minor,
        unexplained_minor=evidence.unexplained_minor,
        previous_equity_minor=evidence.previous_equity_minor,
        alarm=evidence.alarm.value,
        snapshot_source=trips_pb2.SnapshotSource.ValueType(evidence.snapshot_source),
    )
    if trip.flat_time is not None:
        message.flat_time.CopyFrom(to_timestamp(trip.flat_time))
    if trip.rearm_time is not None:
        message.rearm_time.CopyFrom(to_timestamp(trip.rearm_time))
    return message


def render_trip_details(details: TripDetails) -> trips_pb2.Trip:
    """A trip with everything."""
    message = render_trip(details.trip)
    message.prices.extend(
        trips_pb2.TripPrice(
            symbol=price.symbol, bid_e8=price.bid_e8, ask_e8=price.ask_e8, server_time_ms=price.server_time_ms
        )
        for price in details.prices
    )
    message.closes.extend(
        trips_pb2.TripClose(
            position_ticket=close.position_ticket,
            volume_e8=close.volume_e8,
            price_e8=close.price_e8,
            server_time_ms=close.server_time_ms,
        )
        for close in details.closes
    )
    return message


def trip_changed_payload(trip: Trip) -> bytes:
    """The event of a trip's new state."""
    return TripChanged(trip=render_trip(trip)).SerializeToString(deterministic=True)


def parse_deals(payload: bytes) -> ObservedDeals:
    """Deals that moved balance or credit. Raises MalformedMessage when the columns do not fit together.

    A trade moves the balance by profit, swap and commission; a balance operation is a deposit or withdrawal; a credit
    moves the equity beside the balance, and counts as a deposit or withdrawal too.
    """
    message = DealsObserved.FromString(payload)
    account_ids = column(message.account_ids)
    tickets, actions = column(message.deal_tickets), column(message.actions)
    profits, swaps = column(message.profits_minor), column(message.swaps_minor)
    commissions, times_ms = column(message.commissions_minor), column(message.server_times_ms)
    check_lengths(message, account_ids, tickets, actions, profits, swaps, commissions, times_ms)
    amounts = profits + swaps + commissions
    is_credit, is_trade = actions == DealAction.DEAL_ACTION_CREDIT, actions == DealAction.DEAL_ACTION_TRADE
    rows = np.flatnonzero(amounts)
    deals = Deals(
        tickets=tickets[rows],
        balances_minor=np.where(is_credit, 0, amounts)[rows],
        credits_minor=np.where(is_credit, amounts, 0)[rows],
        flows_minor=np.where(is_trade, 0, amounts)[rows],
        server_times_ms=times_ms[rows],
    )
    return ObservedDeals(account_ids[rows], deals)


def parse_account_states(message: AccountStates, source: SnapshotSource) -> Snapshot:
    """Raises MalformedMessage when the columns do not fit together, TimestampInvalid without the time of the look."""
    account_ids, balances = column(message.account_ids), column(message.balances_minor)
    credits_minor, equities = column(message.credits_minor), column(message.equities_minor)
    check_lengths(message, account_ids, balances, credits_minor, equities)
    order = np.argsort(account_ids, kind="stable")
    return Snapshot(
        source=source,
        observed_time=from_timestamp(message.observed_time, "observed_time"),
        server_time_ms=message.server_time_ms,
        account_ids=account_ids[order],
        balances_minor=balances[order],
        credits_minor=credits_minor[order],
        equities_minor=equities[order],
    )


def parse_states_weather(payload: bytes) -> Snapshot:
    """As `parse_account_states`; raises MalformedMessage for bytes that are no such message, too."""
    return parse_account_states(_decoded(AccountStates, payload), SnapshotSource.WEATHER)


def parse_ticks_weather(payload: bytes) -> PriceList:
    """Raises MalformedMessage or TimestampInvalid."""
    message = _decoded(Ticks, payload)
    columns = (message.symbols, message.bids_e8, message.asks_e8, message.server_times_ms)
    check_lengths(message, *columns)
    return PriceList(
        observed_time=from_timestamp(message.observed_time, "observed_time"),
        server_time_ms=message.server_time_ms,
        prices=tuple(Price(*row) for row in zip(*columns, strict=True)),
    )


def _decoded(kind: type[AnyMessage], payload: bytes) -> AnyMessage:
    try:
        return kind.FromString(payload)
    except DecodeError as error:
        raise MalformedMessage("the bytes are no such message", type=kind.DESCRIPTOR.full_name) from error
