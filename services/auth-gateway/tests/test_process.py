"""The gateway as operators run it: commands, real processes, mutual TLS inside, and no secret anywhere."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import text

from apportion.auth_gateway.domain.brokers import NewBroker
from apportion.auth_gateway.operations.administer_broker import BrokerOffice, create_broker, import_password
from apportion.auth_gateway.operations.check_password import PasswordCheck
from apportion.rpc import Server, Tls
from apportion.runtime import SystemClock
from apportion.storage import create_engine, transaction
from apportion.testing.polling import PATIENCE_SECONDS, eventually

PACKAGE = "apportion.auth_gateway.storage"
LOGIN = 432450857
CANARY = "canary5ecret"
PEPPER = f"{CANARY}-pepper-0123456789abcdef0123456789"


class Operator:
    """Runs `python -m apportion.auth_gateway …` with the same settings, and keeps all that is printed."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.environment = os.environ | environment
        self.folder = folder
        self.printed = b""

    async def start(self, *arguments: str, **pipes: Any) -> asyncio.subprocess.Process:
        command = (sys.executable, "-m", "apportion.auth_gateway", *arguments)
        return await asyncio.create_subprocess_exec(*command, env=self.environment, cwd=self.folder, **pipes)

    async def run(self, *arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        pipe = asyncio.subprocess.PIPE
        process = await self.start(*arguments, stdin=pipe, stdout=pipe, stderr=pipe)
        out, err = await process.communicate(stdin)
        self.printed += err
        return process.returncode or 0, out.decode(), err.decode()

    async def broker(self, *arguments: str, stdin: bytes = b"") -> dict[str, Any]:
        code, out, err = await self.run("broker", *arguments, stdin=stdin)
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
def settings(redis_url: str) -> dict[str, str]:
    values = {
        "redis_url": redis_url,
        "pepper": PEPPER,
        "platform_groups_address": "127.0.0.1:1",
        "allocation_address": "127.0.0.1:1",
        "insecure": "true",
        "brokers_ttl_seconds": "0.1",
        "refusal_seconds": "0.01",
        "log_level": "debug",
    }
    return {f"AUTH_GATEWAY_{name.upper()}": value for name, value in values.items()}


async def test_brokers_are_administered_from_the_command_line(
    make_database: Any, settings: dict[str, str], tmp_path: Path
) -> None:
    database_url = await make_database(PACKAGE)
    operator = Operator(tmp_path, settings | {"AUTH_GATEWAY_DATABASE_URL": database_url})
    created = await operator.broker(
        "create", "--label", "1", "--name", "One", "--area", "http://Invest.Broker.example/", "--language", "ru"
    )
    assert len(created["password"]) == 32
    rotated, refused = await asyncio.gather(
        operator.broker("rotate-password", "--label", "1"),
        operator.run("broker", "create", "--label", "2", "--name", "Two", "--area", "javascript:x"),
    )
    assert rotated["password"] != created["password"]
    assert refused[0] == 1
    assert "AREA_INVALID" in refused[2]
    [told] = (await operator.broker("list"))["brokers"]
    assert (told["state"], told["areas"], told["language"]) == ("active", ["http://invest.broker.example"], "ru")
    assert [password["valid_until"] is None for password in told["passwords"]] == [False, True]
    engine = create_engine(database_url)
    async with transaction(engine) as tx:
        actions = (await tx.execute(text("SELECT action FROM audit ORDER BY audit_id"))).scalars().all()
    await engine.dispose()
    assert actions == ["broker_created", "password_rotated"]


async def test_settings_are_checked_without_showing_secrets(settings: dict[str, str], tmp_path: Path) -> None:
    operator = Operator(tmp_path, settings | {"AUTH_GATEWAY_DATABASE_URL": "postgresql://u:p4ss@h/d"})
    broken = Operator(tmp_path, settings | {"AUTH_GATEWAY_PEPPER": "short"})
    good, bad = await asyncio.gather(operator.run("check-settings"), broken.run("serve"))
    assert good[0] == 0
    assert "p4ss" not in good[1]
    assert CANARY not in good[1]
    assert bad[0] == 2
    assert "AUTH_GATEWAY_PEPPER" in bad[2]
    assert "AUTH_GATEWAY_DATABASE_URL" in bad[2]


async def test_a_served_gateway_tells_no_secret(
    postgres_url: str, settings: dict[str, str], tmp_path: Path, tls_dir: Path, upstream: Any
) -> None:
    """Migrate, create, serve over mutual TLS, sign in, fail in every way; then search all output and the database."""
    upstream.add_account(1, 7, LOGIN)
    environment = settings | {
        "AUTH_GATEWAY_DATABASE_URL": postgres_url,
        "AUTH_GATEWAY_INSECURE": "false",
        "AUTH_GATEWAY_DEVELOPMENT": "true",  # the tests' PostgreSQL does not sync
        "AUTH_GATEWAY_READY_FILE": str(tmp_path / "ready.json"),
    }
    identity = tls_of(tls_dir, "auth-gateway")
    environment |= {
        "AUTH_GATEWAY_TLS_CERTIFICATE_FILE": str(identity.certificate_file),
        "AUTH_GATEWAY_TLS_KEY_FILE": str(identity.key_file),
        "AUTH_GATEWAY_TLS_CA_FILE": str(identity.ca_file),
    }
    operator = Operator(tmp_path, environment)
    assert (await operator.run("migrate"))[0] == 0
    await create_canary_broker(postgres_url)
    async with AsyncExitStack() as stack:
        for name in ("platform-groups", "allocation"):
            address = await stack.enter_async_context(serving_upstream(upstream, tls_dir, name))
            operator.environment[f"AUTH_GATEWAY_{name.upper().replace('-', '_')}_ADDRESS"] = address
        log = stack.enter_context((tmp_path / "log").open("wb"))
        process = await operator.start("run", stdout=log, stderr=log)
        try:
            await eventually(lambda: (tmp_path / "ready.json").exists() or process.returncode is not None)
            address = json.loads((tmp_path / "ready.json").read_text())["address"]
            secrets = await spill(f"http://{address}")
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) == 0
    everything = operator.printed + (tmp_path / "log").read_bytes() + await dump(postgres_url)
    assert b"call_refused" in everything
    for secret in (CANARY, *secrets):
        assert secret.encode() not in everything


async def create_canary_broker(database_url: str) -> None:
    """Broker 1, with the canary as a legacy password."""
    engine, clock = create_engine(database_url), SystemClock()
    office = BrokerOffice(engine, clock, os.urandom, PasswordCheck(PEPPER.encode(), clock), "test")
    await create_broker(office, NewBroker(1, "One"), ["http://invest.broker.example"])
    await import_password(office, 1, f"{CANARY}-legacy".encode(), 0)
    await engine.dispose()


async def spill(url: str) -> list[str]:
    """Use secrets rightly and put them where they do not belong; the ones that the gateway made."""
    login = {"la_login": str(LOGIN), "la_type": "0", "lbl": "1", "ManagerPass": f'"{CANARY}-legacy"'}
    async with aiohttp.ClientSession(headers={"Content-Type": "application/json"}) as http:

        async def post(body: Any, headers: dict[str, str], path: str = "/dx") -> Any:
            data = body if isinstance(body, bytes) else json.dumps({"jsonrpc": "2.0", "id": 1} | body).encode()
            async with http.post(url + path, data=data, headers=headers) as response:
                return await response.json()

        la_auth = {"method": "la.auth", "params": {"wa_login": LOGIN}}
        token = (await post(la_auth, login))["result"]["token"]
        exchange = {"method": "session.exchange", "params": {"token": token, "transport": "bearer"}}
        key = (await post(exchange, {}))["result"]["session"]
        assert "result" in await post({"method": "accounts.get"}, {"Authorization": f"Bearer {key}"})
        await post(exchange, {})
        for header in (
            "ManagerPass",
            "la_login",
            "lbl",
            "la_type",
            "Origin",
            "Cookie",
            "Authorization",
            "X-Request-Id",
        ):
            await post(la_auth, login | {header: f"{CANARY} {token} {key}"})
        for body in (
            f'{{"{CANARY}":'.encode(),
            f'{{"{CANARY}":1,"{CANARY}":1}}'.encode(),
            {"method": f"{CANARY}"},
            {"method": "la.auth", "params": {"wa_login": CANARY, CANARY: token}},
            {"method": "session.exchange", "params": {"token": CANARY}},
            {"method": CANARY, "params": CANARY},
        ):
            answer = await post(body, login)
            assert CANARY not in json.dumps(answer)
        await post(la_auth, login, f"/{CANARY}/{token}")
        async with http.get(f"{url}/redirect/{token}", params={"lang": CANARY}, allow_redirects=False) as response:
            assert CANARY not in response.headers.get("Location", "")
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"POST /dx HTTP/1.1\r\nHost: x\r\n{CANARY} broken\r\n\r\n".encode())
    assert CANARY.encode() not in await reader.read()
    writer.close()
    return [token, key]


@asynccontextmanager
async def serving_upstream(upstream: Any, tls_dir: Path, name: str) -> AsyncIterator[str]:
    peers = {"auth-gateway": ["/apportion.api.*"]}
    server = Server("127.0.0.1:0", tls=tls_of(tls_dir, name), peers=peers, domain=name, drain_delay_seconds=0)
    upstream.register(server.grpc)
    address = await server.start()
    try:
        yield address
    finally:
        await server.drain(grace_seconds=0)


def tls_of(tls_dir: Path, name: str) -> Tls:
    return Tls(tls_dir / f"{name}.pem", tls_dir / f"{name}-key.pem", tls_dir / "ca.pem")


async def dump(database_url: str) -> bytes:
    engine = create_engine(database_url)
    found = ""
    async with transaction(engine) as tx:
        for table in ("brokers", "areas", "api_passwords", "audit"):
            found += str((await tx.execute(text(f"SELECT t::text FROM {table} t"))).scalars().all())
    await engine.dispose()
    return found.encode()
