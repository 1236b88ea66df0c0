from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fees_world import LABEL, LOT, NOW, WALLET, StubSubscriptions, StubWallets, closes, give_terms, settle

from apportion.api.common.v1 import payments_pb2, payments_pb2_grpc
from apportion.api.common.v1.money_pb2 import Money
from apportion.api.fees.v1 import calculations_pb2, calculations_pb2_grpc, terms_pb2, terms_pb2_grpc
from apportion.errors import (
    DomainError,
    IdempotencyKeyReused,
    InvalidArgument,
    NotFound,
    PageTokenInvalid,
    PeerNotAllowed,
    RequestIdRequired,
    VersionConflict,
)
from apportion.fees.domain.terms import Currency
from apportion.fees.operations.charge_closes import charge_closes
from apportion.fees.peers import PEERS
from apportion.fees.servicers.calculations import CalculationsServicer
from apportion.fees.servicers.terms import TermsServicer
from apportion.fees.storage.charges import CHARGES
from apportion.payments import PaymentsServicer
from apportion.rpc import call_options
from apportion.storage import transaction
from apportion.testing.servers import running_server


class Client:
    def __init__(self, channel, label: int = LABEL) -> None:
        self.terms = terms_pb2_grpc.TermsServiceStub(channel)
        self.calculations = calculations_pb2_grpc.CalculationsServiceStub(channel)
        self.payments = payments_pb2_grpc.PaymentsServiceStub(channel)
        self.options = call_options(label, 5)

    async def set_terms(self, minor=700, subscription_id=7, request_id="", currency="USD", etag="") -> terms_pb2.Terms:
        request = terms_pb2.SetTermsRequest(
            request_id=request_id or str(uuid.uuid4()),
            subscription_id=subscription_id,
            trade_fee_per_lot=Money(currency_code=currency, amount_minor=minor),
            etag=etag,
        )
        return (await self.terms.SetTerms(request, **self.options)).terms

    async def get_terms(self, subscription_id=7) -> terms_pb2.Terms:
        request = terms_pb2.GetTermsRequest(subscription_id=subscription_id)
        return (await self.terms.GetTerms(request, **self.options)).terms

    async def list_terms(self, **fields) -> terms_pb2.ListTermsResponse:
        return await self.terms.ListTerms(terms_pb2.ListTermsRequest(**fields), **self.options)

    async def write_off(self, item_id: int) -> int:
        request = payments_pb2.WriteOffPaymentsRequest(
            request_id=str(uuid.uuid4()), item_ids=[item_id], cause="account closed"
        )
        return (await self.payments.WriteOffPayments(request, **self.options)).payment_count

    async def list_calculations(self, **fields) -> calculations_pb2.ListCalculationsResponse:
        request = calculations_pb2.ListCalculationsRequest(**fields)
        return await self.calculations.ListCalculations(request, **self.options)


@asynccontextmanager
async def client_of(
    engine, clock, *, subscriptions=None, wallets=None, peer="operator", label=LABEL
) -> AsyncIterator[Client]:
    def add(server) -> None:
        servicer = TermsServicer(engine, subscriptions or StubSubscriptions(), wallets or StubWallets(), clock)
        terms_pb2_grpc.add_TermsServiceServicer_to_server(servicer, server)
        calculations_pb2_grpc.add_CalculationsServiceServicer_to_server(CalculationsServicer(engine), server)
        payments = PaymentsServicer(engine, CHARGES, clock)
        payments_pb2_grpc.add_PaymentsServiceServicer_to_server(payments, server)

    async with running_server(add, PEERS, peer=peer) as channel:
        yield Client(channel, label)


@pytest.fixture
async def client(engine, clock) -> AsyncIterator[Client]:
    async with client_of(engine, clock) as client:
        yield client


async def refusal(call) -> DomainError:
    with pytest.raises(DomainError) as failure:
        await call
    return failure.value


async def test_terms_are_set_and_read(client):
    terms = await client.set_terms(1250)
    assert (terms.subscription_id, terms.master_id) == (7, 3)
    assert (terms.payer_account_id, terms.payee_account_id) == (47, WALLET)
    assert (terms.trade_fee_per_lot.currency_code, terms.trade_fee_per_lot.amount_minor) == ("USD", 1250)
    assert terms.etag == "1"
    assert list(terms.warnings) == ["trade fee 12.50 USD/lot is outside the usual 2.00 to 10.00"]
    assert await client.get_terms() == terms


async def test_a_repeat_gets_the_stored_answer_and_makes_no_version(client):
    request_id = str(uuid.uuid4())
    first = await client.set_terms(request_id=request_id)
    await client.set_terms(800)
    assert await client.set_terms(request_id=request_id) == first
    assert (await client.get_terms()).etag == "2"


async def test_many_repeats_at_once_make_one_version(client):
    request_id = str(uuid.uuid4())
    answers = await asyncio.gather(
        *(client.set_terms(request_id=request_id) for _ in range(10)), return_exceptions=True
    )
    done = [answer for answer in answers if isinstance(answer, terms_pb2.Terms)]
    assert done
    assert all(answer.etag == "1" for answer in done)
    assert (await client.get_terms()).etag == "1"


async def test_a_request_id_cannot_be_used_for_something_else(client):
    request_id = str(uuid.uuid4())
    await client.set_terms(request_id=request_id)
    with pytest.raises(IdempotencyKeyReused):
        await client.set_terms(701, request_id=request_id)


async def test_a_write_needs_a_request_id(client):
    with pytest.raises(RequestIdRequired):
        await client.set_terms(request_id="no-uuid")


async def test_an_etag_guards_the_version(client):
    await client.set_terms()
    assert (await client.set_terms(800, etag="1")).etag == "2"
    with pytest.raises(VersionConflict):
        await client.set_terms(900, etag="1")
    with pytest.raises(VersionConflict):
        await client.set_terms(900, subscription_id=8, etag="1")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"minor": -1}, "FEE_RATE_RANGE"),
        ({"minor": 1_000_000_001}, "FEE_RATE_RANGE"),
        ({"currency": "EUR"}, "FEE_CURRENCY_MISMATCH"),
        ({"subscription_id": 99}, "NOT_FOUND"),
    ],
)
async def test_terms_that_cannot_be_are_refused(client, fields, reason):
    assert (await refusal(client.set_terms(**fields))).reason == reason
    with pytest.raises(NotFound):
        await client.get_terms(fields.get("subscription_id", 7))


async def test_a_master_without_a_wallet_cannot_be_paid(engine, clock):
    async with client_of(engine, clock, subscriptions=StubSubscriptions(payee_account_id=0)) as client:
        assert (await refusal(client.set_terms())).reason == "FEE_PAYEE_UNKNOWN"


async def test_a_wallet_in_another_currency_cannot_be_paid(engine, clock):
    async with client_of(engine, clock, wallets=StubWallets(Currency("EUR", 2))) as client:
        refused = await refusal(client.set_terms())
    assert (refused.reason, refused.metadata["walletCurrency"]) == ("FEE_CURRENCY_MISMATCH", "EUR")


async def test_all_shape_problems_are_told_at_once(client):
    with pytest.raises(InvalidArgument) as failure:
        await client.set_terms(subscription_id=0, currency="usd")
    fields = [violation.field for violation in failure.value.violations]
    assert fields == ["subscription_id", "trade_fee_per_lot.currency_code"]
    with pytest.raises(InvalidArgument):
        await client.get_terms(0)
    for call in (client.list_terms(master_id=-1), client.list_terms(page_size=-1)):
        with pytest.raises(InvalidArgument):
            await call
    for fields in ({"master_id": -1}, {"subscription_id": -1}, {"charge_state": 9}, {"page_size": -1}):
        with pytest.raises(InvalidArgument):
            await client.list_calculations(**fields)


async def test_terms_are_listed_in_force_and_by_pages(client, engine):
    await client.set_terms(700, subscription_id=8)
    await client.set_terms(700)
    await client.set_terms(800)
    page = await client.list_terms(page_size=1)
    assert [(terms.subscription_id, terms.etag) for terms in page.terms] == [(7, "2")]
    rest = await client.list_terms(page_size=1, page_token=page.next_page_token)
    assert [terms.subscription_id for terms in rest.terms] == [8]
    assert rest.next_page_token == ""
    assert len((await client.list_terms(master_id=3)).terms) == 2
    assert len((await client.list_terms(master_id=4)).terms) == 0
    with pytest.raises(PageTokenInvalid):
        await client.list_terms(master_id=3, page_token=page.next_page_token)


async def test_another_label_sees_nothing(client, engine, clock):
    await client.set_terms()
    async with client_of(engine, clock, label=2) as stranger:
        with pytest.raises(NotFound):
            await stranger.get_terms()
        with pytest.raises(NotFound):
            await stranger.set_terms()
        assert not (await stranger.list_terms()).terms
        assert not (await stranger.list_calculations()).calculations


async def test_only_the_operator_may_set_terms(engine, clock):
    async with client_of(engine, clock, peer="auth-gateway") as reader:
        with pytest.raises(PeerNotAllowed):
            await reader.set_terms()
        assert not (await reader.list_terms()).terms
    async with client_of(engine, clock, peer="stranger") as stranger:
        with pytest.raises(PeerNotAllowed):
            await stranger.list_terms()


async def booked(engine) -> None:
    """Four calculations: free, PENDING, PAID, OUTSTANDING, in this order."""
    await give_terms(engine)
    async with transaction(engine) as tx:
        await charge_closes(tx, LABEL, closes((90, 5, 500, LOT)), closed_time=NOW, now=NOW)
        await charge_closes(tx, LABEL, closes((91, 7, 501, LOT)), closed_time=NOW, now=NOW)
        await charge_closes(tx, LABEL, closes((92, 7, 502, LOT)), closed_time=NOW, now=NOW)
        await charge_closes(tx, LABEL, closes((93, 7, 503, LOT), master_id=4), closed_time=NOW, now=NOW)
    await settle(engine, {2: "", 3: "NO_MONEY"})


async def test_calculations_show_inputs_line_and_what_became_of_the_charge(client, engine):
    await booked(engine)
    owed, paid, pending, free = (await client.list_calculations()).calculations
    assert [row.child_trade_id for row in (free, pending, paid, owed)] == [90, 91, 92, 93]
    states = [row.charge_state for row in (pending, paid, owed, free)]
    assert states == [1, 2, 3, 4]
    assert (paid.transfer_id, paid.settle_time.ToDatetime(tzinfo=NOW.tzinfo)) == (72, NOW)
    assert (owed.transfer_id, owed.reason, owed.HasField("settle_time")) == (73, "NO_MONEY", False)
    assert (pending.fee.amount_minor, pending.rate_per_lot.amount_minor, pending.closed_volume_e8) == (700, 700, LOT)
    assert pending.line.endswith("1 lot × 7.00 USD/lot = 7.00 USD; terms version 1; account 47 to account 9")
    assert (free.fee.amount_minor, free.payee_account_id) == (0, 0)


@pytest.mark.parametrize(
    ("filters", "children"),
    [
        ({"master_id": 4}, [93]),
        ({"subscription_id": 5}, [90]),
        ({"charge_state": 1}, [91]),
        ({"charge_state": 2}, [92]),
        ({"charge_state": 3}, [93]),
        ({"charge_state": 4}, [90]),
        ({"master_id": 3, "subscription_id": 7, "charge_state": 2}, [92]),
        ({"master_id": 4, "charge_state": 4}, []),
    ],
)
async def test_calculations_are_filtered(client, engine, filters, children):
    await booked(engine)
    page = await client.list_calculations(**filters)
    assert [row.child_trade_id for row in page.calculations] == children


async def test_calculations_come_by_pages_newest_first(client, engine):
    await booked(engine)
    seen, token = [], ""
    while True:
        page = await client.list_calculations(subscription_id=7, page_size=2, page_token=token)
        seen += [row.child_trade_id for row in page.calculations]
        token = page.next_page_token
        if not token:
            break
    assert seen == [93, 92, 91]


async def test_an_operator_writes_off_a_debt_and_nobody_else(client, engine, clock):
    await booked(engine)
    request = payments_pb2.ListUnpaidPaymentsRequest(reason="NO_MONEY")
    (owed,) = (await client.payments.ListUnpaidPayments(request, **client.options)).payments
    assert (owed.origin, owed.amount.amount_minor) == ("calculation_id=4", 700)
    async with client_of(engine, clock, peer="auth-gateway") as reader:
        with pytest.raises(PeerNotAllowed):
            await reader.write_off(owed.item_id)
    assert await client.write_off(owed.item_id) == 1
    (row,) = (await client.list_calculations(charge_state=5)).calculations
    assert (row.child_trade_id, row.reason, row.transfer_id) == (93, "NO_MONEY", 73)
    assert (await client.list_calculations(charge_state=3)).calculations == []
