from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from fees_world import LOT, closes, columns
from hypothesis import given
from hypothesis import strategies as st

from apportion.fees.domain.terms import MAX_TRADE_FEE_MINOR, TermsColumns
from apportion.fees.domain.trade_fee import calculate_trade_fees, product_text, server_time_text


def terms(*rows: tuple[int, int]) -> TermsColumns:
    """(subscription, rate), in order."""
    return TermsColumns(
        subscription_ids=columns(*(row[0] for row in rows)),
        versions=columns(*(1 for _ in rows)),
        payee_account_ids=columns(*(9 for _ in rows)),
        rates_minor=columns(*(row[1] for row in rows)),
        currency_codes=["USD" for _ in rows],
        currency_digits=columns(*(2 for _ in rows)),
    )


def test_each_row_gets_the_rate_of_its_subscription():
    closed = closes((90, 8, 500, LOT), (91, 7, 501, LOT // 2), (92, 5, 502, LOT), (93, 9, 503, LOT))
    fees = calculate_trade_fees(closed, terms((7, 700), (8, 300)))
    assert fees.fees_minor.tolist() == [300, 350, 0, 0]
    assert fees.terms_versions.tolist() == [1, 1, 0, 0]
    assert fees.payee_account_ids.tolist() == [9, 9, 0, 0]


def test_without_any_terms_all_is_free():
    fees = calculate_trade_fees(closes((90, 8, 500, LOT)), terms())
    assert fees.fees_minor.tolist() == [0]
    assert fees.currency_codes == ["USD"]


@given(
    st.lists(
        st.tuples(st.integers(1, 10**14), st.integers(0, MAX_TRADE_FEE_MINOR)),
        min_size=1,
        max_size=30,
    )
)
def test_fees_are_the_exact_product_rounded_half_up(rows):
    closed = closes(*((90 + i, i + 1, 500 + i, volume) for i, (volume, _) in enumerate(rows)))
    fees = calculate_trade_fees(closed, terms(*((i + 1, rate) for i, (_, rate) in enumerate(rows))))
    twin = [int(Fraction(volume * rate, LOT) + Fraction(1, 2)) for volume, rate in rows]
    assert fees.fees_minor.tolist() == twin


def test_the_line_can_be_checked_by_hand():
    closed = closes((90, 7, 500, 33 * LOT // 100), (91, 5, 501, LOT // 2))
    with_fee, without = calculate_trade_fees(closed, terms((7, 701))).lines()
    assert with_fee == (
        "trade fee: subscription 7, master 3, child trade 90, deal 500, EURUSD, "
        "closed 2026-01-05 12:00:00.250 server time: "
        "0.33 lot × 7.01 USD/lot = 2.3133, rounded half up 2.31 USD; terms version 1; account 47 to account 9"
    )
    assert without.endswith("0.5 lot × no terms = 0 USD")


@pytest.mark.parametrize(
    ("volume_e8", "rate_minor", "fee_minor", "currency", "digits", "text"),
    [
        (LOT, 700, 700, "USD", 2, "1 lot × 7.00 USD/lot = 7.00 USD"),
        (LOT // 100, 50, 1, "USD", 2, "0.01 lot × 0.50 USD/lot = 0.005, rounded half up 0.01 USD"),
        (10 * LOT, 250, 2500, "JPY", 0, "10 lot × 250 JPY/lot = 2500 JPY"),
        (LOT, 25_000, 25_000, "JPY", 2, "1 lot × 250.00 JPY/lot = 250.00 JPY"),
        (LOT // 2, 701, 351, "USC", 2, "0.5 lot × 7.01 USC/lot = 3.505, rounded half up 3.51 USC"),
        (3 * LOT, 5, 15, "BTC", 8, "3 lot × 0.00000005 BTC/lot = 0.00000015 BTC"),
        (1, 5, 0, "USD", 2, "0.00000001 lot × 0.05 USD/lot = 0.0000000005, rounded half up 0.00 USD"),
    ],
)
def test_products_are_written_exactly(volume_e8, rate_minor, fee_minor, currency, digits, text):
    assert product_text(volume_e8, rate_minor, fee_minor, currency, digits) == text


def test_server_time_is_shown_as_the_server_says_it():
    assert server_time_text(0) == "1970-01-01 00:00:00.000"
    assert np.array([server_time_text(86_399_999)]) == ["1970-01-01 23:59:59.999"]
