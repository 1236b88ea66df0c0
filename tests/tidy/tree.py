"""What the house-rule tests look at: the tracked and untracked-but-not-ignored files of the checkout."""

from __future__ import annotations

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def files() -> tuple[Path, ...]:
    """Every file that belongs to the project, relative to the root: what git tracks or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    paths = (Path(name) for name in listed.stdout.decode().split("\0") if name)
    return tuple(sorted(path for path in paths if (ROOT / path).is_file()))


@cache
def tracked() -> tuple[str, ...]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
    return tuple(name for name in listed.stdout.decode().split("\0") if name)


def python_sources() -> list[Path]:
    """The shipped Python files: below a `src/apportion`."""
    return [path for path in files() if path.suffix == ".py" and "src/apportion" in path.as_posix()]


@cache
def text(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(text(path), filename=str(path))


def refuse(findings: list[str], cure: str) -> None:
    """Fail with all findings and one sentence that says how to mend them."""
    if findings:
        raise AssertionError("\n".join([*findings, f"cure: {cure}"]))
