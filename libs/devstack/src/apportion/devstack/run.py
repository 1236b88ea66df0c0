"""`make run`: the five services on embedded servers, for a developer who brings his own trading server."""

from __future__ import annotations

import asyncio
from pathlib import Path

from apportion.devstack.stack import Stack

FOLDER = Path(".run")


async def run_services(folder: Path | None) -> None:
    """Start everything, print where it listens, and stay until cancelled. Data stay in `folder` (default .run)."""
    async with Stack(folder or FOLDER) as stack:
        for name, process in stack.services.items():
            print(f"{name:18} pid {process.pid:<8} log {process.log_file}")
        print(f"{'gateway':18} {stack.gateway_url}/dx")
        await asyncio.Event().wait()
