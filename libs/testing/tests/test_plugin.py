from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import grpc
import pytest
import redis.asyncio

from apportion.api.common.v1 import events_pb2, events_pb2_grpc
from apportion.errors import NotFound, PeerNotAllowed
from apportion.rpc import call_options
from apportion.runtime.clock import FixedClock
from apportion.testing.plugin import EngineFor, MakeDatabase
from apportion.testing.polling import PATIENCE_SECONDS, eventually
from apportion.testing.servers import running_server

MIGRATION = """
from alembic import op
revision = "0001"
down_revision = None

def upgrade():
    op.execute("CREATE TABLE made (id int)")
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    migrations = tmp_path / "made_up_storage" / "migrations"
    migrations.mkdir(parents=True)
    (migrations / "0001_made.py").write_text(MIGRATION)
    monkeypatch.syspath_prepend(tmp_path)
    return "made_up_storage"


@pytest.mark.parametrize("_repetition", range(2))
async def test_each_test_has_an_empty_database(postgres_url: str, _repetition: int) -> None:
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("CREATE TABLE only_here (id int)")
    await connection.close()


@pytest.mark.parametrize("_repetition", range(2))
async def test_each_test_has_an_empty_redis(redis_url: str, _repetition: int) -> None:
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        assert await client.set("only_here", 1, nx=True)


async def test_databases_of_one_package_are_apart(make_database: MakeDatabase, package: str) -> None:
    first = await asyncpg.connect(await make_database(package))
    second = await asyncpg.connect(await make_database(package))
    await first.execute("INSERT INTO made VALUES (1)")
    assert await second.fetchval("SELECT count(*) FROM made") == 0
    await first.close()
    await second.close()


async def test_a_changed_migration_gets_a_new_template(
    make_database: MakeDatabase, engine_for: EngineFor, package: str, tmp_path: Path
) -> None:
    await make_database(package)
    (tmp_path / package / "migrations" / "0001_made.py").write_text(MIGRATION.replace("made (", "made_anew ("))
    engine = await engine_for(package)
    async with engine.connect() as connection:
        await connection.exec_driver_sql("SELECT * FROM made_anew")


def test_the_clock_stands(clock: FixedClock) -> None:
    assert clock.now() == datetime(2026, 1, 5, 10, tzinfo=UTC)


def test_every_service_has_an_identity(tls_dir: Path) -> None:
    assert {"ca.pem", "fees.pem", "fees-key.pem", "operator.pem"} <= {path.name for path in tls_dir.iterdir()}


async def test_eventually_gives_up() -> None:
    assert await eventually(lambda: 7) == 7
    with pytest.raises(AssertionError, match="not true within"):
        await eventually(lambda: False, timeout_seconds=0.05)


class EmptyHistory(events_pb2_grpc.ReplayServiceServicer):
    async def ReplayEvents(
        self, request: events_pb2.ReplayEventsRequest, context: grpc.aio.ServicerContext
    ) -> events_pb2.ReplayEventsResponse:
        raise NotFound("aggregate", request.aggregate_id)

    async def ListHeads(
        self, request: events_pb2.ListHeadsRequest, context: grpc.aio.ServicerContext
    ) -> events_pb2.ListHeadsResponse:
        return events_pb2.ListHeadsResponse()


def add_history(server: grpc.aio.Server) -> None:
    events_pb2_grpc.add_ReplayServiceServicer_to_server(EmptyHistory(), server)


async def test_a_servers_refusal_arrives_as_its_error() -> None:
    async with running_server(add_history) as channel:
        stub = events_pb2_grpc.ReplayServiceStub(channel)
        with pytest.raises(NotFound, match="master-1"):
            await stub.ReplayEvents(events_pb2.ReplayEventsRequest(aggregate_id="master-1"), **call_options(1, 5.0))


async def test_a_peer_needs_to_be_listed() -> None:
    async with running_server(add_history, {"fees": ["/apportion.api.common.v1.*"]}, peer="risk") as channel:
        stub = events_pb2_grpc.ReplayServiceStub(channel)
        with pytest.raises(PeerNotAllowed):
            await stub.ReplayEvents(events_pb2.ReplayEventsRequest(), **call_options(1, 5.0))


SUITE = """
import os
import pytest

@pytest.mark.parametrize("repetition", range(4))
async def test_worker(postgres_url, redis_url, repetition):
    with open(os.environ["SEEN"], "a") as seen:
        seen.write(f"{os.environ['PYTEST_XDIST_WORKER']} {postgres_url.rpartition('/')[0]} {redis_url}\\n")
"""


def test_xdist_workers_share_postgresql_and_have_a_valkey_each_and_none_outlives_the_session(tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode=auto\nasyncio_default_fixture_loop_scope=function\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("APPORTION_TEST", "PYTEST"))}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "each", "-p", "no:cacheprovider", "test_suite.py"],
        cwd=tmp_path,
        env=kept | {"SEEN": str(tmp_path / "seen")},
        capture_output=True,
        text=True,
        timeout=5 * PATIENCE_SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    seen = {tuple(line.split()) for line in (tmp_path / "seen").read_text().splitlines()}
    assert {worker for worker, _, _ in seen} == {"gw0", "gw1"}
    assert len({server for _, server, _ in seen}) == 1
    assert len({redis_url for _, _, redis_url in seen}) == 2
    servers = {server for _, server, _ in seen} | {redis_url.rpartition("/")[0] for _, _, redis_url in seen}
    for port in [int(server.rpartition(":")[2]) for server in servers]:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
