from __future__ import annotations

from dataclasses import replace

import pytest
from fees_world import NOW

from apportion.fees.domain.terms import MAX_TRADE_FEE_MINOR, Currency, Parties, Terms, check_payee, check_terms
from apportion.fees.errors import CurrencyMismatch, PayeeUnknown, RateRange

USD = Currency("USD", 2)
PARTIES = Parties(7, 3, 47, 9, USD)
TERMS = Terms(1, 7, 1, 3, 47, 9, "USD", 2, 700, NOW)


@pytest.mark.parametrize("fee_minor", [0, 1, 700, MAX_TRADE_FEE_MINOR])
def test_fees_in_range_are_allowed(fee_minor):
    check_terms(PARTIES, USD, "USD", fee_minor)


@pytest.mark.parametrize("fee_minor", [-1, MAX_TRADE_FEE_MINOR + 1])
def test_fees_out_of_range_are_refused(fee_minor):
    with pytest.raises(RateRange):
        check_terms(PARTIES, USD, "USD", fee_minor)


@pytest.mark.parametrize(
    ("code", "wallet"),
    [("EUR", USD), ("USD", Currency("EUR", 2)), ("EUR", Currency("EUR", 2)), ("USD", Currency("USD", 3))],
)
def test_another_currency_of_fee_or_wallet_is_refused(code, wallet):
    with pytest.raises(CurrencyMismatch):
        check_terms(PARTIES, wallet, code, 700)


def test_a_fee_that_no_wallet_can_earn_may_be_switched_off():
    check_terms(PARTIES, Currency("EUR", 2), "USD", 0)


@pytest.mark.parametrize("payee_account_id", [0, 47])
def test_a_payee_is_needed(payee_account_id):
    with pytest.raises(PayeeUnknown):
        check_payee(replace(PARTIES, payee_account_id=payee_account_id))


@pytest.mark.parametrize(
    ("fee_minor", "currency", "is_unusual"),
    [
        (0, "USD", False),
        (199, "USD", True),
        (200, "USD", False),
        (1000, "USD", False),
        (1001, "USD", True),
        (1, "EUR", False),
    ],
)
def test_unusual_dollar_rates_are_warned_about(fee_minor, currency, is_unusual):
    terms = replace(TERMS, trade_fee_per_lot_minor=fee_minor, currency_code=currency)
    assert bool(terms.warnings) is is_unusual


@pytest.mark.parametrize(("fee_minor", "is_unusual"), [(2, False), (10, False), (11, True)])
def test_the_usual_range_is_of_dollars_whatever_their_digits(fee_minor, is_unusual):
    assert bool(replace(TERMS, trade_fee_per_lot_minor=fee_minor, currency_digits=0).warnings) is is_unusual


def test_the_warning_names_figure_and_range():
    assert replace(TERMS, trade_fee_per_lot_minor=1250).warnings == (
        "trade fee 12.50 USD/lot is outside the usual 2.00 to 10.00",
    )
