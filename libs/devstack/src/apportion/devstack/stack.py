"""All of Apportion on one machine: embedded servers, a simulated trading server, five services, each its own process.

    async with Stack(folder) as stack:
        clients = stack.clients(label=1)
        await stack.services["fees"].kill()      # as a power cut would
        await stack.services["fees"].start()     # same address, same database

Behind `make demo`, `make run` and the process tests.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg

from apportion.devstack.certificates import issue
from apportion.devstack.clients import Clients
from apportion.devstack.ports import free_port
from apportion.devstack.postgres import SUPERUSER, EmbeddedPostgres
from apportion.devstack.service_process import ServiceProcess
from apportion.devstack.valkey import EmbeddedValkey
from apportion.rpc import Tls
from apportion.storage import migrate

SERVICES = ("platform-groups", "allocation", "fees", "risk", "auth-gateway")
OPERATOR = "operator"
GATEWAY = "auth-gateway"

# Whom each service calls.
CALLS: dict[str, tuple[str, ...]] = {
    "platform-groups": (),
    "allocation": ("platform-groups",),
    "fees": ("platform-groups", "allocation"),
    "risk": ("platform-groups", "allocation"),
    "auth-gateway": ("platform-groups", "allocation"),
}
SECRETS = {
    "platform-groups": "PLATFORM_GROUPS_KEK_BASE64",
    "auth-gateway": "AUTH_GATEWAY_PEPPER",
}
# Keys carry their version.
SECRET_PREFIXES = {"platform-groups": "1:"}


class Stack:
    """The embedded servers and the services; services start and stop all at once, in whatever order they are ready.

    `settings` adds environment variables for all services (they win over the defaults here); `split` names the
    services that run `serve` and `work` as processes of their own, with so many workers.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None, split: Mapping[str, int] | None = None):
        self.folder = folder.resolve()  # the processes start in a folder of their own
        self.postgres = EmbeddedPostgres(self.folder / "postgres")
        self.valkey = EmbeddedValkey(self.folder / "valkey")
        self.services: dict[str, ServiceProcess] = {}
        self._settings = dict(settings or {})
        self._split = dict(split or {})
        self._addresses = {name: f"127.0.0.1:{free_port()}" for name in SERVICES}
        self._tls: dict[str, Tls] = {}

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()  # nothing of a stack that did not come up stays behind
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def gateway_url(self) -> str:
        return f"http://{self._addresses[GATEWAY]}"

    def address(self, name: str) -> str:
        """host:port of a service, the same after every restart."""
        return self._addresses[name]

    def clients(self, label: int) -> Clients:
        """Operator's stubs for one broker; the caller closes them."""
        addresses = {name: address for name, address in self._addresses.items() if name != GATEWAY}
        return Clients(addresses, self._tls[OPERATOR], label)

    async def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._tls = {name: issue(self.folder / "certificates", name) for name in (*SERVICES, OPERATOR)}
        await self.postgres.start()
        redis_url = await self.valkey.start()
        secrets_of_services = self._secrets()
        for name in SERVICES:
            database = name.replace("-", "_")
            database_url = await self.postgres.create_database(database, database)
            await migrate(database_url, f"apportion.{database}.storage")
            environment = self._environment(name, database_url, redis_url) | secrets_of_services.get(name, {})
            for process_name, role in self._processes_of(name):
                self.services[process_name] = ServiceProcess(
                    process_name, name, role, environment, self.folder / "services"
                )
        starts = await asyncio.gather(*(p.start() for p in self.services.values()), return_exceptions=True)
        for failure in starts:
            if failure is not None:
                raise failure

    async def stop(self) -> None:
        await asyncio.gather(*(process.stop() for process in self.services.values()))
        await self.valkey.stop()
        await self.postgres.stop()

    async def free_leases(self, name: str) -> None:
        """Of a service that was killed: as when its leases have run out, without waiting for that."""
        database = name.replace("-", "_")
        connection = await asyncpg.connect(self.postgres.url(SUPERUSER, database))
        try:
            await connection.execute("UPDATE leases SET lease_until = '-infinity'; DELETE FROM workers")
        finally:
            await connection.close()

    def _processes_of(self, name: str) -> list[tuple[str, str]]:
        """(process name, subcommand) of a service: one `run`, or one `serve` and several `work`."""
        workers = self._split.get(name, 0)
        if not workers:
            return [(name, "run")]
        return [(name, "serve"), *((f"{name}-worker-{number}", "work") for number in range(1, workers + 1))]

    def _environment(self, name: str, database_url: str, redis_url: str) -> dict[str, str]:
        prefix = name.upper().replace("-", "_") + "_"
        tls = self._tls[name]
        common = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "LISTEN_ADDRESS": self._addresses[name],
            "TLS_CERTIFICATE_FILE": str(tls.certificate_file),
            "TLS_KEY_FILE": str(tls.key_file),
            "TLS_CA_FILE": str(tls.ca_file),
            "DEVELOPMENT": "true",
        }
        peers = {f"{peer.upper().replace('-', '_')}_ADDRESS": self._addresses[peer] for peer in CALLS[name]}
        own = {prefix + key: value for key, value in (common | peers).items()}
        return own | {key: value for key, value in self._settings.items() if key.startswith(prefix)}

    def _secrets(self) -> dict[str, dict[str, str]]:
        """Keys of this stack, made once and kept beside its data: 32 random bytes each, base64."""
        made = {}
        for name, variable in SECRETS.items():
            file = self.folder / f"{variable.lower()}.secret"
            if not file.exists():
                file.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
                file.chmod(0o600)
            made[name] = {variable: SECRET_PREFIXES.get(name, "") + file.read_text()}
        return made
