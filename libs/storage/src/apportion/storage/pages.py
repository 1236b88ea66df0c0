"""Page sizes and page tokens of list methods: a token holds the last row's sort key."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

import msgspec

from apportion.errors import InvalidArgument, PageTokenInvalid, Violation

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1_000
CHECK_BYTES = 12

Cursor = tuple[int | str, ...]


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
