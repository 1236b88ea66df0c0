"""A front parser that leaves no room for two readings of one body.

Python's json takes NaN, duplicate keys (the last wins), UTF-16 and nesting without a limit; none of that passes here.
"""

from __future__ import annotations

import json
import math
from typing import Any

import orjson

from apportion.auth_gateway.errors import (
    DuplicateKey,
    NumberOutOfRange,
    ParseFailed,
    StringInvalid,
    StringTooLong,
    TooDeep,
)

MAX_DEPTH = 16
MAX_STRING_BYTES = 4096
MAX_NUMBER_LENGTH = 40


def parse_json(body: bytes) -> object:
    """The value of a body. Raises ParseFailed for what is not JSON, and an EnvelopeError for what passes a limit."""
    if (value := _plain(body)) is not None:
        return value
    try:
        value = _DECODER.decode(body.decode("utf-8"))
    except RecursionError:
        raise TooDeep from None
    except ValueError:  # invalid UTF-8, a byte order mark, not JSON
        raise ParseFailed from None
    _check(value, 0)
    return value


def _plain(body: bytes) -> object | None:
    """The value of a small body that is its own shortest encoding, as most are; None for any other.

    Such a body has no key twice and no number or string that reads in two ways, and it is too small to pass a limit:
    the careful reading below would find nothing. This one takes a twentieth of the time.
    """
    if len(body) > MAX_STRING_BYTES or body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        return None
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if orjson.dumps(value) == body else None


def _check(value: object, depth: int) -> None:
    if isinstance(value, str):
        _check_string(value)
    elif isinstance(value, dict):
        _check_depth(depth)
        for key, item in value.items():
            _check_string(key)
            _check(item, depth + 1)
    elif isinstance(value, list):
        _check_depth(depth)
        for item in value:
            _check(item, depth + 1)


def _check_depth(depth: int) -> None:
    if depth == MAX_DEPTH:
        raise TooDeep


def _check_string(text: str) -> None:
    length = len(text)
    if not text.isascii():
        try:
            length = len(text.encode("utf-8"))
        except UnicodeEncodeError:
            raise StringInvalid from None
    if length > MAX_STRING_BYTES:
        raise StringTooLong


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise DuplicateKey
    return members


def _integer(digits: str) -> int:
    if len(digits) > MAX_NUMBER_LENGTH:
        raise NumberOutOfRange
    return int(digits)


def _fraction(digits: str) -> float:
    number = float(digits)
    if len(digits) > MAX_NUMBER_LENGTH or math.isinf(number):
        raise NumberOutOfRange
    return number


def _no_constant(_name: str) -> float:
    raise ParseFailed


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_fraction, parse_constant=_no_constant
)
