"""Small files and small functions: what a reader can hold in mind."""

from __future__ import annotations

import ast

from tree import python_sources, refuse, text, tree

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def test_files_are_short() -> None:
    long = [
        f"{path} ({count})"
        for path in python_sources()
        if "migrations" not in path.parts and (count := len(text(path).splitlines())) > MAX_FILE_LINES
    ]
    refuse(long, f"split it by what changes together: at most {MAX_FILE_LINES} lines a file")


def test_functions_are_short() -> None:
    long = [
        f"{path}:{node.lineno} {node.name} ({length})"
        for path in python_sources()
        if "migrations" not in path.parts
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES
    ]
    refuse(long, f"name its steps: at most {MAX_FUNCTION_LINES} lines a function")


def test_modules_say_what_they_are_for() -> None:
    silent = [str(path) for path in python_sources() if text(path).strip() and not ast.get_docstring(tree(path))]
    refuse(silent, "begin the module with one sentence on its purpose")
