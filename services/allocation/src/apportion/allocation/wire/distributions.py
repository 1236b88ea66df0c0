"""Distributions as messages."""

from __future__ import annotations

from apportion.allocation.domain.distributions import Distribution
from apportion.allocation.domain.payouts import UnpaidSum
from apportion.allocation.operations.get_distribution import DistributionPage
from apportion.api.allocation.v1 import distributions_pb2
from apportion.rpc import set_column, to_timestamp


def render_distribution(distribution: Distribution, unpaid: UnpaidSum) -> distributions_pb2.Distribution:
    return distributions_pb2.Distribution(
        allocation_id=distribution.allocation_id,
        master_id=distribution.master_id,
        kind=distribution.kind,  # type: ignore[arg-type]  # the numbers are the same
        deal_ticket=distribution.deal_ticket,
        position_ticket=distribution.position_ticket,
        currency_code=distribution.currency_code,
        residual_rule=distribution.residual_rule,  # type: ignore[arg-type]
        closed_volume_e8=distribution.closed_volume_e8,
        profit_minor=distribution.money.profit_minor,
        swap_minor=distribution.money.swap_minor,
        commission_minor=distribution.money.commission_minor,
        undistributed_minor=distribution.undistributed_minor,
        row_count=distribution.row_count,
        unpaid_count=unpaid.unpaid_count,
        refused_count=unpaid.refused_count,
        unpaid_minor=unpaid.unpaid_minor,
        undistributed_reason=distribution.undistributed_reason,
        written_off_count=unpaid.written_off_count,
        written_off_minor=unpaid.written_off_minor,
        distribute_time=to_timestamp(distribution.distribute_time),
    )


def render_page(page: DistributionPage) -> distributions_pb2.GetDistributionResponse:
    message = distributions_pb2.GetDistributionResponse(
        distribution=render_distribution(page.distribution, page.unpaid),
        agrees=page.agrees,
        whole=page.columns.holders.whole,
        rows=[_render_row(page, row, text) for row, text in zip(page.rows, page.texts, strict=True)],
    )
    set_column(message, "opening_ids", page.columns.opening_ids)
    set_column(message, "opening_volumes_e8", page.columns.opening_volumes_e8)
    return message


def _render_row(page: DistributionPage, row: int, text: str) -> distributions_pb2.DistributionRow:
    holders, shares = page.columns.holders, page.columns.shares
    message = distributions_pb2.DistributionRow(
        subscription_id=int(holders.subscription_ids[row]),
        account_id=int(holders.account_ids[row]),
        account_login=int(holders.logins[row]),
        proportion=int(holders.proportions[row]),
        profit_minor=int(shares.profits_minor[row]),
        swap_minor=int(shares.swaps_minor[row]),
        commission_minor=int(shares.commissions_minor[row]),
        text=text,
    )
    payout = page.payouts.get(message.subscription_id)
    if payout is not None:
        message.payout_state = payout.state  # type: ignore[assignment]
        message.payout_reason = payout.reason
        message.transfer_id = payout.transfer_id
        message.attempt_count = payout.attempt_count
    return message
