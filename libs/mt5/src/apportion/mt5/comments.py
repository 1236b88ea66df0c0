"""Comments of orders and balance operations: a server keeps only so much of one."""

from __future__ import annotations

COMMENT_LENGTH = 31


def uncut(comment: str) -> str:
    """The comment itself. Raises ValueError for one that the server would cut, and so nobody would find again."""
    if len(comment) > COMMENT_LENGTH:
        raise ValueError(f"comment {comment!r} is longer than {COMMENT_LENGTH}")
    return comment
