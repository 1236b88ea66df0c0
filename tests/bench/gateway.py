"""la.auth through the whole gateway against an aiohttp hello: each in its own process, 64 connections, one client."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from tests.bench.measure import Row, rate
from tests.bench.servers import Servers

SCRIPT = Path(__file__).parents[2] / "services" / "auth-gateway" / "tests" / "bench" / "measure_la_auth.py"
ROUNDS = 5
SECONDS = 2.0


async def rows(_servers: Servers) -> list[Row]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, SCRIPT, str(ROUNDS), str(SECONDS), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{SCRIPT.name} ended with {process.returncode}")
    result = json.loads(output)
    return [
        Row(
            "gateway la.auth, 64 connections",
            rate(result["la_auth_qps"]),
            f"aiohttp hello {rate(result['hello_qps'])}",
            result["qps_ratio"],
            0.60,
            0.30,
        ),
        Row(
            "its tail, p99",
            f"{result['la_auth_p99_ms']:.1f} ms",
            f"hello {result['hello_p99_ms']:.1f} ms",
            result["p99_ratio"],
            2,
            4,
        ),
    ]
