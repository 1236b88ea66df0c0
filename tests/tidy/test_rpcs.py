"""Each RPC of the protos is built, and tested through a server."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from evidence import rpcs_called
from tree import files, python_sources, refuse, text, tree

RPC = re.compile(r"^\s*rpc (\w+)\(", re.MULTILINE)
SERVICE = re.compile(r"^service (\w+) \{$(.*?)^\}$", re.MULTILINE | re.DOTALL)


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _rpcs() -> list[tuple[str, str, str]]:
    """(owner, service, RPC)."""
    return [
        (path.parts[3].replace("_", "-"), service, name)
        for path in files()
        if path.suffix == ".proto" and path.parts[3] != "common"
        for service, body in SERVICE.findall(text(path))
        for name in RPC.findall(body)
    ]


@cache
def _functions(owner: str) -> set[str]:
    """Public functions of a service's operations."""
    paths = [path for path in python_sources() if path.parts[1] == owner and "operations" in path.parts]
    return {node.name for path in paths for node in tree(path).body if isinstance(node, ast.AsyncFunctionDef)}


@cache
def _called(owner: str) -> set[tuple[str, str]]:
    tests = Path("services") / owner / "tests"
    return rpcs_called(path for path in files() if path.is_relative_to(tests) and path.suffix == ".py")


def test_each_rpc_has_an_operation() -> None:
    missing = [f"{owner}: {name}" for owner, _, name in _rpcs() if _snake(name) not in _functions(owner)]
    refuse(missing, "write operations/<verb_noun>.py with one public function of the RPC's name")


def test_each_rpc_is_called_over_the_wire_by_a_test() -> None:
    missing = [
        f"{owner}: {service}.{name}" for owner, service, name in _rpcs() if (service, name) not in _called(owner)
    ]
    refuse(missing, "call it on its stub through an in-process server in the service's tests")


def test_no_message_carries_binary_floats() -> None:
    found = [
        f"{path}:{number}"
        for path in files()
        if path.suffix == ".proto"
        for number, line in enumerate(text(path).splitlines(), 1)
        if re.match(r"\s*(repeated |optional )?(double|float) ", line)
    ]
    refuse(found, "use int64 with the unit in the name (amount_minor, price_e8, volume_e8)")


def test_proto_folder_is_the_package() -> None:
    wrong = [
        str(path)
        for path in files()
        if path.suffix == ".proto" and f"package {'.'.join(Path(*path.parts[1:-1]).parts)};" not in text(path)
    ]
    refuse(wrong, "the folder below protos/ is the proto package and the Python import path")
