"""Groups of accounts as the server configures them."""

from __future__ import annotations

import msgspec

from apportion.mt5.connection import Caller


class Group(msgspec.Struct, rename="pascal"):
    group: str
    currency: str = ""
    currency_digits: int = 2
    margin_mode: int = 0


async def get(caller: Caller, name: str) -> Group:
    """Raises Refused(13) when the group does not exist or is outside the manager's mask."""
    return (await caller.call("group/get", {"group": name})).as_type(Group)
