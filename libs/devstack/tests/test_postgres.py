from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from apportion.devstack.postgres import EmbeddedPostgres
from apportion.devstack.server_process import ServerNotStarted


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that the unprivileged user may pass, as pytest's `tmp_path` of root is not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


async def test_a_role_owns_its_database_and_data_survive_a_restart(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    try:
        await server.start()
        url = await server.create_database("fees", "fees_service")
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE EXTENSION btree_gist; CREATE TABLE kept AS SELECT 42 AS answer")
        assert await connection.fetchval("SELECT NOT rolsuper FROM pg_roles WHERE rolname = current_user")
        await connection.close()
        await server.stop()

        await server.start()
        connection = await asyncpg.connect(await server.create_database("fees", "fees_service"))
        assert await connection.fetchval("SELECT answer FROM kept") == 42
        assert await connection.fetchval("SHOW fsync") == "off"
        assert await connection.fetchval("SHOW server_version_num") >= "180000"
        await connection.close()
    finally:
        await server.stop()


async def test_a_damaged_cluster_is_reported_with_the_servers_log(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    await server.start()
    await server.stop()
    data = server._data_folder()
    (data / "global" / "pg_control").write_bytes(b"")
    with pytest.raises(ServerNotStarted, match="pg_control"):
        await server.start()


async def test_the_server_does_not_outlive_a_killed_owner(folder: Path) -> None:
    program = (
        "import asyncio, pathlib, sys\n"
        "from apportion.devstack.postgres import EmbeddedPostgres\n"
        "async def main():\n"
        "    server = EmbeddedPostgres(pathlib.Path(sys.argv[1]))\n"
        "    await server.start()\n"
        "    print(server.pid, flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    server_pid = int(await asyncio.to_thread(owner.stdout.readline))
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    async with asyncio.timeout(15):
        while _is_running(server_pid):
            await asyncio.sleep(0.02)


def _is_running(pid: int) -> bool:
    """A dead child of a dead parent may wait for a sluggish init as a zombie."""
    try:
        os.kill(pid, 0)
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
