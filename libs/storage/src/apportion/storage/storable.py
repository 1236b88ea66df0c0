"""Text from anywhere, as PostgreSQL takes it."""

from __future__ import annotations


def storable(text: str, max_length: int) -> str:
    """At most `max_length` characters, without NUL and lone surrogates, which PostgreSQL refuses.

    For texts of errors: they may hold the very thing that made the error.
    """
    return text[:max_length].replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
