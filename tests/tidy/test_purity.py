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


def _named_floats(path: Path) -> list[str]:
    """Names annotated as float; a function counts by its result."""
    found = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.append((node.target.id, node.annotation, node.lineno))
        elif isinstance(node, ast.arg):
            found.append((node.arg, node.annotation, node.lineno))
        elif isinstance(node, ast.FunctionDef):
            found.append((node.name, node.returns, node.lineno))
    return [
        f"{path}:{line} {name}"
        for name, annotation, line in found
        if annotation is not None and "float" in ast.unparse(annotation) and not name.endswith("seconds")
    ]


def test_domain_books_no_float() -> None:
    """Statistics are told, never booked."""
    inner = [path for path in python_sources() if _inner(path) and path.name != "statistics.py"]
    domains = [path for path in inner if "domain" in path.parts]
    divisions = [
        f"{path}:{node.lineno} divides"
        for path in domains
        for node in ast.walk(tree(path))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and "Fraction" not in text(path)
    ]
    refuse(
        [name for path in domains for name in _named_floats(path)] + divisions,
        "money, volumes, prices and ratios are integers; only durations (…_seconds) are float",
    )
