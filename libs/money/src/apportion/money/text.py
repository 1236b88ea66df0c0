"""Amounts as decimal text, without a float in between."""

from __future__ import annotations


def format_amount(amount_minor: int, digits: int) -> str:
    """The plain decimal: 1234 with 2 digits is "12.34"."""
    sign = "-" if amount_minor < 0 else ""
    figures = str(abs(amount_minor)).rjust(digits + 1, "0")
    return f"{sign}{figures[: len(figures) - digits]}.{figures[len(figures) - digits :]}" if digits else sign + figures
