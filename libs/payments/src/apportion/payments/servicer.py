"""apportion.api.common.v1.PaymentsService."""

from __future__ import annotations

from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.common.v1 import payments_pb2, payments_pb2_grpc
from apportion.api.common.v1.money_pb2 import Money
from apportion.payments.decisions import Decision, decide_payments, list_decisions
from apportion.payments.payment import UNPAID, DecisionKind, Payment, PaymentDecision, PaymentState
from apportion.payments.payments import Payments
from apportion.rpc import Problems, caller, request_key, to_timestamp
from apportion.runtime import Clock
from apportion.storage import NEWEST_FIRST, Page, transaction

Context = grpc.aio.ServicerContext[Any, Any]
MOST_ITEMS = 1_000
CAUSE_LENGTH = 200
REASON_LENGTH = 100


class PaymentsServicer(payments_pb2_grpc.PaymentsServiceServicer):
    """Parse, call, render."""

    def __init__(self, engine: AsyncEngine, payments: Payments, clock: Clock) -> None:
        self._engine = engine
        self._payments = payments
        self._clock = clock

    async def ListUnpaidPayments(  # noqa: N802 (the RPC's name)
        self, request: payments_pb2.ListUnpaidPaymentsRequest, context: Context
    ) -> payments_pb2.ListUnpaidPaymentsResponse:
        label = caller().label
        _check_filter(request)
        query = ("ListUnpaidPayments", label, request.state, request.reason, request.account_id)
        page = Page(request.page_size, request.page_token, *query, start=NEWEST_FIRST)
        async with transaction(self._engine) as tx:
            found = await self._payments.list_unpaid(
                tx,
                label,
                state=PaymentState(request.state) if request.state else None,
                reason=request.reason,
                account_id=request.account_id,
                before=page.after_id,
                limit=page.limit,
            )
        shown, token = page.cut(found, lambda payment: payment.item_id)
        return payments_pb2.ListUnpaidPaymentsResponse(payments=map(render_payment, shown), next_page_token=token)

    async def RetryPayments(  # noqa: N802
        self, request: payments_pb2.RetryPaymentsRequest, context: Context
    ) -> payments_pb2.RetryPaymentsResponse:
        count = await self._decide(request, DecisionKind.RETRY)
        return payments_pb2.RetryPaymentsResponse(payment_count=count)

    async def WriteOffPayments(  # noqa: N802
        self, request: payments_pb2.WriteOffPaymentsRequest, context: Context
    ) -> payments_pb2.WriteOffPaymentsResponse:
        count = await self._decide(request, DecisionKind.WRITE_OFF)
        return payments_pb2.WriteOffPaymentsResponse(payment_count=count)

    async def ListPaymentDecisions(  # noqa: N802
        self, request: payments_pb2.ListPaymentDecisionsRequest, context: Context
    ) -> payments_pb2.ListPaymentDecisionsResponse:
        label = caller().label
        page = Page(request.page_size, request.page_token, "ListPaymentDecisions", label, start=NEWEST_FIRST)
        async with transaction(self._engine) as tx:
            found = await list_decisions(tx, label, before=page.after_id, limit=page.limit)
        shown, token = page.cut(found, lambda decision: decision.decision_id)
        return payments_pb2.ListPaymentDecisionsResponse(decisions=map(render_decision, shown), next_page_token=token)

    async def _decide(
        self, request: payments_pb2.RetryPaymentsRequest | payments_pb2.WriteOffPaymentsRequest, kind: DecisionKind
    ) -> int:
        key, problems = request_key(request), Problems()
        problems.within(len(request.item_ids), 1, MOST_ITEMS, "item_ids")
        problems.require(all(item_id > 0 for item_id in request.item_ids), "item_ids", "must be positive")
        problems.text(request.cause, "cause", longest=CAUSE_LENGTH)
        problems.raise_if_any()
        decision = Decision(key, kind, tuple(request.item_ids), request.cause, caller().peer)
        return await decide_payments(self._engine, self._payments, decision, now=self._clock.now())


def _check_filter(request: payments_pb2.ListUnpaidPaymentsRequest) -> None:
    problems = Problems()
    problems.not_negative(request.account_id, "account_id")
    problems.within(len(request.reason), 0, REASON_LENGTH, "reason")
    if request.state:
        problems.one_of(request.state, UNPAID, "state")
    problems.raise_if_any()


def render_payment(payment: Payment) -> payments_pb2.Payment:
    message = payments_pb2.Payment(
        item_id=payment.item_id,
        origin=payment.origin,
        debit_account_id=payment.debit_account_id,
        credit_account_id=payment.credit_account_id,
        amount=Money(currency_code=payment.currency_code, amount_minor=payment.amount_minor),
        state=payments_pb2.PaymentState.ValueType(payment.state),
        reason=payment.reason,
        transfer_id=payment.transfer_id,
        attempt_count=payment.attempt_count,
    )
    if payment.next_time is not None:
        message.next_time.CopyFrom(to_timestamp(payment.next_time))
    return message


def render_decision(decision: PaymentDecision) -> payments_pb2.PaymentDecision:
    return payments_pb2.PaymentDecision(
        decision_id=decision.decision_id,
        item_id=decision.item_id,
        kind=payments_pb2.PaymentDecisionKind.ValueType(decision.kind),
        amount=Money(currency_code=decision.currency_code, amount_minor=decision.amount_minor),
        reason=decision.reason,
        cause=decision.cause,
        decided_by=decision.decided_by,
        decide_time=to_timestamp(decision.decide_time),
    )
