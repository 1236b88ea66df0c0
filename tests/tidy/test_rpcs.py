"""Each RPC of the protos is built, and tested through a server."""

from __future__ import annotations

import re
from pathlib import Path

from tree import ROOT, files, refuse, text

RPC = re.compile(r"^\s*rpc (\w+)\(", re.MULTILINE)


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _rpcs() -> list[tuple[str, str]]:
    return [
        (path.parts[3].replace("_", "-"), name)
        for path in files()
        if path.suffix == ".proto" and path.parts[3] != "common"
        for name in RPC.findall(text(path))
    ]


def _joined(pattern: str, service: str) -> str:
    return "\n".join(p.read_text(encoding="utf-8") for p in sorted((ROOT / "services" / service).glob(pattern)))


def test_each_rpc_has_an_operation() -> None:
    missing = [
        f"{service}: {name}"
        for service, name in _rpcs()
        if f"def {_snake(name)}(" not in _joined("src/apportion/*/operations/**/*.py", service)
    ]
    refuse(missing, "write operations/<verb_noun>.py with one public function of the RPC's name")


def test_each_rpc_has_a_servicer_test() -> None:
    missing = [
        f"{service}: {name}"
        for service, name in _rpcs()
        if f".{name}(" not in _joined("tests/**/test_servicer*.py", service)
    ]
    refuse(missing, "call it through an in-process server in tests/test_servicer*.py")


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
