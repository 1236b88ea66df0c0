from __future__ import annotations

import asyncio
import json
import ssl

import aiohttp
import pytest
from aiohttp import web

from apportion.mt5_simulator.web.application import WebFront
from apportion.mt5_simulator.web.session import DealerResult, Session, challenge_answer, password_hash

GROUP = "demo\\forex-hedge-usd"


def test_the_published_example_of_the_handshake() -> None:
    secret = password_hash("Password1")
    assert secret.hex() == "904ba8ecb16273d2f0ae9c3b8a023752"
    challenge = bytes.fromhex("73007dc7184747ce0f7c98516ef1c851")
    assert challenge_answer(secret, challenge).hex() == "77fe51827f7fa69dd80fbec9aa33f1bb"
    client_challenge = bytes.fromhex("4db98fec17aab4dc5a240bdc659e8395")
    assert challenge_answer(secret, client_challenge).hex() == "1732021b1b332f51660b2b315eed3a35"


def test_a_result_that_nobody_reads_is_gone_after_three_minutes() -> None:
    session = Session(lambda: None)
    session.results[1] = DealerResult(sent_at=100.0)
    session.forget_old_results(280.0)
    assert 1 in session.results
    session.forget_old_results(280.1)
    assert 1 not in session.results


def _answered(after_seconds: float, times: int = 1) -> str | None:
    session = Session(lambda: None)
    challenge = session.start_login(1000, "Password1", now=50.0)
    proof = challenge_answer(password_hash("Password1"), bytes.fromhex(challenge)).hex()
    answer = None
    for _ in range(times):
        answer = session.answer_login(proof, "00" * 16, now=50.0 + after_seconds)
    return answer


def test_a_challenge_serves_for_ten_seconds_and_once() -> None:
    assert _answered(10.0) is not None
    assert _answered(10.1) is None
    assert _answered(1.0, times=2) is None


async def test_login_opens_the_connection_it_happened_on(simulator, client, stranger) -> None:
    assert (await client.ask("test/access"))["retcode"] == "0 Done"
    assert (await stranger.send("test/access"))[0] == 403
    assert (await stranger.send("user/total"))[0] == 403


async def test_wrong_password_is_403_and_the_connection_stays_closed(stranger) -> None:
    assert (await stranger.log_in("Wrong1!"))[0] == 403
    assert (await stranger.send("test/access"))[0] == 403


async def test_login_refusals(stranger) -> None:
    reply = await stranger.ask("auth/start?version=484&agent=Raw&login=77&type=manager")
    assert reply["retcode"].startswith("1001")
    reply = await stranger.ask("auth/start?version=100&agent=Raw&login=1000&type=manager")
    assert reply["retcode"].startswith("3 ")
    assert (await stranger.send("auth/answer?srv_rand_answer=00&cli_rand=00"))[0] == 403


async def test_quit_ends_the_session(client) -> None:
    assert (await client.ask("quit"))["retcode"] == "0 Done"
    assert (await client.send("test/access"))[0] == 403  # a new connection


async def test_only_the_pinned_certificate_is_trusted(simulator) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(f"{simulator.https_url}/api/test/access")


async def test_restart_drops_sessions_and_account_states(simulator, client) -> None:
    [login] = await simulator.create_accounts(GROUP, 1, deposit="100.00")
    assert (await client.answer(f"user/account/get?login={login}"))["Balance"] == "100.00"
    await simulator.restart_sessions()
    with pytest.raises((aiohttp.ClientError, AssertionError)):
        await client.ask("test/access", method="POST")
    assert (await client.log_in())[0] == 200
    assert (await client.ask(f"user/account/get?login={login}"))["retcode"].startswith("13")
    assert (await client.answer(f"user/get?login={login}"))["Balance"] == "100.00"


async def test_an_idle_connection_is_closed(simulator, tmp_path) -> None:
    runner = web.ServerRunner(WebFront(simulator.server, idle_seconds=0.1))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
    writer.write(b"GET /api/test/access HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 403")
    assert await asyncio.wait_for(reader.read(), 60) is not None  # up to the end of the stream
    writer.close()
    await runner.cleanup()


async def test_a_raw_hash_and_raw_backslashes_arrive_whole(simulator, client) -> None:
    [login] = await simulator.create_accounts(GROUP, 1)
    context = ssl.create_default_context(cafile=simulator.ca_file)
    port = int(simulator.https_url.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)

    async def get(target: str) -> bytes:
        writer.write(f"GET /api/{target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return await reader.readexactly(length)

    start = json.loads(await get("auth/start?version=484&agent=Raw&login=1000&type=manager"))
    proof = challenge_answer(password_hash("Manager1!"), bytes.fromhex(start["srv_rand"])).hex()
    await get(f"auth/answer?srv_rand_answer={proof}&cli_rand={'00' * 16}")
    assert b'"0 Done"' in await get(f"user/update?login={login}&comment=ticket#7&group=demo\\wallets-usd")
    writer.close()
    user = await client.answer(f"user/get?login={login}")
    assert (user["Comment"], user["Group"]) == ("ticket#7", "demo\\wallets-usd")
