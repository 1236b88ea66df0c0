"""What happens on the trading server during a random day: prices, and what masters and investors do at terminals."""

from __future__ import annotations

from apportion.api.allocation.v1 import masters_pb2
from apportion.devstack.crowd import CrowdMaster
from apportion.devstack.ledger import ENTRY_IN, Json, minor
from apportion.devstack.random_scene import SYMBOLS, DealMade, RandomDay, Round, price_of
from apportion.devstack.random_terms import DIVIDING
from apportion.mt5_simulator.process import AdminRefused

ROUND_SECONDS = 60
OPEN_AT_ONCE = 3
STOPS = 0.5
"""How many of the masters' opens have stops."""
NEAR, FAR = 300, 1_500
"""How far from the price stops are, in points."""
RECKLESS = 0.9
"""What part of his free margin a reckless master uses."""


async def move_prices(day: RandomDay) -> None:
    """Pinned, without a spread: a decision's figures do not depend on the moment. Stops fire on the way."""
    status = await day.simulator.advance(ROUND_SECONDS)
    tables = [dict(day.prices)]
    for symbol, first in SYMBOLS.items():
        points = first + day.chance.randrange(-first // 100, first // 100)
        await day.simulator.set_price(symbol, price_of(points), price_of(points))
        tables.append({**tables[-1], symbol: points})
    day.rounds.append(Round(int(status["server_time_ms"]), tuple(tables)))


async def close_by_hand(day: RandomDay) -> None:
    """Some investors close a copy, all or a part of it."""
    for link in day.chance.sample(day.crowd.links, len(day.crowd.links) // 50 + 1):
        which, share = day.chance.random(), day.chance.random()
        positions = await day.simulator.admin.positions(link.login)
        if positions:
            position = positions[int(which * len(positions))]
            steps = int(position["VolumeExt"]) // 1_000_000
            part = None if steps < 2 or share < 0.7 else f"{steps // 2 / 100:.2f}"
            await day.simulator.close(link.login, position["Position"], part)
            day.counted["closed by investors"] += 1


async def trade(day: RandomDay, master: CrowdMaster) -> DealMade | None:
    """Opens, closes a part, or closes all of a position; some move their stops; at times nothing."""
    draws = [day.chance.random() for _ in range(7)]
    held = await day.simulator.admin.positions(master.login)
    links = tuple(master.followers)
    try:
        if held and draws[4] < 0.4:
            await _move_stops(day, master, held[int(draws[2] * len(held))], draws[5:])
        if draws[0] < 0.2:
            return None
        if held and (len(held) >= OPEN_AT_ONCE or draws[1] < (0.15 if master.terms.nets else 0.4)):
            deal = await _close(day, master, held[int(draws[2] * len(held))], draws[3])
        else:
            deal = await _open(day, master, draws[2], draws[3], draws[4:])
    except AdminRefused as refusal:  # too big for his account: no deal
        day.counted[f"refused {refusal.retcode}"] += 1
        return None
    return DealMade(master, deal, links, master.is_halted)


async def _open(day: RandomDay, master: CrowdMaster, where: float, size: float, draws: list[float]) -> Json:
    # On few symbols a netting position is enlarged, reduced and turned around.
    symbol = sorted(SYMBOLS)[int(where * (2 if master.terms.nets else len(SYMBOLS)))]
    buys = size < 0.6
    lots = 0.5 + 2 * size
    if master.terms.method in DIVIDING:
        lots = len(master.links) * (0.01 + 0.06 * size)
    if master.terms.method == masters_pb2.ALLOCATION_METHOD_EQUAL_RISK:
        lots *= 5  # so that margin levels matter
    if master.terms.is_reckless:
        account = await day.simulator.admin.account(master.login)
        lots = max(0.01, RECKLESS * minor(account["MarginFree"]) / day.prices[symbol])
    stops = _stops(day.prices[symbol], buys, draws[1:]) if draws[0] < STOPS else {}
    order = day.simulator.buy if buys else day.simulator.sell
    deal = await order(master.login, symbol, f"{lots:.2f}", **stops)
    day.counted["masters' opens" if deal["Entry"] == ENTRY_IN else "masters' reductions and reversals"] += 1
    return deal


def _stops(points: int, buys: bool, draws: list[float]) -> dict[str, str]:
    """A loss, or a loss and a profit."""
    below, above = (points + sign * int(NEAR + (FAR - NEAR) * draw) for sign, draw in zip((-1, 1), draws, strict=True))
    loss, profit = (below, above) if buys else (above, below)
    return {"sl": price_of(loss), "tp": price_of(profit)} if draws[0] < 0.7 else {"sl": price_of(loss)}


async def _move_stops(day: RandomDay, master: CrowdMaster, position: Json, draws: list[float]) -> None:
    """To other prices, or away."""
    stops = _stops(day.prices[position["Symbol"]], position["Action"] == "0", draws) if draws[0] < 0.8 else {}
    await day.simulator.admin.modify(master.login, position["Position"], **stops)
    day.counted["masters' stops moved" if stops else "masters' stops taken away"] += 1


async def _close(day: RandomDay, master: CrowdMaster, position: Json, size: float) -> Json:
    steps = int(position["VolumeExt"]) // 1_000_000
    part = None if size < 0.4 or steps < 2 else f"{max(1, int(steps * size * 0.9)) / 100:.2f}"
    day.counted["masters' partial closes" if part else "masters' full closes"] += 1
    return await day.simulator.close(master.login, position["Position"], part)
