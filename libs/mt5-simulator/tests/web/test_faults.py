"""Faults on order, as a client of the Web API meets them."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from apportion.mt5_simulator.process import AdminRefused
from apportion.testing.polling import eventually

GROUP = "demo\\forex-hedge-usd"
SEND = "dealer/send_request"


def buy(login: int, **more: object) -> dict[str, object]:
    body = {"Action": "200", "Login": str(login), "Symbol": "EURUSD", "Volume": "100", "Type": "0", "TypeFill": "0"}
    return {**body, "PriceOrder": "0", "Digits": "5", **more}


@pytest.fixture
async def logins(simulator) -> list[int]:
    return list(await simulator.create_accounts(GROUP, 2, deposit="100000"))


@pytest.fixture
def login(logins) -> int:
    return int(logins[0])


@pytest.mark.parametrize("retcode", [10004, 10006, 10012, 10015, 10020, 10021])
async def test_the_next_requests_are_refused_by_their_results(simulator, client, login, retcode) -> None:
    fault = await simulator.add_fault("reject", endpoint=SEND, retcode=retcode, count=2)
    results = [(await client.deal(**buy(login)))["ResultRetcode"] for _ in range(3)]
    assert results == [str(retcode), str(retcode), "10009"]
    assert len(await simulator.positions(login)) == 1
    assert await simulator.fired(fault) == 2


async def test_one_account_is_refused_and_nobody_else(simulator, client, logins) -> None:
    fault = await simulator.add_fault("reject", endpoint=SEND, login=logins[0], count=None)
    retcodes = [(await client.deal(**buy(login)))["ResultRetcode"] for login in [*logins, *logins]]
    assert retcodes == ["10006", "10009", "10006", "10009"]
    assert await simulator.fired(fault) == 2
    [listed] = await simulator.faults()
    assert (listed["id"], listed["fired"], listed["left"], listed["login"]) == (fault, 2, None, logins[0])


@pytest.mark.parametrize("retcode", [12, 10024])
async def test_back_pressure_is_told_by_the_reply(simulator, client, login, retcode) -> None:
    fault = await simulator.add_fault("reject", endpoint=SEND, retcode=retcode)
    assert (await client.ask(SEND, buy(login)))["retcode"].startswith(f"{retcode} ")
    assert await simulator.fired(fault) == 1
    assert (await client.deal(**buy(login)))["ResultRetcode"] == "10009"
    assert len(await simulator.positions(login)) == 1


async def test_a_timed_out_request_was_executed_all_the_same(simulator, client, login) -> None:
    fault = await simulator.add_fault("timeout", endpoint=SEND)
    result = await client.deal(**buy(login, Comment="token-3"))
    assert (result["ResultRetcode"], result["ResultDeal"], result["ResultVolume"]) == ("10012", "0", "0")
    [position] = await simulator.positions(login)
    assert position["Comment"] == "token-3"
    assert await simulator.fired(fault) == 1
    with pytest.raises(AdminRefused):
        await simulator.add_fault("timeout", endpoint="user/total")


async def test_a_fault_that_never_fired_says_so(simulator, client, login) -> None:
    fault = await simulator.add_fault("requote", endpoint=SEND, skip=1)
    await client.deal(**buy(login))
    assert await simulator.fired(fault) == 0
    await client.deal(**buy(login))
    assert await simulator.fired(fault) == 1
    await simulator.clear_faults()
    with pytest.raises(KeyError):
        await simulator.fired(fault)


async def test_lost_answer_executes_once(simulator, client, login) -> None:
    await simulator.add_fault("lose_answer", endpoint="dealer/send_request", login=login)
    with pytest.raises(aiohttp.ClientError):
        await client.ask("dealer/send_request", buy(login, Comment="token-1"))
    await client.log_in()
    [position] = await client.answer(f"position/get_batch?login={login}")
    assert position["Comment"] == "token-1"
    assert await client.answer("dealer/get_request_result") == {}


async def test_what_was_done_is_denied(simulator, client, login) -> None:
    await simulator.add_fault("deny", endpoint="trade/balance", retcode=9)
    reply = await client.ask(f"trade/balance?login={login}&type=2&balance=5&comment=token-4", method="POST")
    assert reply["retcode"].startswith("9 ")
    await simulator.add_fault("deny", endpoint=SEND, retcode=10)
    assert (await client.ask(SEND, buy(login, Comment="token-5")))["retcode"].startswith("10 ")

    async def comments() -> list[str] | None:
        found = [deal["Comment"] for deal in await simulator.deals(login)]
        return found if len(found) > 2 else None  # an order is executed a moment after it was taken

    assert await eventually(comments) == ["deposit", "token-4", "token-5"]


async def test_lost_balance_answer_is_found_by_its_comment(simulator, client, login) -> None:
    await simulator.add_fault("lose_answer", endpoint="trade/balance")
    with pytest.raises(aiohttp.ClientError):
        await client.ask(f"trade/balance?login={login}&type=2&balance=5&comment=token-2", method="POST")
    await client.log_in()
    deals = await simulator.deals(login)
    assert [deal["Comment"] for deal in deals] == ["deposit", "token-2"]


async def test_other_faults(simulator, client, login) -> None:
    await simulator.add_fault("requote", endpoint="dealer/send_request")
    assert (await client.deal(**buy(login)))["ResultRetcode"] == "10004"
    await simulator.add_fault("reject", endpoint="*", retcode=12, skip=1)
    await client.answer("user/total")
    assert (await client.ask("user/total"))["retcode"].startswith("12 ")
    await client.answer("user/total")
    await simulator.add_fault("lose_result", endpoint="dealer/send_request")
    request_id = (await client.answer("dealer/send_request", buy(login)))["id"]
    assert await client.result(request_id) is None
    await simulator.add_fault("lose_result", endpoint="dealer/get_request_result")
    request_id = (await client.answer("dealer/send_request", buy(login)))["id"]
    assert await client.result(request_id) is None
    with pytest.raises(AdminRefused):
        await simulator.add_fault("late_result", endpoint="user/total")
    await simulator.add_fault("disconnect", endpoint="user/total")
    with pytest.raises(aiohttp.ClientError):
        await client.ask("user/total", method="POST")  # aiohttp itself would repeat a GET
    await client.log_in()
    await simulator.add_fault("forbidden", endpoint="user/total")
    assert (await client.send("user/total"))[0] == 403
    await client.log_in()
    await simulator.add_fault("reject", endpoint="user/total", count=None, probability=0.5, retcode=2)
    replies = [(await client.ask("user/total"))["retcode"] for _ in range(40)]
    assert 5 < replies.count("0 Done") < 35
    await simulator.clear_faults()
    assert await simulator.faults() == []


async def test_what_is_held_up_goes_on_when_the_faults_are_cleared(simulator, client, login) -> None:
    fault = await simulator.add_fault("latency", endpoint=SEND, seconds=3_600)
    asked = asyncio.ensure_future(client.deal(**buy(login)))
    await eventually(lambda: simulator.fired(fault))
    assert await simulator.positions(login) == []
    await simulator.clear_faults()
    assert (await asked)["ResultRetcode"] == "10009"
    assert len(await simulator.positions(login)) == 1
