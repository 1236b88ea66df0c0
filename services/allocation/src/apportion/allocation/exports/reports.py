"""What is shown of each list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apportion.allocation.domain.allocations import Allocation
from apportion.allocation.domain.child_listing import ChildTradeRow
from apportion.allocation.domain.child_trades import ChildTrade
from apportion.allocation.domain.distributions import Distribution
from apportion.allocation.domain.history import HistoryRow
from apportion.allocation.domain.master_trades import MasterTradeRow
from apportion.allocation.domain.payouts import UnpaidSum
from apportion.allocation.domain.reasons import SkippedChild
from apportion.allocation.exports.files import Column, Kind
from apportion.allocation.operations.collect_report import DecisionLine, DistributionLine, ProfitShare

HISTORY: tuple[Column[HistoryRow], ...] = (
    Column("Server time", Kind.SERVER_TIME, lambda row: row.server_time_ms),
    Column("Account", Kind.NUMBER, lambda row: row.account_id),
    Column("Deal", Kind.NUMBER, lambda row: row.deal_ticket),
    Column("Position", Kind.NUMBER, lambda row: row.position_ticket or None),
    Column("Entry", Kind.TEXT, lambda row: row.entry.name),
    Column("Symbol", Kind.TEXT, lambda row: row.symbol),
    Column("Lots", Kind.LOTS, lambda row: row.volume_e8 or None),
    Column("Price", Kind.PRICE, lambda row: row.price_e8 or None),
    Column("Profit", Kind.AMOUNT, lambda row: row.profit_minor),
    Column("Swap", Kind.AMOUNT, lambda row: row.swap_minor),
    Column("Commission", Kind.AMOUNT, lambda row: row.commission_minor),
    Column("Child trade", Kind.NUMBER, lambda row: row.child_trade_id or None),
)


def _child(cell: Callable[[ChildTrade], Any]) -> Callable[[ChildTradeRow], Any]:
    return lambda row: cell(row.child)


def _mismatches(row: ChildTradeRow | MasterTradeRow) -> str:
    return " ".join(mismatch.name for mismatch in row.mismatches)


CHILDREN: tuple[Column[ChildTradeRow], ...] = (
    Column("Time (UTC)", Kind.TIME, _child(lambda child: child.create_time)),
    Column("Child trade", Kind.NUMBER, _child(lambda child: child.child_trade_id)),
    Column("Allocation", Kind.NUMBER, _child(lambda child: child.allocation_id)),
    Column("Master position", Kind.NUMBER, _child(lambda child: child.master_position_ticket)),
    Column("Subscription", Kind.NUMBER, _child(lambda child: child.subscription_id)),
    Column("Login", Kind.NUMBER, _child(lambda child: child.account_login)),
    Column("Symbol", Kind.TEXT, _child(lambda child: child.symbol)),
    Column("State", Kind.TEXT, _child(lambda child: child.state.name)),
    Column("Reason", Kind.TEXT, _child(lambda child: child.reason)),
    Column("Limited by", Kind.TEXT, _child(lambda child: child.skip_reason.name if child.skip_reason else "")),
    Column("Lots decided", Kind.LOTS, _child(lambda child: child.shown_e8(child.volume_e8))),
    Column("Lots filled", Kind.LOTS, _child(lambda child: child.shown_e8(child.filled_volume_e8))),
    Column("Lots open", Kind.LOTS, _child(lambda child: child.shown_e8(child.open_volume_e8))),
    Column("Open price", Kind.PRICE, _child(lambda child: child.open_price_e8 or None)),
    Column("Position", Kind.NUMBER, _child(lambda child: child.position_ticket or None)),
    Column("Proportion", Kind.PROPORTION, _child(lambda child: child.proportion_e9 or None)),
    Column(
        "Floating profit",
        Kind.AMOUNT,
        _child(lambda child: child.floating_profit_minor if child.proportion_e9 else None),
    ),
    Column("Mismatch", Kind.TEXT, _mismatches),
)

MASTER_TRADES: tuple[Column[MasterTradeRow], ...] = (
    Column("Time (UTC)", Kind.TIME, lambda row: row.open_time),
    Column("Allocation", Kind.NUMBER, lambda row: row.first_allocation_id),
    Column("Master position", Kind.NUMBER, lambda row: row.position_ticket),
    Column("Symbol", Kind.TEXT, lambda row: row.symbol),
    Column("Method", Kind.TEXT, lambda row: row.facts.method.name),
    Column("Lots open", Kind.LOTS, lambda row: row.direction * row.facts.open_volume_e8),
    Column("Lots expected", Kind.LOTS, lambda row: row.direction * row.facts.expected_volume_e8),
    Column("Lots of children", Kind.LOTS, lambda row: row.direction * row.facts.actual_volume_e8),
    Column("Children", Kind.NUMBER, lambda row: row.child_count),
    Column("Open", Kind.NUMBER, lambda row: row.open_child_count),
    Column("Rejected", Kind.NUMBER, lambda row: row.rejected_child_count),
    Column("Mismatch", Kind.TEXT, _mismatches),
)


def _decision(cell: Callable[[Allocation], Any]) -> Callable[[DecisionLine], Any]:
    """Of the decision's own line."""
    return lambda line: cell(line.allocation) if line.skipped is None else None


def _skipped(cell: Callable[[SkippedChild], Any]) -> Callable[[DecisionLine], Any]:
    return lambda line: None if line.skipped is None else cell(line.skipped)


def _skip_reason(line: DecisionLine) -> str:
    reason = line.skipped.reason if line.skipped else line.allocation.blanket_reason
    return reason.name if reason else ""


ALLOCATIONS: tuple[Column[DecisionLine], ...] = (
    Column("Time (UTC)", Kind.TIME, lambda line: line.allocation.decide_time),
    Column("Allocation", Kind.NUMBER, lambda line: line.allocation.allocation_id),
    Column("Kind", Kind.TEXT, lambda line: line.allocation.kind.name),
    Column("Master position", Kind.NUMBER, _decision(lambda decision: decision.trade.position_ticket)),
    Column("Deal", Kind.NUMBER, _decision(lambda decision: decision.trade.deal_ticket)),
    Column("Symbol", Kind.TEXT, _decision(lambda decision: decision.trade.symbol)),
    Column("Method", Kind.TEXT, _decision(lambda decision: decision.method.name)),
    Column("Rounding", Kind.TEXT, _decision(lambda decision: decision.rounding.name)),
    Column("Price", Kind.PRICE, _decision(lambda decision: decision.trade.price_e8 or None)),
    Column("Master lots", Kind.LOTS, _decision(lambda decision: decision.master_volume_e8)),
    Column("Lots allotted", Kind.LOTS, lambda line: line.volume_e8),
    Column("Lots unallocated", Kind.LOTS, _decision(lambda decision: decision.unallocated_volume_e8)),
    Column("Children", Kind.NUMBER, _decision(lambda decision: decision.child_count)),
    Column("Skipped", Kind.NUMBER, _decision(lambda decision: decision.skipped_count)),
    Column("Subscription", Kind.NUMBER, _skipped(lambda child: child.subscription_id)),
    Column("Login", Kind.NUMBER, _skipped(lambda child: child.account_login)),
    Column("Skip reason", Kind.TEXT, _skip_reason),
)


def _deal(cell: Callable[[Distribution], Any]) -> Callable[[DistributionLine], Any]:
    """Of the distribution's own line."""
    return lambda line: cell(line.distribution) if line.share is None else None


def _unpaid(cell: Callable[[UnpaidSum], Any]) -> Callable[[DistributionLine], Any]:
    """Of the distribution's own line."""
    return lambda line: cell(line.unpaid) if line.share is None else None


def _share(cell: Callable[[ProfitShare], Any]) -> Callable[[DistributionLine], Any]:
    return lambda line: None if line.share is None else cell(line.share)


DISTRIBUTIONS: tuple[Column[DistributionLine], ...] = (
    Column("Time (UTC)", Kind.TIME, lambda line: line.distribution.distribute_time),
    Column("Allocation", Kind.NUMBER, lambda line: line.distribution.allocation_id),
    Column("Kind", Kind.TEXT, lambda line: line.distribution.kind.name),
    Column("Master position", Kind.NUMBER, _deal(lambda deal: deal.position_ticket)),
    Column("Deal", Kind.NUMBER, _deal(lambda deal: deal.deal_ticket)),
    Column("Lots closed", Kind.LOTS, _deal(lambda deal: deal.closed_volume_e8)),
    Column("Profit", Kind.AMOUNT, lambda line: line.money.profit_minor),
    Column("Swap", Kind.AMOUNT, lambda line: line.money.swap_minor),
    Column("Commission", Kind.AMOUNT, lambda line: line.money.commission_minor),
    Column("Distributed", Kind.AMOUNT, lambda line: line.distributed_minor),
    Column("Undistributed", Kind.AMOUNT, _deal(lambda deal: deal.undistributed_minor)),
    Column("Undistributed for", Kind.TEXT, _deal(lambda deal: deal.undistributed_reason)),
    Column("Unpaid", Kind.AMOUNT, _unpaid(lambda unpaid: unpaid.unpaid_minor)),
    Column("Written off", Kind.AMOUNT, _unpaid(lambda unpaid: unpaid.written_off_minor)),
    Column("Subscription", Kind.NUMBER, _share(lambda share: share.subscription_id)),
    Column("Login", Kind.NUMBER, _share(lambda share: share.account_login)),
    Column("Proportion", Kind.PROPORTION, _share(lambda share: share.proportion_e9)),
    Column("Payout", Kind.TEXT, _share(lambda share: share.payout.state.name if share.payout else "")),
    Column("Payout reason", Kind.TEXT, _share(lambda share: share.payout.reason if share.payout else "")),
    Column("Attempts", Kind.NUMBER, _share(lambda share: share.payout.attempt_count if share.payout else None)),
    Column("Transfer", Kind.NUMBER, _share(lambda share: (share.payout.transfer_id or None) if share.payout else None)),
)
