"""One request of the Web API: its parameters, and the shape of its reply."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from apportion.mt5_simulator.codes import Refused, Retcode
from apportion.mt5_simulator.domain.figures import parse_scaled
from apportion.mt5_simulator.faults import Fault, FaultKind
from apportion.mt5_simulator.server import Server
from apportion.mt5_simulator.web.session import Session

_decode_body = msgspec.json.Decoder(float_hook=Decimal).decode


class Reply(msgspec.Struct):
    """`answer` and further top-level keys of a successful reply."""

    answer: Any = None
    top: dict[str, Any] = {}


@lru_cache(1_024)
def _canonical(name: str) -> str:
    return name.replace("_", "").lower()


class Call:
    """Parameters by their snake_case name, from the query (`price_sl`) or the JSON body (`PriceSL`), which overrides.
    A missing or malformed one is Refused PARAMETERS."""

    def __init__(self, target: str, body: bytes) -> None:
        path, _, query = target.partition("?")
        self.endpoint = path.removeprefix("/api/").strip("/").lower()
        self.faults: dict[FaultKind, Fault] = {}
        # parse_qsl knows no fragments: a raw "#" in a value stays.
        self._values: dict[str, Any] = {_canonical(name): value for name, value in parse_qsl(query, True)}
        if body.strip():
            self._add_body(body)

    def _add_body(self, body: bytes) -> None:
        try:
            document = _decode_body(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # A form, as some clients send their parameters.
            document = None
            for name, value in parse_qsl(body.decode("utf-8", "replace"), True):
                self._values[_canonical(name)] = value
        if isinstance(document, dict):
            for name, value in document.items():
                if name[:1].isupper():  # field names in a body are case-sensitive: `Login`, never `login`
                    self._values[_canonical(name)] = value

    def has(self, name: str) -> bool:
        return _canonical(name) in self._values

    def raw(self, name: str) -> Any:
        return self._values.get(_canonical(name))

    def text(self, name: str, default: str | None = None) -> str:
        value = self.raw(name)
        if value is None:
            if default is None:
                raise Refused(Retcode.PARAMETERS)
            return default
        if isinstance(value, (dict, list, bool)):
            raise Refused(Retcode.PARAMETERS)
        return str(value)

    def integer(self, name: str, default: int | None = None) -> int:
        text = self.text(name, None if default is None else str(default))
        try:
            return int(text)
        except ValueError:
            raise Refused(Retcode.PARAMETERS) from None

    def scaled(self, name: str, digits: int, default: int | None = None) -> int:
        """A decimal as an integer of 10^-digits; longer ones are refused."""
        if default is not None and not self.has(name):
            return default
        try:
            return parse_scaled(self.text(name), digits)
        except ValueError:
            raise Refused(Retcode.PARAMETERS) from None

    def texts(self, name: str) -> list[str]:
        """A list: `a,b` in the query, or an array in the body."""
        value = self.raw(name)
        if isinstance(value, list):
            return [str(item) for item in value]
        return [part.strip() for part in self.text(name).split(",") if part.strip()]

    def integers(self, name: str) -> list[int]:
        try:
            return [int(text) for text in self.texts(name)]
        except ValueError:
            raise Refused(Retcode.PARAMETERS) from None

    @property
    def login(self) -> int | None:
        """The trading account that the request names, for matching faults; None when it names none."""
        try:
            return int(self.raw("login"))
        except (TypeError, ValueError):
            return None


Handler = Callable[[Server, Session, Call], Reply]
