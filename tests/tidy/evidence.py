"""What the code really does with a name, by its syntax: mentions in docstrings, imports and comments do not count."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from tree import tree

Function = ast.FunctionDef | ast.AsyncFunctionDef


def made(paths: Iterable[Path]) -> set[str]:
    """Names of classes that are raised or called, or stand in a table of classes to raise."""
    return {name for path in paths for node in ast.walk(tree(path)) for name in _made(node)}


def _made(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call):
        yield from _named(node.func)
    elif isinstance(node, ast.Raise) and node.exc is not None:
        yield from _named(node.exc)
    elif isinstance(node, ast.Dict):
        yield from (name for value in node.values for name in _named(value))


def asserted(paths: Iterable[Path]) -> set[str]:
    """Names and strings on which a test's outcome depends.

    They stand in an assert, in pytest.raises, in an argument of a function that itself asserts or expects a raise, or
    in the cases of a parametrized test or of a loop in one, also by way of a constant of the module.
    """
    trees = [tree(path) for path in paths]
    checkers = {"raises"}
    checkers |= {
        f.name for module in trees for f in ast.walk(module) if isinstance(f, Function) and _checks(f, checkers)
    }
    return {word for module in trees for word in _asserted(module, checkers)}


def _asserted(module: ast.Module, checkers: set[str]) -> Iterator[str]:
    tables = {
        name: node.value
        for node in module.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        for name in _named(target)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Assert):
            yield from _words(node.test, tables)
        elif isinstance(node, ast.Call) and set(_named(node.func)) & {"parametrize", *checkers}:
            for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                yield from _words(argument, tables)
        elif isinstance(node, ast.For) and _checks(node, checkers):
            yield from _words(node.iter, tables)


def _words(node: ast.AST, tables: dict[str, ast.expr]) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str | bytes):
            yield part.value if isinstance(part.value, str) else part.value.decode("latin-1")
        elif isinstance(part, ast.Name | ast.Attribute):
            [name] = _named(part)
            yield name
            if name in tables:
                yield from _words(tables[name], {})


def _checks(code: Function | ast.For, checkers: set[str]) -> bool:
    return any(
        isinstance(node, ast.Assert) or (isinstance(node, ast.Call) and checkers.intersection(_named(node.func)))
        for node in ast.walk(code)
    )


def rpcs_called(paths: Iterable[Path]) -> set[tuple[str, str]]:
    """(service, RPC) of every call on a generated stub that a test reaches, through whatever helpers and fixtures."""
    trees = [tree(path) for path in paths]
    stubs = dict(pair for module in trees for node in ast.walk(module) for pair in _stub_names(node))
    calls: dict[str, set[tuple[str, str]]] = {}
    mentions: dict[str, set[str]] = {}
    for module in trees:
        for function in (node for node in ast.walk(module) if isinstance(node, Function)):
            calls.setdefault(function.name, set()).update(_rpcs(function, stubs))
            mentions.setdefault(function.name, set()).update(_mentions(function))
    reached: set[str] = set()
    waiting = {name for name in calls if name.startswith("test_")}
    while waiting:
        reached |= waiting
        waiting = {name for known in waiting for name in mentions[known] if name in calls} - reached
    return {rpc for name in reached for rpc in calls[name]}


def _stub_names(node: ast.AST) -> Iterator[tuple[str, str]]:
    """`self.masters = masters_pb2_grpc.MastersServiceStub(channel)`: masters, MastersService."""
    if isinstance(node, ast.Assign) and (service := _stub(node.value)):
        yield from ((name, service) for target in node.targets for name in _named(target))


def _rpcs(function: Function, stubs: dict[str, str]) -> Iterator[tuple[str, str]]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            service = _stub(owner) or next((stubs[name] for name in _named(owner) if name in stubs), "")
            if service:
                yield service, node.func.attr


def _stub(node: ast.expr) -> str:
    """The service whose stub an expression makes; "" for anything else."""
    if isinstance(node, ast.Call):
        return next((name.removesuffix("Stub") for name in _named(node.func) if name.endswith("ServiceStub")), "")
    return ""


def _mentions(function: Function) -> Iterator[str]:
    """Whom a function may call, and which fixtures it takes."""
    yield from (argument.arg for argument in [*function.args.args, *function.args.kwonlyargs])
    for node in ast.walk(function):
        yield from _named(node)


def _named(node: ast.AST) -> list[str]:
    """The last name of `name` or `a.b.name`."""
    if isinstance(node, ast.Name):
        return [node.id]
    return [node.attr] if isinstance(node, ast.Attribute) else []
