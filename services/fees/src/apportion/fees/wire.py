"""Messages to commands and results to messages."""

from __future__ import annotations

from apportion.api.allocation.v1.events_pb2 import ChildTradesClosed
from apportion.api.common.v1.money_pb2 import Money
from apportion.api.fees.v1 import calculations_pb2 as calculations
from apportion.api.fees.v1 import terms_pb2 as terms_api
from apportion.errors import MalformedMessage
from apportion.fees.domain.calculation import Calculation, CalculationFilter
from apportion.fees.domain.charge import ChargeState
from apportion.fees.domain.terms import Terms
from apportion.fees.domain.trade_fee import ClosedTrades
from apportion.fees.operations.set_terms import SetTerms
from apportion.rpc import Problems, check_lengths, column, request_key, to_timestamp


def parse_set_terms(request: terms_api.SetTermsRequest) -> SetTerms:
    """Shape only; whether the rate is allowed is for the domain."""
    key, problems = request_key(request), Problems()
    problems.positive(request.subscription_id, "subscription_id")
    if problems.present(request, "trade_fee_per_lot"):
        problems.currency(request.trade_fee_per_lot.currency_code, "trade_fee_per_lot.currency_code")
    problems.raise_if_any()
    return SetTerms(
        key=key,
        subscription_id=request.subscription_id,
        currency_code=request.trade_fee_per_lot.currency_code,
        trade_fee_per_lot_minor=request.trade_fee_per_lot.amount_minor,
        etag=request.etag,
    )


def parse_list_calculations(label: int, request: calculations.ListCalculationsRequest) -> CalculationFilter:
    """Which calculations of the label."""
    problems = Problems()
    problems.not_negative(request.master_id, "master_id")
    problems.not_negative(request.subscription_id, "subscription_id")
    if request.charge_state:
        problems.one_of(request.charge_state, set(ChargeState), "charge_state")
    problems.raise_if_any()
    return CalculationFilter(
        label=label,
        master_id=request.master_id,
        subscription_id=request.subscription_id,
        charge_state=ChargeState(request.charge_state) if request.charge_state else None,
    )


def render_terms(terms: Terms) -> terms_api.Terms:
    """Terms with their warnings."""
    return terms_api.Terms(
        subscription_id=terms.subscription_id,
        master_id=terms.master_id,
        payer_account_id=terms.payer_account_id,
        payee_account_id=terms.payee_account_id,
        trade_fee_per_lot=Money(currency_code=terms.currency_code, amount_minor=terms.trade_fee_per_lot_minor),
        etag=terms.etag,
        update_time=to_timestamp(terms.update_time),
        warnings=terms.warnings,
    )


def render_calculation(row: Calculation) -> calculations.Calculation:
    """One row of the log."""
    message = calculations.Calculation(
        calculation_id=row.calculation_id,
        fee_type=terms_api.FeeType.ValueType(row.fee_type),
        subscription_id=row.subscription_id,
        master_id=row.master_id,
        payer_account_id=row.payer_account_id,
        payee_account_id=row.payee_account_id,
        child_trade_id=row.child_trade_id,
        deal_ticket=row.deal_ticket,
        closed_volume_e8=row.closed_volume_e8,
        rate_per_lot=Money(currency_code=row.currency_code, amount_minor=row.rate_minor),
        fee=Money(currency_code=row.currency_code, amount_minor=row.fee_minor),
        line=row.line,
        charge_state=calculations.ChargeState.ValueType(row.charge_state),
        transfer_id=row.transfer_id,
        reason=row.reason,
        server_time_ms=row.server_time_ms,
        create_time=to_timestamp(row.create_time),
    )
    if row.settle_time is not None:
        message.settle_time.CopyFrom(to_timestamp(row.settle_time))
    return message


def parse_closed_trades(payload: bytes) -> ClosedTrades:
    """Raises MalformedMessage when the columns do not fit together or a volume is not above 0."""
    message = ChildTradesClosed.FromString(payload)
    closed = ClosedTrades(
        master_id=message.master_id,
        currency_code=message.currency_code,
        symbol=message.symbol,
        child_trade_ids=column(message.child_trade_ids),
        subscription_ids=column(message.subscription_ids),
        account_ids=column(message.account_ids),
        deal_tickets=column(message.deal_tickets),
        closed_volumes_e8=column(message.closed_volumes_e8),
        server_times_ms=column(message.server_times_ms),
    )
    check_lengths(
        message,
        closed.child_trade_ids,
        closed.subscription_ids,
        closed.account_ids,
        closed.deal_tickets,
        closed.closed_volumes_e8,
        closed.server_times_ms,
    )
    if (closed.closed_volumes_e8 <= 0).any():
        raise MalformedMessage("a closed volume is not above 0", type=message.DESCRIPTOR.full_name)
    return closed
