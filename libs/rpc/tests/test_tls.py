"""Only certificates of our authority talk to each other, and renewed ones are picked up."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from apportion.api.common.v1 import events_pb2
from apportion.devstack.certificates import issue
from apportion.errors import PeerNotAllowed, UpstreamUnavailable
from apportion.rpc import Server, Tls, call_options
from apportion.rpc import channel as channel_module

REQUEST = events_pb2.ReplayEventsRequest(aggregate_type="deals")
METHOD = "/apportion.api.common.v1.ReplayService/ReplayEvents"
RAW: dict[str, Any] = {"timeout": 2, "metadata": (("x-label", "1"),)}


async def is_unavailable(channel: grpc.aio.Channel) -> bool:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(METHOD)(b"", **RAW)
    return caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_plaintext_is_refused(loopback: Any) -> None:
    plaintext = grpc.experimental.insecure_channel_credentials()
    assert await is_unavailable(loopback.raw(await loopback.serve(), credentials=plaintext))


async def test_a_client_without_certificate_is_refused(loopback: Any) -> None:
    ca = (loopback.certificates / "ca.pem").read_bytes()
    channel = loopback.raw(await loopback.serve(), credentials=grpc.ssl_channel_credentials(ca))
    assert await is_unavailable(channel)


async def test_a_client_of_another_authority_is_refused(loopback: Any, tmp_path: Path) -> None:
    theirs = issue(tmp_path, "fees")
    forged = Tls(theirs.certificate_file, theirs.key_file, loopback.certificates / "ca.pem")
    stub = loopback.stub(await loopback.serve(), tls=forged)
    with pytest.raises(UpstreamUnavailable):
        await stub.ReplayEvents(REQUEST, **call_options(1, 2.0))


async def test_a_server_of_another_authority_is_refused(loopback: Any, tmp_path: Path) -> None:
    address = await loopback.serve(tls=issue(tmp_path, "allocation"))
    with pytest.raises(UpstreamUnavailable):
        await loopback.stub(address).ReplayEvents(REQUEST, **call_options(1, 2.0))


async def test_an_expired_client_is_refused(loopback: Any) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=30)
    expired = issue(loopback.certificates, "expired", now=long_ago, lifetime=timedelta(days=1))
    stub = loopback.stub(await loopback.serve(peers={"expired": ["/*"]}), tls=expired)
    with pytest.raises(UpstreamUnavailable):
        await stub.ReplayEvents(REQUEST, **call_options(1, 2.0))


async def test_a_server_must_prove_the_name_that_was_called(loopback: Any) -> None:
    address = await loopback.serve(tls=loopback.tls("risk"))
    with pytest.raises(UpstreamUnavailable):
        await loopback.stub(address).ReplayEvents(REQUEST, **call_options(1, 2.0))


async def test_a_renewed_certificate_is_served_without_a_restart(loopback: Any, tmp_path: Path) -> None:
    tls = issue(tmp_path, "allocation")
    issue(tmp_path, "fees")
    address = await loopback.serve(tls=tls)
    stub = loopback.stub(address, tls=Tls(tmp_path / "fees.pem", tmp_path / "fees-key.pem", tmp_path / "ca.pem"))
    await stub.ReplayEvents(REQUEST, **call_options(1, 30.0))
    before = await served_certificate(address, tmp_path)
    issue(tmp_path, "allocation")
    after = await served_certificate(address, tmp_path)
    assert before != after
    await stub.ReplayEvents(REQUEST, **call_options(1, 30.0))


async def test_a_channel_follows_its_renewed_certificate(
    loopback: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "RENEWAL_LOOK_SECONDS", 0.0)
    mine = Tls(*(Path(shutil.copy(file, tmp_path)) for file in astuple(loopback.tls("fees"))))
    stub = loopback.stub(await loopback.serve(), tls=mine)
    await stub.ReplayEvents(REQUEST, **call_options(1, 30.0))
    mine.key_file.unlink()
    await stub.ReplayEvents(REQUEST, **call_options(1, 30.0))
    for file, renewed in zip(astuple(mine), astuple(loopback.tls("risk")), strict=True):
        shutil.copy(renewed, file)
    with pytest.raises(PeerNotAllowed, match="risk may not call"):
        await stub.ReplayEvents(REQUEST, **call_options(1, 2.0))


async def served_certificate(address: str, folder: Path) -> bytes:
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / "fees.pem", folder / "fees-key.pem")
    context.set_alpn_protocols(["h2"])
    host, port = address.split(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname="allocation")
    certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return certificate


def test_a_server_with_tls_needs_an_allow_list(loopback: Any) -> None:
    with pytest.raises(ValueError, match="allow list"):
        Server("127.0.0.1:0", tls=loopback.tls("allocation"), peers=None, domain="x.y")
    with pytest.raises(ValueError, match="certificates only"):
        Server("127.0.0.1:0", tls=loopback.tls("allocation"), peers={}, domain="x.y", trust_metadata_peer=True)
