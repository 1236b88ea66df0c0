"""The envelope of every reply, and typed decoding of what is inside."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from typing import Any, TypeVar, cast

import msgspec

from apportion.mt5.errors import UnexpectedReply
from apportion.mt5.retcodes import parse_retcode

T = TypeVar("T")


class Reply(msgspec.Struct):
    """`{"retcode": "0 Done", "answer": …}`; what a command returns beside `answer` is read from `raw`."""

    retcode: str | int
    answer: msgspec.Raw = msgspec.Raw(b"null")
    raw: bytes = b""

    @property
    def code(self) -> int:
        return parse_retcode(self.retcode)

    def as_type(self, answer_type: type[T]) -> T:
        """The answer; numbers may be strings, as they nearly always are. Raises UnexpectedReply."""
        return decode(self.answer, answer_type)


_envelope = msgspec.json.Decoder(Reply)


@cache
def _decoder(answer_type: Hashable) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cast("Any", answer_type), strict=False)


def parse_reply(body: bytes) -> Reply:
    """Raises UnexpectedReply when the body is no envelope."""
    try:
        reply = _envelope.decode(body)
        reply.raw = body
        parse_retcode(reply.retcode)
    except (msgspec.MsgspecError, ValueError) as error:
        raise UnexpectedReply(f"not a Web API reply: {error}") from error
    return reply


def decode(data: bytes | msgspec.Raw, answer_type: type[T]) -> T:
    """Decode JSON whose scalars are strings into a typed value. Raises UnexpectedReply."""
    try:
        value: T = _decoder(answer_type).decode(data)  # type: ignore[arg-type]  # every type is hashable
        return value
    except (msgspec.MsgspecError, ValueError) as error:
        raise UnexpectedReply(str(error)) from error
