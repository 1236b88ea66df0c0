"""Accounts as the server's user records: rights, group, leverage, booked balance."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from apportion.mt5.connection import Caller, Permit
from apportion.mt5.enums import DEFAULT_RIGHTS
from apportion.mt5.errors import Refused
from apportion.mt5.numbers import fixed
from apportion.mt5.records import batch_of_groups
from apportion.mt5.retcodes import Retcode


class User(msgspec.Struct, rename="pascal"):
    """`Comment` and `Name` are empty when the manager may not see personal data."""

    login: int
    group: str = ""
    rights: int = 0
    name: str = ""
    leverage: int = 0
    comment: str = ""
    balance: str = "0"
    credit: str = "0"

    def balance_minor(self, digits: int) -> int:
        return fixed(self.balance, digits)

    def credit_minor(self, digits: int) -> int:
        return fixed(self.credit, digits)


class NewUser(msgspec.Struct, frozen=True):
    group: str
    name: str
    leverage: int
    comment: str
    main_password: str
    investor_password: str
    rights: int = int(DEFAULT_RIGHTS)


async def add(caller: Caller, user: NewUser, *, permit: Permit | None = None) -> User:
    """Creates an account; the server picks the login. A write: see `Connection.call`."""
    query: dict[str, str | int] = {
        "group": user.group,
        "name": user.name,
        "leverage": user.leverage,
        "rights": user.rights,
    }
    body = {
        "Group": user.group,
        "Name": user.name,
        "Leverage": str(user.leverage),
        "Rights": str(user.rights),
        "Comment": user.comment,
        "PassMain": user.main_password,
        "PassInvestor": user.investor_password,
    }
    return (await caller.call("user/add", query, body, write=True, permit=permit)).as_type(User)


async def get(caller: Caller, login: int) -> User:
    """Raises Refused(13) when the server does not know the login."""
    return (await caller.call("user/get", {"login": login})).as_type(User)


async def list_of_groups(caller: Caller, groups: Sequence[str]) -> list[User]:
    """All accounts of the groups (names or masks)."""
    return await batch_of_groups(caller, "user/get_batch", groups, User)


async def logins_of_group(caller: Caller, group: str) -> list[int]:
    """Of all accounts of the group (name or mask), and nothing else of them."""
    return await batch_of_groups(caller, "user/logins", [group], int)


async def set_rights(caller: Caller, login: int, rights: int, *, permit: Permit | None = None) -> None:
    """A write, and idempotent. The server ignores what it dislikes without a word: read again and compare."""
    body = {"Login": str(login), "Rights": str(rights)}
    await caller.call("user/update", {"login": login}, body, write=True, permit=permit)


async def change_password(
    caller: Caller, login: int, kind: str, password: str, *, permit: Permit | None = None
) -> None:
    """`kind`: main or investor. A write, and idempotent. Refused(3006) for one that is too simple."""
    body = {"Login": str(login), "Type": kind, "Password": password}
    await caller.call("user/change_password", {"login": login}, body, write=True, permit=permit)


async def has_password(caller: Caller, login: int, kind: str, password: str) -> bool:
    """Whether this is the password of that kind."""
    try:
        await caller.call(
            "user/check_password", {"login": login}, {"Login": str(login), "Type": kind, "Password": password}
        )
    except Refused as refused:
        if refused.retcode == Retcode.BAD_PASSWORD:
            return False
        raise
    return True
