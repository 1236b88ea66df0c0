"""Where files may be, and which files may not be at all."""

from __future__ import annotations

import re

from tree import ROOT, files, refuse, text, tracked


def test_the_namespace_and_the_tests_have_no_init() -> None:
    stray = [
        str(path)
        for path in files()
        if path.name == "__init__.py" and (path.parent.as_posix().endswith("src/apportion") or "tests" in path.parts)
    ]
    refuse(stray, "delete it: PEP 420 namespaces and importlib test modules need none, and one hides its siblings")


def test_no_generated_code_or_host_bound_lock_is_tracked() -> None:
    pattern = re.compile(r"(^|/)(uv\.lock|pylock\.toml)$|_pb2(_grpc)?\.pyi?$|^protos/gen/")
    refuse([name for name in tracked() if pattern.search(name)], "git rm --cached it; it is made by `make setup`")


def test_no_file_names_a_package_registry() -> None:
    hosts = re.compile("|".join(["py" + r"pi\.org", "python" + "hosted", "npm" + r"js\.", "deb" + r"\.debian"]))
    named = [str(path) for path in files() if path.suffix != ".png" and hosts.search(_readable(path))]
    refuse(named, "leave the registry to the machine's own configuration")


def test_files_are_small() -> None:
    big = [f"{path} ({(ROOT / path).stat().st_size})" for path in files() if (ROOT / path).stat().st_size > 1 << 20]
    refuse(big, "keep files over 1 MiB out of the repository")


def test_nothing_is_left_for_later() -> None:
    marks = re.compile(r"\b(TO" + "DO|FIX" + r"ME|XX" + r"X|NotImplemented" + r"Error)\b")
    left = [
        f"{path}:{number}"
        for path in files()
        if path.suffix in {".py", ".proto"}
        for number, line in enumerate(text(path).splitlines(), 1)
        if marks.search(line)
    ]
    refuse(left, "finish it now, or leave it out and say so in the docs")


def test_every_distribution_has_the_same_parts() -> None:
    homes = [path.parent for path in files() if path.name == "pyproject.toml" and len(path.parts) == 3]
    missing = [
        f"{home}: {part}" for home in homes for part in ("README.md", "tests") if not (ROOT / home / part).exists()
    ]
    typed = [f"{home}: py.typed" for home in homes if not list((ROOT / home / "src/apportion").glob("*/py.typed"))]
    refuse(missing + typed, "give each lib and service a README.md, a tests folder and a py.typed marker")


def test_migrations_are_numbered_in_the_order_in_which_they_run() -> None:
    """The check at a service's start takes the highest number for the newest migration."""
    folders = {path.parent for path in files() if path.parent.name == "migrations" and path.suffix == ".py"}
    wrong = []
    for folder in folders:
        versions = sorted(path for path in files() if path.parent == folder and path.name[0].isdigit())
        for number, path in enumerate(versions, 1):
            before = f'"{number - 1:04}"' if number > 1 else "None"
            said = f'revision = "{number:04}"\ndown_revision = {before}\n'
            if not path.name.startswith(f"{number:04}_") or said not in text(path):
                wrong.append(str(path))
    refuse(wrong, "give it the next number, and the one before as its down_revision")


def _readable(path: object) -> str:
    try:
        return text(path)  # type: ignore[arg-type]
    except UnicodeDecodeError:
        return ""
