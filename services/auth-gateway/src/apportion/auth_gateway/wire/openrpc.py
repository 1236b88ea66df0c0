"""The OpenRPC document, made from the classes that validate parameters and shape results."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter

from apportion.auth_gateway.wire.params import MethodParams

OPENRPC_VERSION = "1.3.2"
Described = tuple[str, str, type[MethodParams], type, bool]


def describe(methods: Iterable[Described]) -> dict[str, Any]:
    """The document for these methods: name, summary, parameters, result, and whether it takes
    parameters by name only."""
    return {
        "openrpc": OPENRPC_VERSION,
        "info": {"title": "Apportion gateway", "version": "1"},
        "methods": [_method(*method) for method in methods],
    }


@lru_cache(maxsize=64)
def _method(name: str, summary: str, params: type[MethodParams], result: type, by_name: bool) -> dict[str, Any]:
    schema = params.model_json_schema()
    required = schema.get("required", [])
    return {
        "name": name,
        "summary": summary,
        "paramStructure": "by-name" if by_name else "either",
        "params": [
            {"name": field, "required": field in required, "schema": field_schema}
            for field, field_schema in schema.get("properties", {}).items()
        ],
        "result": {"name": "result", "schema": TypeAdapter(result).json_schema()},
    }
