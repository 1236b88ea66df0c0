"""Has each open child the stops of its master's position, turned around where it goes the other way?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from apportion.api.allocation.v1 import allocations_pb2, subscriptions_pb2
from apportion.devstack.crowd import CrowdMaster
from apportion.devstack.ledger import Json
from apportion.devstack.random_books import Book


def stop_problems(
    master: CrowdMaster,
    children: Iterable[allocations_pb2.ChildTrade],
    symbols: dict[int, str],
    server: dict[int, Book],
) -> Iterator[str]:
    """By what is open on the server. `symbols`: the master's, by position. Whoever was detached is on his own."""
    held = server[master.login].positions
    for child in children:
        link = master.links[child.subscription_id]
        detached = link.left == subscriptions_pb2.LEAVE_POLICY_DETACH
        if not child.open_volume_e8 or detached:
            continue
        position = _find(server[link.login].positions, child.position_ticket)
        followed = _followed(master, held, child, symbols)
        if position is None or followed is None:
            continue
        wanted = ("0.00000", "0.00000")
        if not link.settings.ignore_stops:
            same = position["Action"] == followed["Action"]
            wanted = _stops(followed) if same else _stops(followed)[::-1]
        if _stops(position) != wanted:
            yield f"child {child.child_trade_id} of {link.login} has the stops {_stops(position)}, not {wanted}"


def _followed(
    master: CrowdMaster, held: list[Json], child: allocations_pb2.ChildTrade, symbols: dict[int, str]
) -> Json | None:
    """A netting position's ticket changes when it turns around, its symbol does not."""
    if not master.terms.nets:
        return _find(held, child.master_position_ticket)
    symbol = symbols.get(child.master_position_ticket)
    return next((position for position in held if position["Symbol"] == symbol), None)


def _find(positions: list[Json], ticket: int) -> Json | None:
    return next((position for position in positions if int(position["Position"]) == ticket), None)


def _stops(position: Json) -> tuple[str, str]:
    return position["PriceSL"], position["PriceTP"]
