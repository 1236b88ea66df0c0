"""The demo's money managers: seeded strategies at the simulator's terminals, never through Apportion."""

from __future__ import annotations

import asyncio

from apportion.devstack.world import World
from apportion.mt5_simulator.player import Strategy, StrategyPlayer
from apportion.mt5_simulator.process import SimulatorProcess

# Mean real seconds between two trades of a master.
HOLDING_SECONDS = 6.0
STRATEGIES = {
    "copy": Strategy(symbols=("EURUSD", "GBPUSD"), smallest_volume="0.20", largest_volume="1.00"),
    "multiplier": Strategy(symbols=("EURUSD", "AUDUSD"), smallest_volume="0.10", largest_volume="0.80"),
    "pooled": Strategy(symbols=("EURUSD", "USDJPY"), smallest_volume="2.00", largest_volume="12.00"),
}


async def trade_for_ever(world: World, simulator: SimulatorProcess, seed: int) -> None:
    """All masters trade until cancelled; a tripped master's orders are refused by the server, and it goes on trying."""

    async def wait(seconds: float) -> None:
        await asyncio.sleep(seconds * HOLDING_SECONDS / Strategy().holding_seconds)

    players = [
        StrategyPlayer(simulator.admin, world.masters[key].login, strategy, seed)
        for key, strategy in STRATEGIES.items()
    ]
    await asyncio.gather(*(player.play(wait) for player in players))
