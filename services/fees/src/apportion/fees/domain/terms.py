"""Fee terms of one subscription: numbered versions, of which the newest is in force and none ever changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from apportion.fees.errors import CurrencyMismatch, PayeeUnknown, RateRange
from apportion.money import Int64Array, format_amount

MAX_TRADE_FEE_MINOR = 1_000_000_000
"""Per lot. A bound against typing errors, low enough that a fee never leaves int64."""

USUAL_TRADE_FEE_USD = (2, 10)
"""Whole dollars a lot. Other currencies have no usual range: it would need a conversion rate."""


@dataclass(frozen=True, slots=True)
class Currency:
    """As the trading server counts it: 10^digits minor units are one unit."""

    code: str
    digits: int


@dataclass(frozen=True, slots=True)
class Parties:
    """Who pays and who is paid, as the subscription and its master say now. `currency` is that of their accounts."""

    subscription_id: int
    master_id: int
    payer_account_id: int
    payee_account_id: int
    currency: Currency


@dataclass(frozen=True, slots=True)
class Terms:
    """One version of a subscription's terms."""

    label: int
    subscription_id: int
    version: int
    master_id: int
    payer_account_id: int
    payee_account_id: int
    currency_code: str
    currency_digits: int
    trade_fee_per_lot_minor: int
    update_time: datetime

    @property
    def etag(self) -> str:
        return str(self.version)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is unusual, though allowed."""
        fee_minor, digits = self.trade_fee_per_lot_minor, self.currency_digits
        low, high = (whole * 10**digits for whole in USUAL_TRADE_FEE_USD)
        if self.currency_code != "USD" or fee_minor == 0 or low <= fee_minor <= high:
            return ()
        fee, low_text, high_text = (format_amount(amount, digits) for amount in (fee_minor, low, high))
        return (f"trade fee {fee} USD/lot is outside the usual {low_text} to {high_text}",)


@dataclass(frozen=True, slots=True)
class TermsColumns:
    """The terms of many subscriptions at one moment, sorted by subscription id; all columns of one length."""

    subscription_ids: Int64Array
    versions: Int64Array
    payee_account_ids: Int64Array
    rates_minor: Int64Array
    currency_codes: list[str]
    currency_digits: Int64Array

    def rows_of(self, subscription_ids: Int64Array) -> Int64Array:
        """The row of each subscription asked for, -1 where it has no terms."""
        if not self.subscription_ids.size:
            return np.full(subscription_ids.shape, -1, dtype=np.int64)
        rows = np.searchsorted(self.subscription_ids, subscription_ids)
        rows = np.minimum(rows, self.subscription_ids.size - 1)
        found: Int64Array = np.where(self.subscription_ids[rows] == subscription_ids, rows, -1)
        return found


def check_terms(parties: Parties, payee: Currency, currency_code: str, trade_fee_per_lot_minor: int) -> None:
    """`payee` is the currency of the account that is paid; a fee of 0, which switches it off, is paid to nobody.

    Raises RateRange or CurrencyMismatch.
    """
    if not 0 <= trade_fee_per_lot_minor <= MAX_TRADE_FEE_MINOR:
        raise RateRange(
            f"trade fee {trade_fee_per_lot_minor} is not from 0 to {MAX_TRADE_FEE_MINOR}",
            trade_fee_per_lot_minor=trade_fee_per_lot_minor,
            maximum_minor=MAX_TRADE_FEE_MINOR,
        )
    if currency_code != parties.currency.code or (trade_fee_per_lot_minor and payee != parties.currency):
        raise CurrencyMismatch(
            f"fee in {currency_code}, to be paid in {_name(parties.currency)} to a wallet in {_name(payee)}",
            fee_currency=currency_code,
            account_currency=parties.currency.code,
            wallet_currency=payee.code,
        )


def check_payee(parties: Parties) -> None:
    """Raises PayeeUnknown."""
    if parties.payee_account_id in (0, parties.payer_account_id):
        raise PayeeUnknown(
            f"master {parties.master_id} has no wallet to pay account {parties.payer_account_id}'s fees to",
            master_id=parties.master_id,
        )


def _name(currency: Currency) -> str:
    return f"{currency.code} with {currency.digits} digits"
