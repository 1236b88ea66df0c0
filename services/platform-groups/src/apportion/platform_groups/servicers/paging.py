"""Pages of lists ordered by an id or a name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from apportion.errors import PageTokenInvalid
from apportion.storage.pages import decode_page_token, encode_page_token, page_size, query_hash

Row = TypeVar("Row")


class Page:
    """One request's page: read `limit` rows after `after_id`, then ask for the next token."""

    def __init__(self, requested_size: int, token: str, *filters: object) -> None:
        """Raises InvalidArgument, PageTokenInvalid."""
        self._query = query_hash(*filters)
        cursor = decode_page_token(token, self._query)
        last = cursor[0] if cursor else 0
        if not isinstance(last, int):
            raise PageTokenInvalid()
        self.after_id = last
        self.size = page_size(requested_size)
        self.limit = self.size + 1
        """One more than shown: whether there is a next page."""

    def cut(self, rows: Sequence[Row], id_of: Callable[[Row], int]) -> tuple[Sequence[Row], str]:
        """The rows of this page and the token of the next; "" when this is the last."""
        if len(rows) <= self.size:
            return rows, ""
        shown = rows[: self.size]
        return shown, encode_page_token(self._query, (id_of(shown[-1]),))
