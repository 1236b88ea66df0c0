"""The trade fee: an amount per lot, due on each closed part of a child trade.

    fee = rate per lot × closed volume / 1e8        rounded half up to the minor unit

The rate is that of the terms in force when the close happened: terms are never applied backwards. A close before its
subscription has terms is calculated at rate 0 and says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from apportion.fees.domain.terms import TermsColumns
from apportion.money import E8, Int64Array, format_amount, mul_div_half_up

NO_TERMS = 0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VOLUME_DIGITS = 8


@dataclass(frozen=True, slots=True)
class ClosedTrades:
    """Closed parts of child trades of one master, one row for each closing deal; all columns of one length."""

    master_id: int
    currency_code: str
    symbol: str
    child_trade_ids: Int64Array
    subscription_ids: Int64Array
    account_ids: Int64Array
    deal_tickets: Int64Array
    closed_volumes_e8: Int64Array
    server_times_ms: Int64Array


@dataclass(frozen=True, slots=True)
class TradeFees:
    """What became of each row of `closed`. Version 0, payee 0 and digits 0: no terms."""

    closed: ClosedTrades
    terms_versions: Int64Array
    payee_account_ids: Int64Array
    rates_minor: Int64Array
    fees_minor: Int64Array
    currency_codes: list[str]
    currency_digits: Int64Array

    def lines(self) -> Iterable[str]:
        """Each calculation as one line that a person can check by hand."""
        closed = self.closed
        columns = zip(
            closed.child_trade_ids.tolist(),
            closed.subscription_ids.tolist(),
            closed.account_ids.tolist(),
            closed.deal_tickets.tolist(),
            closed.closed_volumes_e8.tolist(),
            closed.server_times_ms.tolist(),
            self.terms_versions.tolist(),
            self.payee_account_ids.tolist(),
            self.rates_minor.tolist(),
            self.fees_minor.tolist(),
            self.currency_codes,
            self.currency_digits.tolist(),
            strict=True,
        )
        for child, subscription, payer, deal, volume, time_ms, version, payee, rate, fee, currency, digits in columns:
            head = (
                f"trade fee: subscription {subscription}, master {closed.master_id}, child trade {child}, "
                f"deal {deal}, {closed.symbol}, closed {server_time_text(time_ms)} server time: "
            )
            if version == NO_TERMS:
                yield f"{head}{_trimmed(format_amount(volume, _VOLUME_DIGITS))} lot × no terms = 0 {currency}"
            else:
                yield (
                    f"{head}{product_text(volume, rate, fee, currency, digits)}; "
                    f"terms version {version}; account {payer} to account {payee}"
                )


def calculate_trade_fees(closed: ClosedTrades, terms: TermsColumns) -> TradeFees:
    """Exact for every row: the product goes through 128 bits."""
    rows = terms.rows_of(closed.subscription_ids)
    known = rows >= 0
    rates_minor = _picked(terms.rates_minor, rows, known)
    return TradeFees(
        closed=closed,
        terms_versions=_picked(terms.versions, rows, known),
        payee_account_ids=_picked(terms.payee_account_ids, rows, known),
        rates_minor=rates_minor,
        fees_minor=mul_div_half_up(closed.closed_volumes_e8, rates_minor, E8),
        currency_codes=[terms.currency_codes[row] if row >= 0 else closed.currency_code for row in rows.tolist()],
        currency_digits=_picked(terms.currency_digits, rows, known),
    )


def product_text(volume_e8: int, rate_minor: int, fee_minor: int, currency_code: str, digits: int) -> str:
    """`0.33 lot × 7.01 USD/lot = 2.3133, rounded half up 2.31 USD`; the rounding is left out where there is none."""
    exact = _trimmed(format_amount(volume_e8 * rate_minor, digits + _VOLUME_DIGITS))
    fee = format_amount(fee_minor, digits)
    rounded = "" if fee_minor * E8 == volume_e8 * rate_minor else f"{exact}, rounded half up "
    volume = _trimmed(format_amount(volume_e8, _VOLUME_DIGITS))
    return f"{volume} lot × {format_amount(rate_minor, digits)} {currency_code}/lot = {rounded}{fee} {currency_code}"


def server_time_text(server_time_ms: int) -> str:
    """Civil time of the trading server, to the millisecond, without a zone: it is the server's own."""
    return (_EPOCH + timedelta(milliseconds=server_time_ms)).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _picked(column: Int64Array, rows: Int64Array, known: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Int64Array:
    picked = np.zeros(rows.shape, dtype=np.int64)
    picked[known] = column[rows[known]]
    return picked


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".")
