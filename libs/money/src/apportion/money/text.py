"""Amounts as decimal text, both ways, without a float in between."""

from __future__ import annotations

import re

from apportion.money.fixed_point import INT64_MAX, INT64_MIN

_AMOUNT = re.compile(r"(-?)(\d{1,19})(?:\.(\d{1,8}))?", re.ASCII)


def parse_amount(text: str, digits: int) -> int:
    """Minor units of a plain decimal ("12.34" with 2 digits is 1234; fewer decimals are filled up).

    ValueError for anything else: signs other than one leading "-", exponents, blanks, separators, more decimals than
    `digits`, or a value outside int64.
    """
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise ValueError("an amount is a plain decimal number")
    sign, whole, fraction = match[1], match[2], match[3] or ""
    if len(fraction) > digits:
        raise ValueError(f"an amount of this currency has at most {digits} decimals")
    amount_minor = int(sign + whole + fraction.ljust(digits, "0"))
    if not INT64_MIN <= amount_minor <= INT64_MAX:
        raise ValueError("the amount does not fit into int64")
    return amount_minor


def format_amount(amount_minor: int, digits: int) -> str:
    """The plain decimal that `parse_amount` reads back: 1234 with 2 digits is "12.34"."""
    sign = "-" if amount_minor < 0 else ""
    figures = str(abs(amount_minor)).rjust(digits + 1, "0")
    return f"{sign}{figures[: len(figures) - digits]}.{figures[len(figures) - digits :]}" if digits else sign + figures
