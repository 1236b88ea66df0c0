"""Ids in requests that hold little else."""

from __future__ import annotations

from apportion.rpc.problems import Problems


def parse_id(value: int, field: str) -> int:
    """An id that must be given. Raises InvalidArgument."""
    problems = Problems()
    problems.positive(value, field)
    problems.raise_if_any()
    return value


def parse_filters(**ids: int) -> None:
    """Ids that filter a list, or an index: 0 is none. Raises InvalidArgument."""
    problems = Problems()
    for field, value in ids.items():
        problems.not_negative(value, field)
    problems.raise_if_any()
