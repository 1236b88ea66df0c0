from __future__ import annotations

import asyncio

import pytest
from fees_world import LABEL, LOT, NOW, OUTSTANDING, WALLET, StubTransfers, closes, give_terms, rows_of

from apportion.errors import InvalidArgument, KillSwitchOn, Kind, NotFound, RemoteError, UpstreamUnavailable
from apportion.fees.domain.charge import Backoff, TransferResult, TransferState
from apportion.fees.operations.charge_closes import charge_closes
from apportion.fees.operations.dispatch_transfers import HOLD_SECONDS, dispatch_transfers
from apportion.fees.operations.settle_transfers import settle_transfers
from apportion.storage import transaction

RESEND = Backoff(1, 60)
STATES = "SELECT state, count(*) FROM transfers GROUP BY state ORDER BY state"
ATTEMPTS = "SELECT attempt, state FROM transfers ORDER BY attempt"


async def charge(engine, *rows, master_id=3) -> None:
    async with transaction(engine) as tx:
        await charge_closes(tx, LABEL, closes(*rows, master_id=master_id), closed_time=NOW, now=NOW)


async def refuse(engine, clock, item_id) -> None:
    async with transaction(engine) as tx:
        result = TransferResult(item_id, 77, TransferState.REJECTED, "NO_MONEY")
        await settle_transfers(tx, LABEL, [result], now=clock.now(), backoff=OUTSTANDING)


async def test_ready_transfers_go_out_in_one_batch_of_their_master(engine, clock):
    await give_terms(engine)
    await charge(engine, (90, 7, 500, LOT), (91, 7, 501, LOT))
    await charge(engine, (92, 7, 502, LOT), master_id=4)
    transfers = StubTransfers()
    assert await dispatch_transfers(engine, transfers, clock, RESEND) == 3
    assert [(call.master_id, len(call.transfers)) for call in transfers.calls] == [(3, 2), (4, 1)]
    assert await rows_of(engine, STATES) == [(2, 3)]
    assert await dispatch_transfers(engine, transfers, clock, RESEND) == 0


async def test_after_a_lost_answer_the_same_items_go_out_again_under_the_same_id(engine, clock):
    await give_terms(engine)
    await charge(engine, (90, 7, 500, LOT), (91, 7, 501, LOT))

    def lose(_batch) -> None:
        raise UpstreamUnavailable(service="platform-groups")

    transfers = StubTransfers(fail=lose)
    await dispatch_transfers(engine, transfers, clock, RESEND)
    assert await rows_of(engine, "SELECT DISTINCT reason FROM charges") == [("UPSTREAM_UNAVAILABLE",)]
    assert await dispatch_transfers(engine, transfers, clock, RESEND) == 0
    clock.advance(1)
    transfers.fail = lambda batch: None
    assert await dispatch_transfers(engine, transfers, clock, RESEND) == 2
    first, second = transfers.calls
    assert first.request_id == second.request_id
    assert len(transfers.items) == 2
    assert await rows_of(engine, STATES) == [(2, 2)]


async def test_a_crash_between_claim_and_call_only_delays(engine, clock):
    await give_terms(engine)
    await charge(engine, (90, 7, 500, LOT))

    def crash(_batch) -> None:
        raise asyncio.CancelledError

    transfers = StubTransfers(fail=crash)
    with pytest.raises(asyncio.CancelledError):
        await dispatch_transfers(engine, transfers, clock, RESEND)
    transfers.fail = lambda batch: None
    assert await dispatch_transfers(engine, transfers, clock, RESEND) == 0
    clock.advance(HOLD_SECONDS)
    assert await dispatch_transfers(engine, transfers, clock, RESEND) == 1
    assert transfers.calls[0].request_id == transfers.calls[1].request_id


async def test_a_refused_item_does_not_hold_up_the_others(engine, clock):
    await give_terms(engine)
    await charge(engine, *((90 + i, 7, 500 + i, LOT) for i in range(8)))
    [(bad,)] = await rows_of(engine, "SELECT item_id FROM transfers ORDER BY item_id OFFSET 5 LIMIT 1")

    def refuse_bad(batch) -> None:
        if bad in [transfer.item_id for transfer in batch.transfers]:
            raise InvalidArgument("item 5")

    transfers = StubTransfers(fail=refuse_bad)
    await dispatch_transfers(engine, transfers, clock, RESEND)
    assert await rows_of(engine, STATES) == [(1, 1), (2, 7)]
    assert len({call.request_id for call in transfers.calls}) == len(transfers.calls)
    assert await rows_of(engine, "SELECT item_id, reason FROM transfers WHERE state = 1") == [(bad, "FIELD_INVALID")]


@pytest.mark.parametrize(
    "refusal",
    [
        lambda account_id: RemoteError(Kind.PRECONDITION, "ACCOUNT_NOT_OPEN", "closed", {"accountId": str(account_id)}),
        lambda account_id: NotFound("account", account_id),
    ],
)
@pytest.mark.parametrize(
    ("closed_account", "call_count", "states"), [(47, 2, [(1, 8), (2, 8)]), (WALLET, 1, [(1, 16)])]
)
async def test_a_closed_account_costs_one_call(engine, clock, refusal, closed_account, call_count, states):
    for subscription_id in (7, 8):
        await give_terms(engine, subscription_id)
    await charge(engine, *((90 + i, 7 + i % 2, 500 + i, LOT) for i in range(16)))

    def refuse(batch) -> None:
        accounts = {(transfer.payer_account_id, transfer.payee_account_id) for transfer in batch.transfers}
        if any(closed_account in pair for pair in accounts):
            raise refusal(closed_account)

    transfers = StubTransfers(fail=refuse)
    await dispatch_transfers(engine, transfers, clock, RESEND)
    assert len(transfers.calls) == call_count
    assert await rows_of(engine, STATES) == states


async def test_a_missing_thing_without_a_name_is_found_by_halves(engine, clock):
    """NOT_FOUND as a service in another version may say it: without the key of what is missing."""
    for subscription_id in (7, 8):
        await give_terms(engine, subscription_id)
    await charge(engine, *((90 + i, 7 + i % 2, 500 + i, LOT) for i in range(4)))

    def refuse(batch) -> None:
        if any(transfer.payer_account_id == 47 for transfer in batch.transfers):
            error = NotFound("account", 47)
            error.metadata = {}
            raise error

    transfers = StubTransfers(fail=refuse)
    assert await dispatch_transfers(engine, transfers, clock, RESEND) == 4
    assert await rows_of(engine, STATES) == [(1, 2), (2, 2)]


async def test_the_kill_switch_is_waited_out_without_splitting(engine, clock):
    await give_terms(engine)
    await charge(engine, *((90 + i, 7, 500 + i, LOT) for i in range(8)))

    def stop(_batch) -> None:
        raise KillSwitchOn

    transfers = StubTransfers(fail=stop)
    await dispatch_transfers(engine, transfers, clock, RESEND)
    assert len(transfers.calls) == 1
    assert await rows_of(engine, STATES) == [(1, 8)]


async def test_workers_share_the_transfers(engine, clock):
    await give_terms(engine)
    await charge(engine, *((90 + i, 7, 500 + i, LOT) for i in range(50)))
    workers = [StubTransfers() for _ in range(4)]
    await asyncio.gather(*(dispatch_transfers(engine, worker, clock, RESEND) for worker in workers))
    assert sum(len(worker.items) for worker in workers) == 50
    assert await rows_of(engine, STATES) == [(2, 50)]


async def test_a_debt_is_taken_up_again_by_itself_with_a_new_attempt(engine, clock):
    await give_terms(engine)
    await charge(engine, (90, 7, 500, LOT))
    transfers = StubTransfers()
    for attempt, wait_seconds in ((1, 60), (2, 120), (3, 240)):
        await dispatch_transfers(engine, transfers, clock, RESEND)
        assert len(transfers.items) == attempt
        await refuse(engine, clock, max(transfers.items))
        clock.advance(wait_seconds - 1)
        assert await dispatch_transfers(engine, transfers, clock, RESEND) == 0
        clock.advance(1)
    assert await rows_of(engine, ATTEMPTS) == [(1, 4), (2, 4), (3, 4)]
    assert await dispatch_transfers(engine, transfers, clock, RESEND) == 1
    assert await rows_of(engine, "SELECT state, attempt_count FROM charges") == [(1, 4)]


async def test_many_workers_reopen_a_debt_once(engine, clock):
    await give_terms(engine)
    await charge(engine, (90, 7, 500, LOT))
    transfers = StubTransfers()
    await dispatch_transfers(engine, transfers, clock, RESEND)
    await refuse(engine, clock, max(transfers.items))
    clock.advance(60)
    again = [(91 + i, 7, 600 + i, LOT) for i in range(4)]
    await asyncio.gather(
        *(dispatch_transfers(engine, transfers, clock, RESEND) for _ in range(4)),
        *(charge(engine, row) for row in again),
    )
    await dispatch_transfers(engine, transfers, clock, RESEND)
    attempts = "SELECT attempt FROM transfers JOIN calculations USING (calculation_id) WHERE child_trade_id = 90"
    assert await rows_of(engine, f"{attempts} ORDER BY attempt") == [(1,), (2,)]
    assert len(transfers.items) == 6
