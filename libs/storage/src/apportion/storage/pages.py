"""Page sizes and page tokens of list methods: a token holds the last row's sort key."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from apportion.errors import InvalidArgument, PageTokenInvalid, Violation

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1_000
CHECK_BYTES = 12

Cursor = tuple[int | str, ...]
Row = TypeVar("Row")

OLDEST_FIRST: Cursor = (0,)
NEWEST_FIRST: Cursor = (2**63 - 1,)
"""Where the first page of a list by falling ids starts."""


class Page:
    """One page of a list: read up to `limit` rows behind the cursor, in the order of the list, and `cut` them."""

    def __init__(self, requested_size: int, token: str, *query: object, start: Cursor = OLDEST_FIRST) -> None:
        """`query` names the method, the label and the filters; `start` is a key before all keys of the list.

        Raises InvalidArgument for a negative size, PageTokenInvalid.
        """
        self._query = query_hash(*query)
        self.size = page_size(requested_size)
        self.limit = self.size + 1
        """One row more than is shown tells whether there is a next page."""
        cursor = decode_page_token(token, self._query)
        self.cursor = start if cursor is None else cursor
        if list(map(type, self.cursor)) != list(map(type, start)):
            raise PageTokenInvalid()

    @property
    def after_id(self) -> int:
        """The cursor of a list by one number: the id of the last row seen."""
        return int(self.cursor[0])

    def cut(self, rows: Sequence[Row], key_of: Callable[[Row], int | Cursor]) -> tuple[Sequence[Row], str]:
        """The rows of this page and the token of the next one, "" after the last."""
        if len(rows) <= self.size:
            return rows, ""
        shown = rows[: self.size]
        key = key_of(shown[-1])
        return shown, encode_page_token(self._query, key if isinstance(key, tuple) else (key,))


def page_size(requested: int) -> int:
    """Rows of one page: 0 asks for the default of 100, more than 1000 gives 1000. Raises InvalidArgument below 0."""
    if requested < 0:
        raise InvalidArgument(violations=[Violation("page_size", "must not be negative")])
    return min(requested or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def query_hash(*filters: object) -> bytes:
    """Identifies a query by its method, label and filters, in a fixed order: a token is good for this query only."""
    return hashlib.sha256(repr(filters).encode()).digest()


def encode_page_token(query_hash: bytes, cursor: Cursor) -> str:
    """The token of the page that starts after the row whose sort key is `cursor`."""
    body = msgspec.json.encode(cursor)
    return base64.urlsafe_b64encode(_check(query_hash, body) + body).decode()


def decode_page_token(token: str, query_hash: bytes) -> Cursor | None:
    """The sort key of the last row seen, None on the first page. Raises PageTokenInvalid for any other token.

    The check finds accidents, not attackers: who forges a cursor reads rows that the query would have shown anyway.
    """
    if not token:
        return None
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
        check, body = raw[:CHECK_BYTES], raw[CHECK_BYTES:]
        if not hmac.compare_digest(check, _check(query_hash, body)):
            raise PageTokenInvalid()
        return msgspec.json.decode(body, type=Cursor)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise PageTokenInvalid() from error


def _check(query_hash: bytes, body: bytes) -> bytes:
    return hashlib.blake2b(body, key=query_hash, digest_size=CHECK_BYTES).digest()
