from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import IdempotencyInProgress, IdempotencyKeyReused
from apportion.runtime.clock import FixedClock
from apportion.runtime.context import replayed
from apportion.storage import RequestKey, claim_request, store_answer, transaction

KEY = RequestKey(1, "/apportion.api.fees.v1.Plans/CreatePlan", "6f1e8f0a-4d3b-4c55-9d0e-0a8a3f5f0001", b"\x01" * 32)


@dataclasses.dataclass(frozen=True)
class Answer:
    charge_id: int
    amounts_minor: tuple[int, ...]


async def charge(engine: AsyncEngine, clock: FixedClock, key: RequestKey = KEY) -> Answer:
    async with transaction(engine) as tx:
        answer = await claim_request(tx, key, Answer, now=clock.now())
        if answer is not None:
            return answer
        insert = (
            "INSERT INTO accounts (account_id, balance_minor) SELECT count(*), 0 FROM accounts RETURNING account_id"
        )
        answer = Answer((await tx.execute(text(insert))).scalar_one(), (2**62, -1))
        await store_answer(tx, key, answer)
        return answer


async def charges(engine: AsyncEngine) -> int:
    async with transaction(engine) as tx:
        number: int = (await tx.execute(text("SELECT count(*) FROM accounts"))).scalar_one()
        return number


async def test_a_repeat_gets_the_stored_answer_and_says_so(engine: AsyncEngine, clock: FixedClock) -> None:
    first = await charge(engine, clock)
    assert not replayed.get()
    assert await charge(engine, clock) == first == Answer(0, (2**62, -1))
    assert replayed.get()
    assert await charges(engine) == 1


async def test_ten_at_once_do_the_work_once(engine: AsyncEngine, clock: FixedClock) -> None:
    results = await asyncio.gather(*(charge(engine, clock) for _ in range(10)), return_exceptions=True)
    assert {type(result) for result in results} <= {Answer, IdempotencyInProgress}
    assert await charges(engine) == 1
    assert await charge(engine, clock) == Answer(0, (2**62, -1))


async def test_other_content_is_refused(engine: AsyncEngine, clock: FixedClock) -> None:
    await charge(engine, clock)
    with pytest.raises(IdempotencyKeyReused):
        await charge(engine, clock, dataclasses.replace(KEY, input_hash=b"\x02" * 32))


@pytest.mark.parametrize(
    "other",
    [
        lambda: dataclasses.replace(KEY, label=2),
        lambda: dataclasses.replace(KEY, method="/other"),
        lambda: dataclasses.replace(KEY, request_id="6f1e8f0a-4d3b-4c55-9d0e-0a8a3f5f0002"),
    ],
)
async def test_label_method_and_id_are_the_key(
    engine: AsyncEngine, clock: FixedClock, other: Callable[[], RequestKey]
) -> None:
    await charge(engine, clock)
    assert (await charge(engine, clock, other())).charge_id == 1


async def test_a_running_call_is_reported_at_once(engine: AsyncEngine, clock: FixedClock) -> None:
    async with transaction(engine) as tx:
        assert await claim_request(tx, KEY, Answer, now=clock.now()) is None
        with pytest.raises(IdempotencyInProgress) as caught:
            await charge(engine, clock)
        assert caught.value.retry_after_seconds
        await store_answer(tx, KEY, Answer(7, ()))
    assert (await charge(engine, clock)).charge_id == 7


async def test_a_failed_call_leaves_the_id_free(engine: AsyncEngine, clock: FixedClock) -> None:
    with pytest.raises(ZeroDivisionError):
        async with transaction(engine) as tx:
            await claim_request(tx, KEY, Answer, now=clock.now())
            raise ZeroDivisionError
    assert (await charge(engine, clock)).charge_id == 0


async def test_the_answer_belongs_to_the_claim(engine: AsyncEngine, clock: FixedClock) -> None:
    async with transaction(engine) as tx:
        with pytest.raises(RuntimeError, match="had not claimed"):
            await store_answer(tx, KEY, Answer(0, ()))
    async with transaction(engine) as tx:
        await claim_request(tx, KEY, Answer, now=clock.now())
    with pytest.raises(RuntimeError, match="without store_answer"):
        await charge(engine, clock)
