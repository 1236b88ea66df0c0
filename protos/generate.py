"""Compiles every .proto below `protos/apportion` into `protos/gen` (git-ignored).

The one generator: `make protos` runs this file, the build hook calls `generate()`.
The folder of a proto is its package and its Python import path.
"""

from __future__ import annotations

import shutil
import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent
OUT = ROOT / "gen"


def generate() -> list[str]:
    """Write messages, typed stubs and gRPC classes; return the proto paths compiled."""
    protos = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "apportion").rglob("*.proto"))
    fresh = OUT.with_name("gen.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    include = str(files("grpc_tools") / "_proto")
    arguments = [
        "protoc",
        f"-I{ROOT}",
        f"-I{include}",
        f"--python_out={fresh}",
        f"--mypy_out=quiet:{fresh}",
        f"--grpc_python_out={fresh}",
        f"--mypy_grpc_out=quiet,only_async:{fresh}",
        f"--plugin=protoc-gen-mypy={Path(sys.executable).parent / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={Path(sys.executable).parent / 'protoc-gen-mypy_grpc'}",
        *protos,
    ]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed; see the messages above")
    shutil.rmtree(OUT, ignore_errors=True)
    fresh.rename(OUT)
    return protos


if __name__ == "__main__":
    for path in generate():
        print(path)
