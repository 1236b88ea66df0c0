"""Bounded concurrency: what does not fit is refused at once, while refusing is still cheap."""

from __future__ import annotations

from types import TracebackType

from apportion.errors import Draining, Overloaded


class Pool:
    """At most `limit` calls at a time; each call runs inside `with pool:`.

    Raises Overloaded when full and Draining once the server stops.
    """

    __slots__ = ("active", "draining", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.active = 0
        self.draining = False

    def __enter__(self) -> None:
        if self.draining:
            raise Draining
        if self.active >= self.limit:
            raise Overloaded
        self.active += 1

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.active -= 1
