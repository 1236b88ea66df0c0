"""The loop that notes equities and computes the leaderboard: one worker does it, and the next goes on."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from apportion.allocation.domain.accounts import AccountStates
from apportion.allocation.domain.methods import AllocationMethod
from apportion.allocation.workers.statistician import Statistician
from apportion.errors import UpstreamUnavailable
from apportion.runtime import Background
from apportion.storage import transaction
from apportion.testing.polling import eventually

DAY_MS = 86_400_000


class Server:
    """Tells states; the server's day ends with every look. The first look fails."""

    def __init__(self, house) -> None:
        self._states = house.states
        self.looks = 0

    async def newest(self, trading_server_id: int) -> AccountStates | None:
        self.looks += 1
        if self.looks == 1:
            raise UpstreamUnavailable(service="redis")
        found = await self._states.newest(trading_server_id)
        names = [name for name in AccountStates.__slots__ if name != "server_time_ms"]
        return AccountStates(**{name: getattr(found, name) for name in names}, server_time_ms=self.looks * DAY_MS)


def statistician(house, server: Server, owner: str) -> Statistician:
    return Statistician(house.engine, server, owner, house.clock, sample_seconds=0.01, leaderboard_seconds=0.01)


async def ages(house) -> list[int]:
    async with transaction(house.engine) as tx:
        query = text("SELECT age_day_count FROM leaderboard_rows WHERE day_count = 0")
        return list((await tx.execute(query)).scalars())


@pytest.fixture
async def server(house) -> Server:
    await house.master(AllocationMethod.COPY_BY_EQUITY)
    return Server(house)


async def test_equities_are_noted_and_the_leaderboard_follows(house, server):
    async with Background() as background:
        background.spawn("statistician", statistician(house, server, "one").run)

        async def has_three_days():
            return any(age >= 3 for age in await ages(house))

        await eventually(has_three_days)


async def test_another_worker_goes_on_where_one_stopped(house, server):
    async with Background() as background:
        background.spawn("statistician", statistician(house, server, "one").run)
        await eventually(lambda: server.looks > 2)
    stopped_at = server.looks
    async with Background() as background:
        background.spawn("statistician", statistician(house, server, "two").run)
        await eventually(lambda: server.looks > stopped_at)
