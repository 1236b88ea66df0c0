"""A consumer in a process of its own, to be killed and stopped: worker.py DATABASE REDIS REPLAY OWNER LEASE_SECONDS."""

from __future__ import annotations

import asyncio
import sys

from events_sample.world import consumer, replay_client

from apportion.events import Redis
from apportion.storage import create_engine


async def main(database_url: str, redis_url: str, replay_address: str, owner: str, lease_seconds: str) -> None:
    async with replay_client(replay_address) as port:
        worker = consumer(
            create_engine(database_url), Redis(redis_url), port, owner=owner, lease_seconds=float(lease_seconds)
        )
        await worker.run()


asyncio.run(main(*sys.argv[1:]))
