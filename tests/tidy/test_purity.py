"""Time, chance, floats and commits: each only where the architecture allows it."""

from __future__ import annotations

import ast
from pathlib import Path

from tree import python_sources, refuse, text, tree

CLOCKS = {("datetime", "now"), ("datetime", "utcnow"), ("time", "time"), ("time", "time_ns"), ("date", "today")}
CHANCE = {
    ("uuid", "uuid4"),
    ("uuid", "uuid1"),
    ("random", "random"),
    ("os", "urandom"),
    ("secrets", "token_bytes"),
    ("secrets", "token_hex"),
    ("secrets", "token_urlsafe"),
    ("secrets", "choice"),
}


def _inner(path: Path) -> bool:
    return bool({"domain", "operations"} & set(path.parts)) and path.parts[0] == "services"


def _calls(path: Path, forbidden: set[tuple[str, str]]) -> list[str]:
    return [
        f"{path}:{node.lineno} {node.func.value.id}.{node.func.attr}"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and (node.func.value.id, node.func.attr) in forbidden
    ]


def test_domain_and_operations_read_no_clock() -> None:
    found = [call for path in python_sources() if _inner(path) for call in _calls(path, CLOCKS)]
    refuse(found, "take `now` or a Clock as an argument")


def test_domain_and_operations_throw_no_dice() -> None:
    found = [call for path in python_sources() if _inner(path) for call in _calls(path, CHANCE)]
    refuse(found, "take the id or the random source as an argument")


def test_domain_imports_nothing_of_the_outside() -> None:
    allowed = {"apportion", "numpy", "__future__"}
    foreign = {"asyncio", "socket", "sqlalchemy", "grpc", "aiohttp", "redis", "asyncpg", "structlog", "pydantic"}
    found = [
        f"{path}:{node.lineno}"
        for path in python_sources()
        if _inner(path) and "domain" in path.parts
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
        if name.split(".")[0] in foreign - allowed
    ]
    refuse(found, "domain code is pure: standard library, numpy, apportion.money and apportion.errors only")


def test_only_transaction_commits() -> None:
    found = [
        f"{path}:{number}"
        for path in python_sources()
        if "libs/storage" not in path.as_posix() and "mt5_simulator" not in path.parts
        for number, line in enumerate(text(path).splitlines(), 1)
        if ".commit(" in line or "engine.begin(" in line
    ]
    refuse(found, "write inside `async with transaction(engine) as tx`")


def test_domain_books_no_float() -> None:
    found = [
        f"{path}:{node.lineno}"
        for path in python_sources()
        if _inner(path) and "domain" in path.parts
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.Name) and node.id == "float")
        or (isinstance(node, ast.Constant) and isinstance(node.value, float))
    ]
    refuse(found, "money, volumes, prices and ratios are integers; durations live in settings")
