"""The fairness report: messages to a span, and rows back."""

from __future__ import annotations

from datetime import UTC, datetime

from apportion.allocation.domain.fairness_totals import FairnessReport, Span
from apportion.api.allocation.v1 import allocations_pb2
from apportion.rpc import Problems, from_timestamp

# Before and after all decisions.
BEGINNING, END = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


def parse_fairness(request: allocations_pb2.GetFairnessReportRequest) -> tuple[int, Span, int]:
    """(master, span, index of the first row)."""
    problems = Problems()
    problems.positive(request.master_id, "master_id")
    problems.not_negative(request.first_row_index, "first_row_index")
    problems.raise_if_any()
    span = Span(
        from_timestamp(request.start_time, "start_time") if request.HasField("start_time") else BEGINNING,
        from_timestamp(request.end_time, "end_time") if request.HasField("end_time") else END,
    )
    problems.require(span.start_time < span.end_time, "end_time", "must be after start_time")
    problems.raise_if_any()
    return request.master_id, span, request.first_row_index


def render_fairness(report: FairnessReport, rows: slice) -> allocations_pb2.GetFairnessReportResponse:
    message = allocations_pb2.GetFairnessReportResponse(
        row_count=report.subscription_ids.size, decision_count=report.decision_count
    )
    columns = (
        report.subscription_ids,
        report.logins,
        report.trade_counts,
        report.exact_e8,
        report.allotted_e8,
        report.owed_e8,
        report.carries_e8,
    )
    for subscription_id, login, count, exact_e8, allotted_e8, owed_e8, carry_e8 in zip(
        *(column[rows].tolist() for column in columns), strict=True
    ):
        message.rows.add(
            subscription_id=subscription_id,
            account_login=login,
            trade_count=count,
            exact_volume_e8=exact_e8,
            allotted_volume_e8=allotted_e8,
            owed_volume_e8=owed_e8,
            carry_e8=carry_e8,
        )
    return message
