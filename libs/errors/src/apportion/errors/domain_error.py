"""`DomainError`, the one class that every expected failure derives from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from apportion.errors.kind import Kind

REASON_PATTERN = re.compile(r"[A-Z][A-Z0-9_]{1,61}[A-Z0-9]")


@dataclass(frozen=True, slots=True)
class Violation:
    """One bad field: its proto path (`"legs[2].amount_minor"`) and what is wrong with it."""

    field: str
    description: str


class DomainError(Exception):
    """A failure that was foreseen: it has a reason callers can branch on and a cure people can follow.

    A subclass names `kind`, `reason` (UPPER_SNAKE, at most 63 characters, unique) and `cure`; its docstring
    says in one line what happened and is the message when none is given. Keyword metadata carries each fact
    the message shows, never a secret: `account_id=7` travels as `accountId: "7"`.
    """

    kind: ClassVar[Kind]
    reason: ClassVar[str]
    cure: ClassVar[str]
    default_retry_after_seconds: ClassVar[float | None] = None

    message: str
    metadata: dict[str, str]
    violations: tuple[Violation, ...]
    retry_after_seconds: float | None

    def __init__(
        self,
        message: str = "",
        *,
        violations: Sequence[Violation] = (),
        retry_after_seconds: float | None = None,
        **metadata: object,
    ) -> None:
        self.message = message or summary(type(self))
        self.metadata = {_lower_camel(key): str(value) for key, value in metadata.items()}
        self.violations = tuple(violations)
        self.retry_after_seconds = (
            self.default_retry_after_seconds if retry_after_seconds is None else retry_after_seconds
        )
        super().__init__(self.message)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        reason = cls.__dict__.get("reason")
        if reason is not None and not REASON_PATTERN.fullmatch(reason):
            raise TypeError(f"{cls.__qualname__}.reason {reason!r} must be UPPER_SNAKE, 3 to 63 characters")

    @classmethod
    def restored(
        cls,
        message: str,
        metadata: Mapping[str, str],
        violations: Sequence[Violation] = (),
        retry_after_seconds: float | None = None,
    ) -> Self:
        """Rebuild an error that crossed a wire, whatever the arguments of the subclass's own constructor."""
        error = cls.__new__(cls)
        DomainError.__init__(error, message, violations=violations, retry_after_seconds=retry_after_seconds)
        error.metadata = dict(metadata)  # not as keywords: a peer may send any key
        return error

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


def summary(error_type: type[DomainError]) -> str:
    """The first line of the class docstring: what happened, in one sentence."""
    return (error_type.__doc__ or error_type.__name__).strip().splitlines()[0]


def registry() -> list[type[DomainError]]:
    """Every class with a reason of its own that has been imported, sorted by reason, then by service.

    Services may use one reason for the same thing (the error's domain tells them apart); raises ValueError when two
    classes of one service share it.
    """
    known: dict[tuple[str, str], type[DomainError]] = {}
    for error_type in _descendants(DomainError):
        if "reason" not in error_type.__dict__:
            continue
        owner = ".".join(error_type.__module__.split(".")[:2])
        other = known.setdefault((error_type.reason, owner), error_type)
        if other is not error_type:
            raise ValueError(f"reason {error_type.reason} is claimed by {other!r} and {error_type!r}")
    return [known[key] for key in sorted(known)]


def _descendants(error_type: type[DomainError]) -> Iterator[type[DomainError]]:
    for child in error_type.__subclasses__():
        yield child
        yield from _descendants(child)


def _lower_camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest)
