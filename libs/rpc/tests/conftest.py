"""A real server over loopback, with or without mutual TLS, whose one method does what the test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from apportion.api.common.v1 import events_pb2, events_pb2_grpc
from apportion.devstack.certificates import issue
from apportion.rpc import Server, Tls, open_channel
from apportion.rpc.tls import channel_credentials

METHOD = "/apportion.api.common.v1.ReplayService/ReplayEvents"
PEERS = {
    "fees": ["/apportion.api.common.v1.ReplayService/*"],
    "risk": ["/apportion.api.common.v1.ReplayService/ListHeads"],
    "operator": ["/grpc.*"],
}

Behave = Callable[[events_pb2.ReplayEventsRequest], Awaitable[events_pb2.ReplayEventsResponse]]


class Replay(events_pb2_grpc.ReplayServiceServicer):
    def __init__(self, behave: Behave) -> None:
        self._behave = behave

    async def ReplayEvents(self, request: events_pb2.ReplayEventsRequest, context: object) -> Any:
        return await self._behave(request)

    async def ListHeads(self, request: events_pb2.ListHeadsRequest, context: object) -> Any:
        return events_pb2.ListHeadsResponse(aggregate_ids=["7"], sequences=[1])


async def answer_empty(request: events_pb2.ReplayEventsRequest) -> events_pb2.ReplayEventsResponse:
    return events_pb2.ReplayEventsResponse()


class Loopback:
    """Makes servers and channels that end with the test."""

    def __init__(self, certificates: Path) -> None:
        self.certificates = certificates
        self._servers: list[Server] = []
        self._channels: list[grpc.aio.Channel] = []

    def tls(self, name: str) -> Tls:
        return Tls(
            self.certificates / f"{name}.pem", self.certificates / f"{name}-key.pem", self.certificates / "ca.pem"
        )

    async def serve(self, behave: Behave = answer_empty, **options: Any) -> str:
        """A server with the name allocation; `options` replace those of Server. Returns its address."""
        options = {"tls": self.tls("allocation"), "peers": PEERS, "drain_delay_seconds": 0.0} | options
        server = Server(options.pop("address", "127.0.0.1:0"), domain="allocation.apportion", **options)
        events_pb2_grpc.add_ReplayServiceServicer_to_server(Replay(behave), server.grpc)
        address = await server.start()
        self._servers.append(server)
        return address

    @property
    def server(self) -> Server:
        """The server started last."""
        return self._servers[-1]

    def stub(self, address: str, peer: str = "fees", **options: Any) -> events_pb2_grpc.ReplayServiceStub:
        """A client with the house rules."""
        channel = open_channel(address, **({"tls": self.tls(peer), "service": "allocation"} | options))
        self._channels.append(channel)
        return events_pb2_grpc.ReplayServiceStub(channel)

    def raw(
        self, address: str, peer: str = "fees", credentials: grpc.ChannelCredentials | None = None
    ) -> grpc.aio.Channel:
        """A plain gRPC channel, as a client of another make would open it."""
        options = [("grpc.ssl_target_name_override", "allocation"), ("grpc.enable_retries", 0)]
        channel = grpc.aio.secure_channel(address, credentials or channel_credentials(self.tls(peer)), options=options)
        self._channels.append(channel)
        return channel

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()
        for server in self._servers:
            await server.drain(0)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("allocation", "fees", "risk", "operator", "stranger"):
        issue(folder, name)
    return folder


@pytest.fixture
async def loopback(certificates: Path) -> AsyncIterator[Loopback]:
    loopback = Loopback(certificates)
    yield loopback
    await loopback.close()


async def refusal(call: Awaitable[object]) -> grpc.aio.AioRpcError:
    """The status a raw call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value
