"""docs/errors.md from the error classes themselves."""

from __future__ import annotations

import importlib
from inspect import getdoc

from apportion.errors import DomainError, registry

SERVICES = {
    "every service that pays": "apportion.payments",
    "platform-groups": "apportion.platform_groups.errors",
    "allocation": "apportion.allocation.errors",
    "fees": "apportion.fees.errors",
    "risk": "apportion.risk.errors",
    "auth-gateway": "apportion.auth_gateway.errors",
}
SHARED = "apportion.errors"
HEAD = """# Errors

Every refusal carries a reason: in gRPC as `google.rpc.ErrorInfo.reason`, in JSON-RPC as `error.data.reason`.
This page is generated from the classes: `.venv/bin/python -m apportion.devstack errors > docs/errors.md`.

"""


def errors_page() -> str:
    """One table per owner, reasons in alphabetical order."""
    for module in SERVICES.values():
        importlib.import_module(module)
    owners = {"every service": SHARED, **SERVICES}
    return HEAD + "\n".join(_table(owner, module) for owner, module in owners.items())


def _table(owner: str, module: str) -> str:
    mine = [error for error in registry() if error.__module__ == module or error.__module__.startswith(f"{module}.")]
    rows = [_row(error) for error in sorted(mine, key=lambda error: error.reason)]
    return "\n".join(
        [f"## {owner}", "", "| reason | kind | what happened | what to do |", "|---|---|---|---|", *rows, ""]
    )


def _row(error: type[DomainError]) -> str:
    happened = " ".join((getdoc(error) or "").split())
    return f"| `{error.reason}` | {error.kind.name} | {happened} | {error.cure} |"
