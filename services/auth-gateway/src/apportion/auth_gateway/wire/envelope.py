"""JSON-RPC 2.0 envelopes: what was asked, and whether an answer is due."""

from __future__ import annotations

from typing import Any

import msgspec

from apportion.auth_gateway.errors import BatchTooLarge, EnvelopeError, ParamsNotStructured, RequestInvalid

MAX_BATCH = 20
Id = str | int | float | None
Params = dict[str, Any] | list[Any]


class Call(msgspec.Struct, frozen=True):
    """One call. Only an absent id makes a notification; an id that is present and null is answered with null."""

    id: Id
    notification: bool
    method: str
    params: Params


class Malformed(msgspec.Struct, frozen=True):
    """What is not a call: answered with the id when it could be read, else with null."""

    id: Id
    error: EnvelopeError


def read_calls(body: object) -> list[Call | Malformed] | Call | Malformed:
    """A list for a batch. A batch that is empty or too large is one malformed request: nothing of it is executed."""
    if not isinstance(body, list):
        return _read_call(body)
    if not body:
        return Malformed(None, RequestInvalid())
    if len(body) > MAX_BATCH:
        return Malformed(None, BatchTooLarge())
    return [_read_call(item) for item in body]


def _read_call(item: object) -> Call | Malformed:
    if not isinstance(item, dict):
        return Malformed(None, RequestInvalid())
    id_ = item.get("id")
    if isinstance(id_, bool) or not isinstance(id_, _ID_TYPES):
        return Malformed(None, RequestInvalid())
    method = item.get("method")
    if item.get("jsonrpc") != "2.0" or not isinstance(method, str):
        return Malformed(id_, RequestInvalid())
    params = item.get("params", _NO_PARAMS)
    if not isinstance(params, _PARAMS_TYPES):
        return Malformed(id_, ParamsNotStructured())
    return Call(id_, "id" not in item, method, params)


_NO_PARAMS: dict[str, Any] = {}
_ID_TYPES = (str, int, float, type(None))
_PARAMS_TYPES = (dict, list)
