"""What the documents say must be so."""

from __future__ import annotations

import re

from tree import ROOT, files, refuse, text

from apportion.devstack.registry import errors_page

LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#]+)")


def test_the_list_of_errors_is_current() -> None:
    page = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    refuse(
        [] if page == errors_page() else ["docs/errors.md differs from the error classes"],
        ".venv/bin/python -m apportion.devstack errors > docs/errors.md",
    )


def test_every_reason_is_used_and_tested() -> None:
    from apportion.errors import registry

    sources = "\n".join(text(p) for p in files() if p.suffix == ".py" and "tests" not in p.parts)
    tests = "\n".join(text(p) for p in files() if p.suffix == ".py" and "tests" in p.parts)
    findings = []
    for error in registry():
        if len(re.findall(rf"\b{error.__name__}\b", sources)) < 2:
            findings.append(f"{error.__name__} is never raised")
        if not re.search(rf"\b({error.__name__}|{error.reason})\b", tests):
            findings.append(f"{error.reason} has no test")
    refuse(findings, "raise it where it belongs and test it, or delete the class")


def test_links_lead_somewhere() -> None:
    broken = [
        f"{path}: {target}"
        for path in files()
        if path.suffix == ".md"
        for target in LINK.findall(text(path))
        if not (ROOT / path.parent / target).exists()
    ]
    refuse(broken, "mend the link")


def test_make_targets_in_the_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    unknown = [
        f"{path}: make {name}"
        for path in files()
        if path.suffix == ".md"
        for name in re.findall(r"`make ([a-z0-9-]+)", text(path))
        if name not in targets
    ]
    refuse(unknown, "name a target of the Makefile")
