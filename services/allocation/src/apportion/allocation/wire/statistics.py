"""Statistics and the leaderboard, to messages."""

from __future__ import annotations

from apportion.allocation.domain.equity_days import EquityDays
from apportion.allocation.domain.leaderboard import DAY_COUNTS, LeaderboardFilter, LeaderboardOrder, LeaderboardRow
from apportion.allocation.domain.methods import AccountType
from apportion.allocation.domain.statistics import Statistics, indexes_e8
from apportion.api.allocation.v1 import statistics_pb2
from apportion.rpc import Problems, set_column

FAR_DAY = 10_000_000
"""Behind every server day."""

Span = statistics_pb2.GetStatisticsRequest | statistics_pb2.GetEquityCurveRequest


def parse_span(request: Span) -> tuple[int, int]:
    """The first and the last server day, both included."""
    problems = Problems()
    problems.not_negative(request.first_server_day, "first_server_day")
    problems.not_negative(request.last_server_day, "last_server_day")
    problems.raise_if_any()
    return min(request.first_server_day, FAR_DAY), min(request.last_server_day or FAR_DAY, FAR_DAY)


def parse_leaderboard(
    request: statistics_pb2.ListLeaderboardRequest,
) -> tuple[LeaderboardOrder, LeaderboardFilter]:
    problems = Problems()
    problems.require(request.day_count in DAY_COUNTS, "day_count", f"must be one of {DAY_COUNTS}")
    problems.require(request.order in statistics_pb2.LeaderboardOrder.values(), "order", "must be a LeaderboardOrder")
    problems.require(request.account_type in (0, *AccountType), "account_type", "must be an AccountType")
    problems.not_negative(request.max_drawdown_e8, "max_drawdown_e8")
    problems.not_negative(request.min_day_count, "min_day_count")
    problems.raise_if_any()
    wanted = LeaderboardFilter(
        request.day_count,
        AccountType(request.account_type) if request.account_type else None,
        request.currency_code,
        request.min_return_e8,
        request.max_drawdown_e8,
        request.min_day_count,
    )
    return LeaderboardOrder(request.order or LeaderboardOrder.RETURN), wanted


def render_statistics(statistics: Statistics, currency_code: str) -> statistics_pb2.Statistics:
    trades = statistics.trades
    message = statistics_pb2.Statistics(
        first_server_day=statistics.first_server_day,
        last_server_day=statistics.last_server_day,
        time_weighted_return_e8=statistics.time_weighted_return_e8,
        money_weighted_return_e8=statistics.money_weighted_return_e8,
        max_drawdown_e8=statistics.max_drawdown_e8,
        closed_trade_count=trades.closed_trade_count,
        net_profit_minor=trades.net_profit_minor,
        deposit_sum_minor=statistics.deposit_sum_minor,
        withdrawal_sum_minor=statistics.withdrawal_sum_minor,
        equity_minor=statistics.equity_minor,
        currency_code=currency_code,
        sharpe_e8=statistics.sharpe_e8,
        sortino_e8=statistics.sortino_e8,
        profit_factor_e8=trades.profit_factor_e8,
        win_rate_e8=trades.win_rate_e8,
        won_trade_count=trades.won_trade_count,
        lost_trade_count=trades.lost_trade_count,
        gross_profit_minor=trades.gross_profit_minor,
        gross_loss_minor=trades.gross_loss_minor,
        average_trade_minor=trades.average_trade_minor,
        average_win_minor=trades.average_win_minor,
        average_loss_minor=trades.average_loss_minor,
        best_trade_minor=trades.best_trade_minor,
        worst_trade_minor=trades.worst_trade_minor,
        average_holding_seconds=trades.average_holding_seconds,
        gain_minor=statistics.gain_minor,
        max_drawdown_minor=statistics.max_drawdown_minor,
        recovery_factor_e8=statistics.recovery_factor_e8,
        volatility_e8=statistics.volatility_e8,
    )
    message.monthly_returns.extend(
        statistics_pb2.MonthlyReturn(year=month.year, month=month.month, return_e8=month.return_e8)
        for month in statistics.monthly_returns
    )
    return message


def render_curve(days: EquityDays) -> statistics_pb2.GetEquityCurveResponse:
    message = statistics_pb2.GetEquityCurveResponse()
    set_column(message, "server_days", days.server_days)
    set_column(message, "balances_minor", days.balances_minor)
    set_column(message, "equities_minor", days.equities_minor)
    set_column(message, "flows_minor", days.flows_minor)
    set_column(message, "indexes_e8", indexes_e8(days))
    return message


def render_leaderboard_row(row: LeaderboardRow) -> statistics_pb2.LeaderboardRow:
    return statistics_pb2.LeaderboardRow(
        master_id=row.master_id,
        name=row.name,
        account_type=row.account_type,  # type: ignore[arg-type]
        statistics=render_statistics(row.statistics, row.currency_code),
        active_subscription_count=row.active_subscription_count,
        followers_equity_minor=row.followers_equity_minor,
        age_day_count=row.age_day_count,
    )
