"""A real gRPC server over the loopback, in the process of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc

from apportion.rpc import Peers, Server, open_channel

AddServicers = Callable[[grpc.aio.Server], object]

DOMAIN = "testing.apportion"


@asynccontextmanager
async def serving(add_servicers: AddServicers, peers: Peers | None = None) -> AsyncIterator[str]:
    """A server with all the house rules; yields its host:port.

    `add_servicers` registers on the server it is given. Without TLS: a caller's name is what it says in the metadata,
    checked against `peers`; without `peers` everybody may call everything.
    """
    server = Server(
        "127.0.0.1:0",
        tls=None,
        peers=peers,
        domain=DOMAIN,
        drain_delay_seconds=0,
        trust_metadata_peer=True,
    )
    add_servicers(server.grpc)
    address = await server.start()
    try:
        yield address
    finally:
        await server.drain(grace_seconds=0)


@asynccontextmanager
async def running_server(
    add_servicers: AddServicers, peers: Peers | None = None, *, peer: str = "operator"
) -> AsyncIterator[grpc.aio.Channel]:
    """As `serving`, but yields a channel to it on which `peer` calls; failed calls raise their DomainError."""
    async with serving(add_servicers, peers) as address:
        channel = open_channel(address, tls=None, service=DOMAIN, peer=peer)
        try:
            yield channel
        finally:
            await channel.close()
