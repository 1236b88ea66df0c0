"""A broker's trader's room: registers its broker at the gateway and signs a user in, as the published request does."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from shlex import quote
from typing import Any

import aiohttp

from apportion.devstack.stack import GATEWAY, Stack

AREA = "http://invest.example-broker.test"
SIGN_IN_SECONDS = 10.0


class RoomFailed(Exception):
    """The gateway's command line or the gateway refused."""


@dataclass(frozen=True)
class Room:
    gateway_url: str
    label: int
    manager_pass: str
    wallet_login: int = 0

    def of(self, wallet_login: int) -> Room:
        """The same room with this user in front of it."""
        return replace(self, wallet_login=wallet_login)

    def headers(self) -> dict[str, str]:
        return {
            "la_login": str(self.wallet_login),
            "la_type": "0",
            "lbl": str(self.label),
            "ManagerPass": f'"{self.manager_pass}"',
        }

    def body(self) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": None, "method": "la.auth", "params": {"wa_login": self.wallet_login}}

    async def sign_in(self) -> dict[str, Any]:
        """The answer of `la.auth`."""
        timeout = aiohttp.ClientTimeout(total=SIGN_IN_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(f"{self.gateway_url}/dx", json=self.body(), headers=self.headers()) as response,
        ):
            answer: dict[str, Any] = await response.json()
        if "result" not in answer:
            raise RoomFailed(f"la.auth: {answer}")
        return answer

    def request_script(self) -> str:
        """The request of `sign_in` as a shell script, for a person to read and run."""
        headers = {**self.headers(), "Content-Type": "application/json"}
        options = [f"-H {quote(f'{name}: {value}')}" for name, value in headers.items()]
        lines = [f"curl -sw '\\n' {self.gateway_url}/dx", *options, f"-d {quote(json.dumps(self.body()))}"]
        return " \\\n    ".join(lines) + "\n"


async def create_broker(stack: Stack, label: int) -> Room:
    """Register the demo's broker with the gateway's own command line, or give it a new password on a kept folder."""
    options = ["--label", str(label), "--name", "Example Broker", "--area", AREA, "--language", "en"]
    try:
        made = await _command(stack, "create", *options)
    except RoomFailed as refusal:
        if "BROKER_EXISTS" not in str(refusal):
            raise
        made = await _command(stack, "rotate-password", "--label", str(label), "--grace-seconds", "0")
    return Room(stack.gateway_url, label, made["password"])


async def _command(stack: Stack, *words: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "apportion.auth_gateway", "broker", *words),
        env=stack.services[GATEWAY].environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = await process.communicate()
    if process.returncode != 0:
        raise RoomFailed(errors.decode())
    answer: dict[str, Any] = json.loads(output)
    return answer
