"""Tokens in the comments of orders, balance operations and accounts: how we know our own after a lost answer.

They are short, for a server keeps 31 characters of a comment.
"""

from __future__ import annotations

import re

_ORDER = re.compile(r"ap:o(\d{1,19})(?!\d)")
_LEG = re.compile(r"ap:t(\d{1,19})(?::[0-9a-f]{8}(?![0-9a-f]))?(?!\d)")
_ACCOUNT = re.compile(r"ap:(\d{1,19}:[0-9a-f]{8})(?![0-9a-f])")


def order_token(order_id: int) -> str:
    return f"ap:o{order_id}"


def leg_token(leg_id: int, salt: str = "") -> str:
    """With some random digits, for the numbers of legs come again when a database was restored. Legs of versions before
    have none."""
    return f"ap:t{leg_id}:{salt}" if salt else f"ap:t{leg_id}"


def account_token(account_id: int, request_id: str) -> str:
    """With the head of the request that made it: another installation on the same server counts accounts too."""
    return f"ap:{account_id}:{request_id[:8].lower()}"


def order_of(comment: str) -> int:
    """The order that a comment names; 0: none of ours. A server may add its own words around the token."""
    return _number(_ORDER, comment)


def leg_of(comment: str) -> int:
    """The leg of a transfer that a comment names; 0: none of ours."""
    return _number(_LEG, comment)


def leg_token_of(comment: str) -> str:
    """The token of a leg in a comment; "" without one."""
    found = _LEG.search(comment)
    return found.group(0) if found else ""


def account_token_of(comment: str) -> str:
    """The account token in a comment; "" without one."""
    found = _ACCOUNT.search(comment)
    return found.group(0) if found else ""


def _number(pattern: re.Pattern[str], comment: str) -> int:
    found = pattern.search(comment)
    return int(found.group(1)) if found else 0
