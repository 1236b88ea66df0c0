"""What each child should have traded, computed again in plain fractions from the trading server's own deals.

Neither the services' figures nor the kernels of the house take part, so a wrong input shows as well as a wrong formula.
Holds where the scripted day and the process tests play: symbols quoted in USD, no spread, lot step and smallest volume
0.01, a deal at each price at which somebody trades later, and masters who trade again only when all have followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from apportion.api.allocation.v1 import masters_pb2
from apportion.devstack.ledger import ENTRY_IN, ENTRY_OUT, Json, Ledger, minor
from apportion.devstack.world import E8, DemoMaster, Follower, World, ratio_e8

STEP_E8 = E8 // 100
CONTRACT_SIZE = 100_000
BY_HAND = "0"  # the reason of a deal at a terminal
HALF = Fraction(1, 2)

Volumes = dict[int, int]


@dataclass(frozen=True)
class FollowedTrade:
    """A master's deal, and what his followers made of it. By login; volumes in 1e-8 lot, signed as buys and sells."""

    key: str
    deal_ticket: int
    opens: bool
    expected_e8: Volumes
    # By the server, until the master's next deal (of a close: of that position), without what was closed by hand.
    traded_e8: Volumes
    # Right before the deal, of the master too.
    equities_minor: dict[int, int]


def followed_trades(world: World, ledger: Ledger) -> list[FollowedTrade]:
    """Every deal of every master, in the order of the server."""
    return [
        trade
        for key, master in world.masters.items()
        for trade in _followed(master, sorted(world.followers[key], key=lambda follower: follower.login), ledger)
    ]


def _followed(master: DemoMaster, followers: list[Follower], ledger: Ledger) -> Iterator[FollowedTrade]:
    trades = sorted(ledger.server[master.login].trades, key=_ticket)
    # Of the followers, by the master's.
    children: dict[str, set[str]] = {}
    for trade in trades:
        begin, opens, position = _ticket(trade), trade["Entry"] == ENTRY_IN, trade["PositionID"]
        logins = [master.login, *(follower.login for follower in followers)]
        equities = {login: _equity_minor(ledger, login, begin) for login in logins}
        if opens:
            end = min((_ticket(other) for other in trades if _ticket(other) > begin), default=None)
            after = {f.login: _opened(ledger, f.login, begin, end) for f in followers}
            children[position] = {deal["PositionID"] for deals in after.values() for deal in deals}
            expected = _opening(master, followers, equities, abs(_volume_e8(trade)))
        else:
            same = [_ticket(other) for other in trades if other["PositionID"] == position]
            end = min((ticket for ticket in same if ticket > begin), default=None)
            after = {f.login: _closed(ledger, f.login, children[position], begin, end) for f in followers}
            held = {f.login: abs(_held_e8(ledger, f.login, children[position], begin)) for f in followers}
            before = abs(_held_e8(ledger, master.login, {position}, begin))
            expected = _closing(master, held, Fraction(abs(_volume_e8(trade)), before))
        sign = 1 if _volume_e8(trade) > 0 else -1
        yield FollowedTrade(
            master.style.key,
            begin,
            opens,
            {login: sign * volume for login, volume in expected.items()},
            {login: sum(map(_volume_e8, deals)) for login, deals in after.items()},
            equities,
        )


def _opened(ledger: Ledger, login: int, begin: int, end: int | None) -> list[Json]:
    return [deal for deal in _between(ledger, login, begin, end) if deal["Entry"] == ENTRY_IN]


def _closed(ledger: Ledger, login: int, positions: set[str], begin: int, end: int | None) -> list[Json]:
    return [
        deal
        for deal in _between(ledger, login, begin, end)
        if deal["Entry"] == ENTRY_OUT and deal["PositionID"] in positions and deal["Reason"] != BY_HAND
    ]


def _between(ledger: Ledger, login: int, begin: int, end: int | None) -> list[Json]:
    """Trades after a deal and before another, or to the end."""
    return [d for d in ledger.server[login].trades if begin < _ticket(d) and (end is None or _ticket(d) < end)]


def _opening(master: DemoMaster, followers: list[Follower], equities: dict[int, int], volume_e8: int) -> Volumes:
    steps = Fraction(volume_e8, STEP_E8)
    logins = [follower.login for follower in followers]
    match master.style.method:
        case masters_pb2.ALLOCATION_METHOD_RATIO_MULTIPLIER:
            shares = [steps * Fraction(ratio_e8(master.style, f.deposit_minor), E8) for f in followers]
            parts = [floor(share + HALF) for share in shares]
        case masters_pb2.ALLOCATION_METHOD_COPY_BY_EQUITY:
            parts = [floor(steps * Fraction(equities[login], equities[master.login]) + HALF) for login in logins]
        case masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_EQUITY:
            parts = _nearest_largest(int(steps), [equities[login] for login in logins])
        case other:
            raise ValueError(f"no formula for method {other}")
    return {login: part * STEP_E8 for login, part in zip(logins, parts, strict=True)}


def _closing(master: DemoMaster, held: Volumes, fraction: Fraction) -> Volumes:
    """All of a full close; a part divided by the largest remainder, or taken of each copy alone, half up."""
    if fraction == 1:
        return held
    steps = {login: Fraction(volume, STEP_E8) for login, volume in held.items()}
    if master.style.method != masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_EQUITY:
        return {login: floor(open_steps * fraction + HALF) * STEP_E8 for login, open_steps in steps.items()}
    total = sum(steps.values(), Fraction(0))
    closed = floor(total * fraction + HALF)
    parts = {login: floor(closed * open_steps / total) for login, open_steps in steps.items()}
    remainders = {login: closed * steps[login] / total - parts[login] for login in parts}
    order = sorted(parts, key=lambda login: (-remainders[login], -steps[login], login))
    for login in order[: closed - sum(parts.values())]:
        parts[login] += 1
    return {login: part * STEP_E8 for login, part in parts.items()}


def _nearest_largest(total: int, weights: list[int]) -> list[int]:
    """Each share half up; a shortage to the largest, an excess from the smallest that got something."""
    parts = [floor(Fraction(total * weight, sum(weights)) + HALF) for weight in weights]
    by_weight = sorted(range(len(weights)), key=lambda row: (-weights[row], row))
    while sum(parts) < total:
        for row in by_weight[: total - sum(parts)]:
            parts[row] += 1
    while sum(parts) > total:
        smallest = min((row for row in by_weight if parts[row]), key=lambda row: (weights[row], row))
        parts[smallest] -= 1
    return parts


def _equity_minor(ledger: Ledger, login: int, before_ticket: int) -> int:
    """The balance and the floating profit right before a deal, at the prices of the last deals."""
    past = [deal for deal in ledger.server[login].deals if _ticket(deal) < before_ticket]
    balance = sum(minor(deal["Profit"]) + minor(deal["Storage"]) + minor(deal["Commission"]) for deal in past)
    opened = {deal["PositionID"]: deal for deal in past if deal["Action"] in {"0", "1"} and deal["Entry"] == ENTRY_IN}
    floating = 0
    for position, deal in opened.items():
        held = Fraction(_held_e8(ledger, login, {position}, before_ticket), E8)
        if held:
            gain = (
                held * CONTRACT_SIZE * (_price(ledger, deal["Symbol"], before_ticket) - Fraction(deal["Price"])) * 100
            )
            floating += floor(abs(gain) + HALF) * (1 if gain > 0 else -1)
    return balance + floating


def _held_e8(ledger: Ledger, login: int, positions: set[str], before_ticket: int) -> int:
    """What was open of some positions right before a deal: a close has the opposite sign."""
    deals = ledger.server[login].trades
    return sum(_volume_e8(d) for d in deals if d["PositionID"] in positions and _ticket(d) < before_ticket)


def _price(ledger: Ledger, symbol: str, ticket: int) -> Fraction:
    """Of the last deal on the server up to this one, whoever made it."""
    deals = [deal for deal in _all_trades(ledger) if deal["Symbol"] == symbol and _ticket(deal) <= ticket]
    return Fraction(max(deals, key=_ticket)["Price"])


def _all_trades(ledger: Ledger) -> list[Json]:
    return [deal for book in ledger.server.values() for deal in book.trades]


def _ticket(deal: Json) -> int:
    return int(deal["Deal"])


def _volume_e8(deal: Json) -> int:
    return int(deal["VolumeExt"]) * (1 if deal["Action"] == "0" else -1)
