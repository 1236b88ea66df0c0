"""Checks of a request's shape: every problem is gathered, then all are answered at once."""

from __future__ import annotations

import re
from collections.abc import Container

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message

from apportion.errors import InvalidArgument, Violation
from apportion.rpc.requests import is_uuid

CURRENCY_CODE = re.compile("[A-Z0-9]{3,15}")
"""As trading servers name them: USD, but USC, BTC or USDT too."""


class Problems:
    """Violations found so far. Each check returns whether it held, so that later ones can depend on it.

    `field` is the proto path as the caller sees it: `legs[2].amount_minor`.
    """

    def __init__(self) -> None:
        self.violations: list[Violation] = []

    def require(self, condition: bool, field: str, description: str) -> bool:
        """Note a problem unless the condition holds."""
        if not condition:
            self.violations.append(Violation(field, description))
        return condition

    def positive(self, value: int, field: str) -> bool:
        return self.require(value > 0, field, "must be positive")

    def not_negative(self, value: int, field: str) -> bool:
        return self.require(value >= 0, field, "must not be negative")

    def within(self, value: int, low: int, high: int, field: str) -> bool:
        """low <= value <= high."""
        return self.require(low <= value <= high, field, f"must be from {low} to {high}")

    def uuid(self, text: str, field: str) -> bool:
        return self.require(is_uuid(text), field, "must be a UUID")

    def text(self, text: str, field: str, *, longest: int) -> bool:
        """1 to `longest` characters."""
        return self.require(0 < len(text) <= longest, field, f"must have 1 to {longest} characters")

    def currency(self, code: str, field: str) -> bool:
        """A code that a trading server may have."""
        return self.require(CURRENCY_CODE.fullmatch(code) is not None, field, "must be 3 to 15 capitals or digits")

    def one_of(self, value: object, allowed: Container[object], field: str) -> bool:
        return self.require(value in allowed, field, "is not one of the allowed values")

    def enum(self, value: int, enum_type: EnumTypeWrapper, field: str) -> bool:
        """A number that the enum names, other than 0, which means "not said"."""
        known = value in enum_type.DESCRIPTOR.values_by_number
        return self.require(known and value != 0, field, f"must be a {enum_type.DESCRIPTOR.name}")

    def present(self, message: Message, field: str) -> bool:
        """A message or optional field that was set; `field` may be a path, its last part is looked up in `message`."""
        return self.require(message.HasField(field.rpartition(".")[2]), field, "is required")

    def raise_if_any(self) -> None:
        """Raise one InvalidArgument with all violations."""
        if self.violations:
            fields = ", ".join(violation.field for violation in self.violations)
            raise InvalidArgument(f"invalid: {fields}", violations=self.violations)
