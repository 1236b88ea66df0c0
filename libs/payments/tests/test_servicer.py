"""What operators see of payments, and what they decide."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
from payments_world import DUES, LABEL, PAYEE

from apportion.api.common.v1 import payments_pb2, payments_pb2_grpc
from apportion.errors import DomainError, IdempotencyKeyReused
from apportion.payments import PaymentsServicer, PaymentState
from apportion.rpc import call_options
from apportion.testing.polling import PATIENCE_SECONDS
from apportion.testing.servers import running_server

SHOWN = "SELECT state, reason, attempt_count, next_time IS NULL FROM dues ORDER BY due_id"


class Client:
    def __init__(self, channel) -> None:
        self.stub = payments_pb2_grpc.PaymentsServiceStub(channel)

    async def unpaid(self, label: int = LABEL, **fields) -> payments_pb2.ListUnpaidPaymentsResponse:
        request = payments_pb2.ListUnpaidPaymentsRequest(**fields)
        return await self.stub.ListUnpaidPayments(request, **call_options(label, PATIENCE_SECONDS))

    async def retry(self, *item_ids: int, request_id: str = "", cause: str = "deposit came", label: int = LABEL) -> int:
        request = payments_pb2.RetryPaymentsRequest(
            request_id=request_id or str(uuid.uuid4()), item_ids=item_ids, cause=cause
        )
        return (await self.stub.RetryPayments(request, **call_options(label, PATIENCE_SECONDS))).payment_count

    async def write_off(self, *item_ids: int, request_id: str = "", cause: str = "closed", label: int = LABEL) -> int:
        request = payments_pb2.WriteOffPaymentsRequest(
            request_id=request_id or str(uuid.uuid4()), item_ids=item_ids, cause=cause
        )
        return (await self.stub.WriteOffPayments(request, **call_options(label, PATIENCE_SECONDS))).payment_count

    async def decisions(self, label: int = LABEL, **fields) -> payments_pb2.ListPaymentDecisionsResponse:
        request = payments_pb2.ListPaymentDecisionsRequest(**fields)
        return await self.stub.ListPaymentDecisions(request, **call_options(label, PATIENCE_SECONDS))


@pytest.fixture
async def client(world) -> AsyncIterator[Client]:
    def add(server) -> None:
        servicer = PaymentsServicer(world.engine, DUES, world.clock)
        payments_pb2_grpc.add_PaymentsServiceServicer_to_server(servicer, server)

    async with running_server(add, {"operator": ("/apportion.api.common.v1.*",)}, peer="operator") as channel:
        yield Client(channel)


@pytest.fixture
async def refused(world) -> None:
    """Item 1 is paid, 2 and 3 are refused, 4 is on its way."""
    world.transfers.balances_minor[48] = 0
    await world.owe((47, 5), (48, 6), (99, 7))
    await world.turn()
    await world.owe((47, 8))
    await world.send()


async def refusal(call) -> str:
    with pytest.raises(DomainError) as failure:
        await call
    return failure.value.reason


@pytest.mark.usefixtures("refused")
async def test_what_is_not_booked_is_listed_with_its_reason(client):
    found = (await client.unpaid()).payments
    assert [(row.item_id, row.origin, row.reason, row.amount.amount_minor) for row in found] == [
        (4, "due_id=4", "", 8),
        (3, "due_id=3", "ACCOUNT_UNKNOWN", 7),
        (2, "due_id=2", "INSUFFICIENT_FUNDS", 6),
    ]
    row = found[2]
    assert (row.debit_account_id, row.credit_account_id, row.amount.currency_code) == (48, PAYEE, "USD")
    assert (row.transfer_id, row.attempt_count, row.next_time.seconds > 0) == (7_002, 1, True)


@pytest.mark.usefixtures("refused")
async def test_filters_and_pages(client):
    async def items(**fields) -> list[int]:
        return [row.item_id for row in (await client.unpaid(**fields)).payments]

    assert await items(state=PaymentState.SUBMITTED) == [4]
    assert await items(state=PaymentState.REFUSED, reason="ACCOUNT_UNKNOWN") == [3]
    assert await items(account_id=48) == [2]
    assert await items(account_id=PAYEE) == [4, 3, 2]
    assert await items(label=2) == []
    first = await client.unpaid(page_size=2)
    assert [row.item_id for row in first.payments] == [4, 3]
    assert await items(page_size=2, page_token=first.next_page_token) == [2]
    assert await refusal(client.unpaid(state=PaymentState.PAID)) == "FIELD_INVALID"
    assert await refusal(client.unpaid(account_id=-1)) == "FIELD_INVALID"


@pytest.mark.usefixtures("refused")
async def test_a_retry_goes_at_once_as_another_item(world, client):
    world.transfers.balances_minor[48] = 6
    assert await client.retry(2) == 1
    await world.turn()
    assert (await world.rows(SHOWN))[1] == (PaymentState.PAID, "", 2, True)
    assert world.transfers.booked[5] == (48, PAYEE, 6)


@pytest.mark.usefixtures("refused")
async def test_what_was_written_off_is_never_paid(world, client):
    assert await client.write_off(2, 3) == 2
    world.transfers.balances_minor |= {48: 100, 99: 100}
    for _ in range(3):
        world.clock.advance(10_000)
        await world.turn()
    assert await world.rows(SHOWN) == [
        (PaymentState.PAID, "", 1, True),
        (PaymentState.WRITTEN_OFF, "INSUFFICIENT_FUNDS", 1, True),
        (PaymentState.WRITTEN_OFF, "ACCOUNT_UNKNOWN", 1, True),
        (PaymentState.PAID, "", 1, True),
    ]
    assert list((await client.unpaid()).payments) == []


@pytest.mark.usefixtures("refused")
async def test_who_decided_what_and_why_is_kept(world, client):
    await client.retry(2, cause="deposit announced")
    world.clock.advance(1)
    await client.write_off(3, cause="account was closed in March, see ticket 77")
    found = (await client.decisions()).decisions
    assert [(row.item_id, row.kind, row.amount.amount_minor, row.reason) for row in found] == [
        (3, payments_pb2.PAYMENT_DECISION_KIND_WRITE_OFF, 7, "ACCOUNT_UNKNOWN"),
        (2, payments_pb2.PAYMENT_DECISION_KIND_RETRY, 6, "INSUFFICIENT_FUNDS"),
    ]
    assert (found[0].cause, found[0].decided_by) == ("account was closed in March, see ticket 77", "operator")
    assert found[0].decide_time.ToDatetime(tzinfo=world.clock.now().tzinfo) == world.clock.now()
    assert list((await client.decisions(label=2)).decisions) == []
    first = await client.decisions(page_size=1)
    second = await client.decisions(page_size=1, page_token=first.next_page_token)
    assert [second.decisions[0].item_id, second.next_page_token] == [2, ""]


@pytest.mark.parametrize("decide", ["retry", "write_off"])
@pytest.mark.parametrize(
    ("items", "reason"),
    [((1,), "PAYMENT_NOT_REFUSED"), ((2, 4), "PAYMENT_NOT_REFUSED"), ((2, 77), "NOT_FOUND"), ((), "FIELD_INVALID")],
)
@pytest.mark.usefixtures("refused")
async def test_only_refused_ones_and_all_or_none(world, client, decide, items, reason):
    before = await world.rows(SHOWN)
    assert await refusal(getattr(client, decide)(*items)) == reason
    assert await world.rows(SHOWN) == before
    assert await world.rows("SELECT * FROM payment_decisions") == []


@pytest.mark.usefixtures("refused")
async def test_a_decision_needs_words_and_the_right_label(client):
    assert await refusal(client.write_off(2, cause="")) == "FIELD_INVALID"
    assert await refusal(client.write_off(2, label=2)) == "NOT_FOUND"
    assert await refusal(client.write_off(2, request_id="x")) == "REQUEST_ID_REQUIRED"


@pytest.mark.usefixtures("refused")
async def test_an_item_that_was_tried_again_since_is_not_found(world, client):
    world.clock.advance(60)
    await world.turn()
    assert await refusal(client.write_off(2)) == "NOT_FOUND"


@pytest.mark.usefixtures("refused")
async def test_a_repeat_gets_the_stored_answer(world, client):
    request_id = str(uuid.uuid4())
    assert await client.write_off(2, request_id=request_id) == 1
    assert await client.write_off(2, request_id=request_id) == 1
    assert len(await world.rows("SELECT * FROM payment_decisions")) == 1
    with pytest.raises(IdempotencyKeyReused):
        await client.write_off(3, request_id=request_id)


@pytest.mark.usefixtures("refused")
async def test_a_write_off_and_a_retry_at_once_are_one_of_them(world, client):
    world.clock.advance(60)
    outcomes = await asyncio.gather(client.write_off(2), world.send(), client.retry(2), return_exceptions=True)
    await world.tell(world.transfers.book())
    [(state, _, attempts, _)] = (await world.rows(SHOWN))[1:2]
    written_off = not isinstance(outcomes[0], DomainError)
    assert written_off == (state == PaymentState.WRITTEN_OFF) == (attempts == 1)
