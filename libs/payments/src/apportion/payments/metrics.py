"""What payments tell their operators."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Gauge

from apportion.payments.payment import UnpaidSum

Names = tuple[str, str, str, str, str]
NAMES = ("source", "label", "currency", "state", "reason")
UNPAID_MINOR = Gauge(
    "apportion_payments_unpaid_minor",
    "Amounts that are not booked, in minor units, by state and by the reason of the last refusal.",
    NAMES,
)
UNPAID_COUNT = Gauge(
    "apportion_payments_unpaid_count", "Payments that are not booked: REFUSED ones are an alarm.", NAMES
)


class UnpaidGauges:
    """Shows sums, and no longer those that are gone. Each worker shows all: take the greatest."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._shown: set[Names] = set()

    def show(self, sums: Iterable[UnpaidSum]) -> None:
        found: set[Names] = set()
        for row in sums:
            names = (self._source, str(row.label), row.currency_code, row.state.name, row.reason)
            UNPAID_MINOR.labels(*names).set(row.amount_minor)
            UNPAID_COUNT.labels(*names).set(row.payment_count)
            found.add(names)
        for names in self._shown - found:
            UNPAID_MINOR.remove(*names)
            UNPAID_COUNT.remove(*names)
        self._shown = found
