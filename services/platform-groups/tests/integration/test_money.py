"""Balance operations against the simulator: zero-sum, never twice, given back when the other side fails."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from apportion.api.common.v1 import money_pb2
from apportion.api.platform_groups.v1 import events_pb2, transfers_pb2
from apportion.storage import transaction
from apportion.testing.polling import eventually

BALANCE = "trade/balance"
DONE = transfers_pb2.TRANSFER_STATE_DONE


def usd(amount_minor: int) -> money_pb2.Money:
    return money_pb2.Money(currency_code="USD", amount_minor=amount_minor)


async def adjust(platform, account_id: int, amount_minor: int) -> transfers_pb2.Transfer:
    request = transfers_pb2.AdjustBalanceRequest(
        request_id=platform.new_id(), account_id=account_id, amount=usd(amount_minor), cause="test"
    )
    return (await platform.transfers.AdjustBalance(request, **platform.options())).transfer


async def finished(platform, transfer: transfers_pb2.Transfer) -> transfers_pb2.Transfer:
    async def ended() -> transfers_pb2.Transfer | None:
        request = transfers_pb2.GetTransferRequest(transfer_id=transfer.transfer_id)
        now = (await platform.transfers.GetTransfer(request, **platform.options())).transfer
        return now if now.state >= DONE else None

    return await eventually(ended, 60)


async def balance(simulator, account) -> str:
    return (await simulator.account(account.login))["Balance"]


async def test_a_deposit_and_a_withdrawal_are_answered_when_they_are_booked(start, simulator) -> None:
    async with start() as platform:
        await platform.set_up(simulator)
        account = await platform.account()
        deposit = await adjust(platform, account.account_id, 50_000)
        assert deposit.state == DONE
        assert deposit.credit_deal_ticket > 0
        assert (await adjust(platform, account.account_id, -20_000)).state == DONE
        assert await balance(simulator, account) == "300.00"
        refused = await adjust(platform, account.account_id, -30_001)
        assert (refused.state, refused.reason) == (transfers_pb2.TRANSFER_STATE_REJECTED, "INSUFFICIENT_FUNDS")


DENIED = [{"kind": "deny", "retcode": retcode} for retcode in (2, 10)]
"""Booked, but the answer says that something between us and the trade server failed."""


@pytest.mark.parametrize("fault", [*({"kind": kind} for kind in ("lose_answer", "disconnect", "forbidden")), *DENIED])
async def test_a_lost_answer_books_nothing_twice_and_nothing_never(start, simulator, fault) -> None:
    async with start() as platform:
        await platform.set_up(simulator)
        account = await platform.account()
        await simulator.add_fault(**fault, endpoint=BALANCE, count=1)
        transfer = await finished(platform, await adjust(platform, account.account_id, 50_000))
        assert transfer.state == DONE
        assert await balance(simulator, account) == "500.00"


async def test_a_transfer_moves_money_once_whatever_is_lost(start, simulator) -> None:
    async with start() as platform:
        await platform.set_up(simulator)
        payer, payee = await platform.account(), await platform.account()
        await adjust(platform, payer.account_id, 50_000)
        await simulator.add_fault("lose_answer", endpoint=BALANCE, count=2)
        request = transfers_pb2.TransferFundsRequest(
            request_id=platform.new_id(),
            debit_account_id=payer.account_id,
            credit_account_id=payee.account_id,
            amount=usd(12_345),
            cause="test",
        )
        first = (await platform.transfers.TransferFunds(request, **platform.options())).transfer
        again = (await platform.transfers.TransferFunds(request, **platform.options())).transfer
        assert again.transfer_id == first.transfer_id
        done = await finished(platform, first)
        assert (done.state, done.refund_deal_ticket) == (DONE, 0)
        assert (await balance(simulator, payer), await balance(simulator, payee)) == ("376.55", "123.45")


async def test_a_credit_refused_for_good_gives_the_debit_back(start, simulator) -> None:
    async with start() as platform:
        await platform.set_up(simulator)
        payer, payee = await platform.account(), await platform.account()
        await adjust(platform, payer.account_id, 50_000)
        await simulator.add_fault("reject", endpoint=BALANCE, login=payee.login, retcode=13, count=1)
        request = transfers_pb2.TransferFundsRequest(
            request_id=platform.new_id(),
            debit_account_id=payer.account_id,
            credit_account_id=payee.account_id,
            amount=usd(10_000),
            cause="test",
        )
        first = (await platform.transfers.TransferFunds(request, **platform.options())).transfer
        done = await finished(platform, first)
        assert done.state == transfers_pb2.TRANSFER_STATE_REVERSED
        assert done.reason == "NOT_FOUND_ON_SERVER"
        assert done.refund_deal_ticket > 0
        assert (await balance(simulator, payer), await balance(simulator, payee)) == ("500.00", "0.00")


async def test_a_batch_is_accepted_at_once_and_reported_by_events(start, simulator) -> None:
    async with start() as platform:
        await platform.set_up(simulator)
        payer, payee = await platform.account(), await platform.account()
        await adjust(platform, payer.account_id, 50_000)
        request = transfers_pb2.BatchTransferFundsRequest(
            request_id=platform.new_id(),
            source="fees",
            ordering_key=7,
            currency_code="USD",
            item_ids=range(1, 21),
            debit_account_ids=[payer.account_id] * 20,
            credit_account_ids=[payee.account_id] * 20,
            amounts_minor=[100 + n for n in range(19)] + [1_000_000],
        )
        response = await platform.transfers.BatchTransferFunds(request, **platform.options())
        assert (response.accepted_count, response.known_count) == (20, 0)
        request.request_id = platform.new_id()
        response = await platform.transfers.BatchTransferFunds(request, **platform.options())
        assert (response.accepted_count, response.known_count) == (0, 20)

        async def results() -> dict[int, int] | None:
            found: dict[int, int] = {}
            for _, payload in await platform.events("transfers"):
                event = events_pb2.TransfersUpdated.FromString(payload)
                if event.source == "fees":
                    found.update(zip(event.item_ids, event.states, strict=True))
            ended = len(found) == 20 and min(found.values()) >= DONE
            return found if ended else None

        states = await eventually(results, 60)
        query = text("SELECT DISTINCT aggregate_id, partition FROM outbox WHERE aggregate_type = 'transfers'")
        async with transaction(platform.engine) as tx:
            aggregates = {tuple(row) for row in await tx.execute(query)}
        assert ("7", 7) in aggregates, "the caller's key, whatever number it is"
        assert states == dict.fromkeys(range(1, 20), DONE) | {20: transfers_pb2.TRANSFER_STATE_REJECTED}
        moved = sum(100 + n for n in range(19))
        assert await balance(simulator, payee) == f"{moved // 100}.{moved % 100:02d}"
