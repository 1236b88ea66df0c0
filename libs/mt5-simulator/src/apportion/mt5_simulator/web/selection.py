"""Which accounts, groups or records a request means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from apportion.mt5_simulator.codes import PAGE_SIZE, Refused, Retcode
from apportion.mt5_simulator.domain.settings import matches_mask, unescape_name
from apportion.mt5_simulator.server import Server
from apportion.mt5_simulator.web.call import Call

Item = TypeVar("Item")


def groups_meant(server: Server, masks: Sequence[str]) -> list[str]:
    """Names of groups that any of the names or masks covers, in configured order."""
    joined = ",".join(masks)
    return [group.name for group in server.settings.groups if matches_mask(joined, group.name)]


def logins_meant(server: Server, call: Call) -> list[int]:
    """The accounts of exactly one selector, `login` or `group`; unknown logins are left out."""
    if call.has("login") == call.has("group"):
        raise Refused(Retcode.PARAMETERS)
    if call.has("login"):
        return [login for login in call.integers("login") if login in server.engine.ledger.users]
    return server.engine.ledger.logins_in(groups_meant(server, call.texts("group")))


def time_span_ms(call: Call) -> tuple[int, int]:
    """`from` and `to`, both mandatory, in whole seconds and both included."""
    return call.integer("from") * 1000, call.integer("to") * 1000 + 999


def page(call: Call, items: Sequence[Item]) -> list[Item]:
    """`offset` and `total` (at most 100)."""
    offset, total = call.integer("offset", 0), call.integer("total", PAGE_SIZE)
    if offset < 0 or not 0 < total <= PAGE_SIZE:
        raise Refused(Retcode.PARAMETERS)
    return list(items[offset : offset + total])


def group_name(call: Call, name: str = "group") -> str:
    return unescape_name(call.text(name))
