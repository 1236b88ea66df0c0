from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

from apportion.testing.polling import PATIENCE_SECONDS, eventually

SCHEMA = "apportion.fees.storage"


async def test_the_service_runs_and_ends_cleanly(make_database, redis_url, tmp_path):
    """As started in production, but without TLS: `run` is ready without its peers, and SIGTERM ends it with 0."""
    ready = tmp_path / "ready.json"
    environment = os.environ | {
        "FEES_DATABASE_URL": await make_database(SCHEMA),
        "FEES_REDIS_URL": redis_url,
        "FEES_INSECURE": "true",
        "FEES_READY_FILE": str(ready),
        "FEES_ALLOCATION_ADDRESS": "127.0.0.1:9",
        "FEES_PLATFORM_GROUPS_ADDRESS": "127.0.0.1:9",
        "FEES_DRAIN_SECONDS": "0",
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "apportion.fees", "run", env=environment)
    try:
        await eventually(ready.exists)
        assert json.loads(ready.read_text())["address"].startswith("127.0.0.1:")
    finally:
        process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await process.wait() == 0
    assert not ready.exists()
