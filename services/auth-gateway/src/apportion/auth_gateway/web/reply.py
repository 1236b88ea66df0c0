"""One HTTP answer, put together here and sent in one write; aiohttp's own takes a sixth of a sign-in."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import HttpVersion10, web
from aiohttp.helpers import rfc822_formatted_time

JSON = "application/json"
PLAIN = "text/plain"
_NO_CONTENT = 204
_NOTHING: Mapping[str, str] = {}
_FIRST_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_SECURITY = (
    "Cache-Control: no-store\r\n"
    "Content-Security-Policy: default-src 'none'; base-uri 'none'; frame-ancestors 'none'\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Strict-Transport-Security: max-age=31536000\r\n"
    "X-Content-Type-Options: nosniff\r\n"
)


class Reply:
    """An answer with the headers that every one has, and its own; `last` closes the connection behind it.

    Not a `web.Response`, but all that aiohttp's protocol asks of one: `prepare`, `write_eof` and `keep_alive`.
    """

    __slots__ = ("_request", "body", "content_type", "headers", "keep_alive", "status")

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        headers: Mapping[str, str] = _NOTHING,
        *,
        content_type: str = JSON,
        last: bool = False,
    ) -> None:
        self.status = status
        self.body = body
        self.headers = headers
        self.content_type = content_type
        self.keep_alive = not last

    async def prepare(self, request: web.BaseRequest) -> None:
        """Learn what is answered."""
        self._request = request
        self.keep_alive = self.keep_alive and request.keep_alive

    async def write_eof(self) -> None:
        """Send it whole. Raises ConnectionError when the caller has gone."""
        empty = self.status == _NO_CONTENT or self._request.method == "HEAD"
        await self._request.writer.write_eof(self._head() if empty else self._head() + self.body)

    def _head(self) -> bytes:
        own = "".join([_line(name, value) for name, value in self.headers.items()])
        length = "" if self.status == _NO_CONTENT else f"Content-Length: {len(self.body)}\r\n"
        connection = ""
        if not self.keep_alive:
            connection = "Connection: close\r\n"
        elif self._request.version == HttpVersion10:
            connection = "Connection: keep-alive\r\n"
        return (
            f"{_FIRST_LINES[self.status]}Content-Type: {self.content_type}\r\n{_SECURITY}{own}{length}{connection}"
            f"Date: {rfc822_formatted_time()}\r\n\r\n"
        ).encode("ascii")


def _line(name: str, value: str) -> str:
    if not value.isprintable():  # a line break in it would begin a header that is not ours
        raise ValueError(f"the value of {name} is not printable")
    return f"{name}: {value}\r\n"
