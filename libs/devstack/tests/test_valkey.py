from __future__ import annotations

from pathlib import Path

import redis.asyncio

from apportion.devstack.valkey import EmbeddedValkey


async def test_streams_survive_a_restart(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path / "valkey")
    try:
        async with redis.asyncio.Redis.from_url(await server.start()) as client:
            await client.xadd("events:deals:7", {"sequence": 1})
        await server.stop()
        async with redis.asyncio.Redis.from_url(await server.start()) as client:
            assert await client.xlen("events:deals:7") == 1
    finally:
        await server.stop()
