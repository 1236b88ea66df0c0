"""Balance operations: deposits and withdrawals, booked at once by the server."""

from __future__ import annotations

import msgspec

from apportion.mt5.comments import uncut
from apportion.mt5.connection import Caller, Permit
from apportion.mt5.enums import DealAction
from apportion.mt5.numbers import to_fixed


class _Ticket(msgspec.Struct, rename="pascal"):
    ticket: int


async def change(
    caller: Caller, login: int, amount_minor: int, digits: int, comment: str, *, permit: Permit | None = None
) -> int:
    """Books a deposit (above 0) or a withdrawal and returns the deal's ticket.

    A write without any key against repeats: after OutcomeUnknown look for `comment` among the deals before anything
    else. Withdrawals may not use margin. `permit`: see `Connection.call`. Raises ValueError when the server would cut
    the comment.
    """
    query: dict[str, str | int] = {
        "login": login,
        "type": int(DealAction.BALANCE),
        "balance": to_fixed(amount_minor, digits),
        "comment": uncut(comment),
    }
    if amount_minor < 0:
        query["check_margin"] = 1
    return (await caller.call("trade/balance", query, write=True, permit=permit)).as_type(_Ticket).ticket
