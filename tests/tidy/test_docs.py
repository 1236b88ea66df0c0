"""What the documents say must be so."""

from __future__ import annotations

import re
from functools import cache

from evidence import asserted, made
from tree import ROOT, files, refuse, text

from apportion.api.allocation.v1 import allocations_pb2
from apportion.devstack.registry import errors_page
from apportion.platform_groups.adapters import mt5_answers
from apportion.platform_groups.domain import orders, transfers
from apportion.risk.domain import limits

LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#]+)")


def test_the_list_of_errors_is_current() -> None:
    page = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    refuse(
        [] if page == errors_page() else ["docs/errors.md differs from the error classes"],
        ".venv/bin/python -m apportion.devstack errors > docs/errors.md",
    )


def test_every_reason_is_raised_and_tested_where_it_belongs() -> None:
    from apportion.errors import registry

    findings = []
    # Tests that ran before in this process may have made classes of their own.
    for error in [error for error in registry() if error.__module__.startswith("apportion.")]:
        raised, tested = _evidence(error.__module__.split(".")[1])
        if error.__name__ not in raised:
            findings.append(f"{error.__name__} is never raised")
        if not {error.__name__, error.reason} & tested:
            findings.append(f"{error.reason} has no test")
    refuse(findings, "raise it where it belongs and test it, or delete the class")


@cache
def _evidence(package: str) -> tuple[set[str], set[str]]:
    """Names made, and words asserted, where a package's reasons belong: in its own folder; shared ones anywhere."""
    parent = "services" if (ROOT / "services" / package.replace("_", "-")).exists() else "libs"
    home = "" if package == "errors" else f"{parent}/{package.replace('_', '-')}/"
    mine = [path for path in files() if path.suffix == ".py" and path.as_posix().startswith(home)]
    return made(p for p in mine if "tests" not in p.parts), asserted(p for p in mine if "tests" in p.parts)


def test_every_outcome_is_explained() -> None:
    page = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs/outcomes.md").read_text(encoding="utf-8"), re.MULTILINE))
    enums = {
        *(name.removeprefix("MISMATCH_") for name in allocations_pb2.Mismatch.keys()[1:]),
        *(name.removeprefix("SKIP_REASON_") for name in allocations_pb2.SkipReason.keys()[1:]),
        *filter(None, limits.Alarm),
    }
    constants = {
        value
        for module in (orders, transfers)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str) and value.isupper()
    }
    known = enums | constants | set(mt5_answers.REASONS.values())
    refuse(
        [*sorted(known - page), *(f"{name} is none" for name in sorted(page - known))], "explain it in docs/outcomes.md"
    )


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
