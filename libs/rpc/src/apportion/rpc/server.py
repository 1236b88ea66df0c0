"""A gRPC server with the house rules built in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import grpc
import structlog
from grpc_channelz.v1.channelz import add_channelz_servicer
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from apportion.rpc.admission import Admission
from apportion.rpc.guard import Guard, Handler
from apportion.rpc.peers import AllowList, Peers
from apportion.rpc.pool import Pool
from apportion.rpc.tls import Tls, server_credentials

log = structlog.get_logger()

READY_POLL_SECONDS = 1.0
METADATA_BYTES = 8 * 1024
HEALTH_SERVICE = "grpc.health.v1.Health"
INFRASTRUCTURE_PREFIX = "grpc."


class Server:
    """One listening address. Register servicers on `.grpc`, then `start()`; end with `drain()`.

    `peers` maps each peer name to the methods it may call, and everything else is refused; it may be None
    only without TLS, and TLS is left out only in tests and benchmarks. `critical_methods` have a pool of
    their own, so that closing positions does not queue behind statements. `ready` is asked each second and
    decides what the health service says. Answers may be as large as requests, unless `max_answer_bytes` allows more:
    for a question about everything, whose caller has raised the limit of its channel.
    """

    def __init__(
        self,
        address: str,
        *,
        tls: Tls | None,
        peers: Peers | None,
        domain: str,
        max_concurrent: int = 512,
        critical_methods: Sequence[str] = (),
        ready: Callable[[], Awaitable[bool]] | None = None,
        max_message_bytes: int = 1 << 20,
        max_answer_bytes: int | None = None,
        max_call_seconds: float = 30.0,
        drain_delay_seconds: float = 0.5,
        trust_metadata_peer: bool = False,
    ) -> None:
        if tls is not None and (peers is None or trust_metadata_peer):
            raise ValueError("a server with TLS needs an allow list and takes names from certificates only")
        self._address = address
        self._tls = tls
        self._ready = ready
        self._drain_delay_seconds = drain_delay_seconds
        self._pools = (Pool(max_concurrent), Pool(max_concurrent))
        admission = Admission(AllowList(peers), most_seconds=max_call_seconds, trust_metadata_peer=trust_metadata_peer)
        guard = Guard(domain, admission, *self._pools, critical_methods)
        self._registrar = _Registrar(
            grpc.aio.server(options=_options(max_message_bytes, max_answer_bytes or max_message_bytes)), guard
        )
        self._health = health.aio.HealthServicer()
        self._poll: asyncio.Task[None] | None = None

    @property
    def grpc(self) -> grpc.aio.Server:
        """Where generated `add_…Servicer_to_server(servicer, server.grpc)` registers; each handler is guarded."""
        return self._registrar

    async def start(self) -> str:
        """Bind, begin to answer, and return the host:port really bound; OSError when the address is taken."""
        names = [*self._registrar.services]
        reflection.enable_server_reflection([*names, HEALTH_SERVICE, reflection.SERVICE_NAME], self._registrar)
        add_channelz_servicer(self._registrar)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._registrar)
        host, _, _ = self._address.rpartition(":")
        try:
            if self._tls is None:
                port = self._registrar.add_insecure_port(self._address)
            else:
                port = self._registrar.add_secure_port(self._address, server_credentials(self._tls))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self._address}") from error
        await self._set_health(names, await self._is_ready())
        await self._registrar.start()
        if self._ready is not None:
            self._poll = asyncio.create_task(self._follow_readiness(names), name="readiness")
        return f"{host}:{port}"

    async def drain(self, grace_seconds: float) -> None:
        """Say NOT_SERVING, let clients turn away, then stop; calls in flight get `grace_seconds` to finish."""
        if self._poll is not None:
            self._poll.cancel()
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(self._drain_delay_seconds)
        for pool in self._pools:
            pool.draining = True
        await self._registrar.stop(grace_seconds)

    async def _follow_readiness(self, names: Sequence[str]) -> None:
        while True:
            await asyncio.sleep(READY_POLL_SECONDS)
            await self._set_health(names, await self._is_ready())

    async def _is_ready(self) -> bool:
        if self._ready is None:
            return True
        try:
            async with asyncio.timeout(2 * READY_POLL_SECONDS):
                return await self._ready()
        except Exception as error:
            log.warning("readiness_check_failed", error=repr(error))
            return False

    async def _set_health(self, names: Iterable[str], ready: bool) -> None:
        serving = health_pb2.HealthCheckResponse.SERVING
        status = serving if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *names):
            await self._health.set(name, status)


class _Registrar(grpc.aio.Server):
    """A server that guards each handler as it is registered, and remembers the names of the services."""

    def __init__(self, inner: grpc.aio.Server, guard: Guard) -> None:
        self._inner = inner
        self._guard = guard
        self.services: list[str] = []

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Handler]) -> None:
        guarded = {
            name: self._guarded(service_name, f"/{service_name}/{name}", handler)
            for name, handler in method_handlers.items()
        }
        if not service_name.startswith(INFRASTRUCTURE_PREFIX):
            self.services.append(service_name)
        self._inner.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service_name, guarded)])
        self._inner.add_registered_method_handlers(service_name, guarded)

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Nothing: generated code registers the same methods by name as well, and that is where they are guarded."""

    def _guarded(self, service: str, method: str, handler: Handler) -> Handler:
        if service == HEALTH_SERVICE:
            return handler
        if service.startswith(INFRASTRUCTURE_PREFIX):
            return self._guard.peers_only(method, handler)
        return self._guard.around(method, handler)

    def add_insecure_port(self, address: str) -> int:
        return self._inner.add_insecure_port(address)

    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> int:
        return self._inner.add_secure_port(address, server_credentials)

    async def start(self) -> None:
        await self._inner.start()

    async def stop(self, grace: float | None) -> None:
        await self._inner.stop(grace)

    async def wait_for_termination(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 (gRPC's signature)
        return await self._inner.wait_for_termination(timeout)


def _options(max_request_bytes: int, max_answer_bytes: int) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),  # or two servers share one port in silence
        ("grpc.max_receive_message_length", max_request_bytes),
        ("grpc.max_send_message_length", max_answer_bytes),
        ("grpc.max_metadata_size", METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", METADATA_BYTES),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 20_000),  # below the clients' 30 s, or we hang up on them
        ("grpc.max_connection_age_ms", 300_000),
        ("grpc.max_connection_age_grace_ms", 30_000),
    ]
