"""Conversion rates from quotes."""

from __future__ import annotations

from apportion.allocation.domain.conversion import Quote, conversion_e8
from apportion.money import E8


def quote(pair: str, bid: str, ask: str | None = None) -> Quote:
    bid_e8 = round(float(bid) * E8)
    return Quote(pair[:3], pair[3:], bid_e8, bid_e8 if ask is None else round(float(ask) * E8))


def test_a_currency_is_worth_itself():
    assert conversion_e8("EUR", "EUR", []) == E8


def test_the_pair_itself_at_its_mid_price():
    assert conversion_e8("EUR", "USD", [quote("EURUSD", "1.10", "1.12")]) == 111_000_000


def test_the_inverse_pair_half_up():
    # 1 / 1.416 = 0.70621468…
    assert conversion_e8("USD", "EUR", [quote("EURUSD", "1.416")]) == 70_621_469


def test_over_a_third_currency():
    quotes = [quote("GBPUSD", "1.25"), quote("USDJPY", "150")]
    assert conversion_e8("GBP", "JPY", quotes) == 18_750_000_000
    assert conversion_e8("JPY", "GBP", quotes) == 533_334  # 0.00666667 × 0.8 = 0.005333336


def test_no_way_and_dead_quotes_give_nothing():
    assert conversion_e8("CHF", "USD", [quote("EURUSD", "1.1")]) == 0
    assert conversion_e8("EUR", "USD", [quote("EURUSD", "0")]) == 0


def test_the_pair_wins_over_an_inverse_whatever_the_order():
    both = [quote("EURUSD", "1.25"), quote("USDEUR", "0.79")]
    assert conversion_e8("EUR", "USD", both) == conversion_e8("EUR", "USD", both[::-1]) == 125_000_000
