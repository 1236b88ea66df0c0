"""Orders over one MT5 connection: many queued, their results read together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from apportion import mt5
from apportion.mt5 import Connection, DealerRequest, dealer
from apportion.mt5 import deals as mt5_deals
from apportion.mt5 import positions as mt5_positions
from apportion.mt5 import symbols as mt5_symbols
from apportion.mt5 import ticks as mt5_ticks
from apportion.mt5.dealer import ModifyRequest
from apportion.mt5.retcodes import FILLED
from apportion.mt5.symbols import Symbol
from apportion.platform_groups.adapters.mt5_answers import answer_of, refusal_of, translated
from apportion.platform_groups.adapters.mt5_facts import position_of
from apportion.platform_groups.domain.orders import Answer, AnswerKind, SentOrder
from apportion.platform_groups.domain.server_facts import ServerPosition, ServerTick
from apportion.platform_groups.domain.states import OrderPurpose
from apportion.platform_groups.domain.tokens import order_token
from apportion.platform_groups.operations.ports import Permit

log = structlog.get_logger()


class Mt5Dealer:
    """Implements DealerSession. One task uses it at a time."""

    def __init__(self, connection: Connection, *, patience_seconds: float) -> None:
        self._connection = connection
        self._patience_seconds = patience_seconds
        self._sent: dict[int, tuple[SentOrder, float]] = {}
        self._generation = 0
        self._symbols: dict[str, Symbol] = {}

    @property
    def outstanding_count(self) -> int:
        return len(self._sent)

    async def prices(self, symbols: Sequence[str]) -> dict[str, ServerTick]:
        with translated():
            ticks = (await mt5_ticks.last(self._connection, symbols)).ticks
        return {tick.symbol: ServerTick(tick.symbol, tick.bid_e8, tick.ask_e8, tick.server_time_ms) for tick in ticks}

    async def positions(self, login: int) -> list[ServerPosition]:
        with translated():
            return [position_of(position) for position in await mt5_positions.list_of_login(self._connection, login)]

    async def send(self, order: SentOrder, permit: Permit) -> Answer | None:
        """Results can only be read on the login that sent: after a new login the older ones are LOST, see `collect`."""
        try:
            request = await self._request(order)
        except (mt5.Mt5Error, ValueError) as error:
            return Answer(AnswerKind.NOT_TAKEN, type(error).__name__.upper())
        try:
            request_id = await dealer.send(self._connection, request, permit=permit)
        except mt5.Refused as refused:
            return refusal_of(refused.retcode)
        except mt5.NotSent as error:
            log.warning("order_not_sent", order_id=order.order_id, cause=str(error))
            return Answer(AnswerKind.NOT_TAKEN, "NOT_SENT")
        except mt5.Mt5Error as error:
            log.warning("order_answer_lost", order_id=order.order_id, cause=str(error))
            return Answer(AnswerKind.LOST, "ANSWER_LOST")
        if not self._sent:
            self._generation = self._connection.generation
        self._sent[request_id] = (order, asyncio.get_running_loop().time())
        return None

    async def collect(self) -> list[tuple[SentOrder, Answer]]:
        if not self._sent:
            return []
        if self._connection.generation != self._generation:
            return self._lose_all()
        try:
            results = await dealer.results(self._connection, list(self._sent))
        except mt5.Mt5Error as error:
            log.warning("order_results_lost", count=len(self._sent), cause=str(error))
            return self._lose_all()
        if self._connection.generation != self._generation:
            return self._lose_all()
        answered = [(self._sent.pop(id_)[0], confirmation) for id_, confirmation in results.finished.items()]
        lost = [(self._sent.pop(id_)[0], Answer(AnswerKind.LOST, "RESULT_GONE")) for id_ in results.gone]
        lost += self._lose_late()
        return await self._with_deals(answered) + lost

    def _lose_all(self) -> list[tuple[SentOrder, Answer]]:
        lost = [(order, Answer(AnswerKind.LOST, "CONNECTION_LOST")) for order, _ in self._sent.values()]
        self._sent.clear()
        return lost

    def _lose_late(self) -> list[tuple[SentOrder, Answer]]:
        """An order that waits too long for its result is looked for among the deals instead."""
        limit = asyncio.get_running_loop().time() - self._patience_seconds
        late = [id_ for id_, (_, sent_at) in self._sent.items() if sent_at < limit]
        return [(self._sent.pop(id_)[0], Answer(AnswerKind.LOST, "RESULT_LATE")) for id_ in late]

    async def _request(self, order: SentOrder) -> DealerRequest | ModifyRequest:
        if order.symbol not in self._symbols:
            for found in (await mt5_symbols.list_named(self._connection, [order.symbol])).symbols:
                self._symbols[found.symbol] = found
        symbol = self._symbols.get(order.symbol) or Symbol(order.symbol)
        if order.purpose is OrderPurpose.MODIFY:
            return ModifyRequest(
                login=order.login,
                symbol=order.symbol,
                digits=symbol.digits,
                position=order.position_ticket,
                stop_loss_e8=order.stop_loss_e8,
                take_profit_e8=order.take_profit_e8,
            )
        return DealerRequest(
            login=order.login,
            symbol=order.symbol,
            digits=symbol.digits,
            volume_e8=order.volume_e8,
            comment=order_token(order.order_id),
            position=order.position_ticket,
            stop_loss_e8=order.stop_loss_e8,
            take_profit_e8=order.take_profit_e8,
            fill_type=symbol.fill_type,
        )

    async def _with_deals(self, answered: list[tuple[SentOrder, mt5.Confirmation]]) -> list[tuple[SentOrder, Answer]]:
        """A confirmation lacks the position and the server's time: they are on the deal."""
        tickets = [confirmation.deal for order, confirmation in answered if _makes_a_deal(order, confirmation)]
        by_ticket: dict[int, mt5_deals.Deal] = {}
        if tickets:
            try:
                by_ticket = {deal.deal: deal for deal in await mt5_deals.list_of_tickets(self._connection, tickets)}
            except mt5.Mt5Error as error:
                log.warning("deals_of_orders_unread", count=len(tickets), cause=str(error))
        return [
            (order, _joined(confirmation, by_ticket) if _makes_a_deal(order, confirmation) else answer_of(confirmation))
            for order, confirmation in answered
        ]


def _makes_a_deal(order: SentOrder, confirmation: mt5.Confirmation) -> bool:
    return order.purpose is not OrderPurpose.MODIFY and confirmation.retcode in FILLED


def _joined(confirmation: mt5.Confirmation, deals: dict[int, mt5_deals.Deal]) -> Answer:
    """Filled, with its deal; without the deal it is LOST, and found by its token like any other lost answer."""
    deal = deals.get(confirmation.deal)
    if deal is None:
        return Answer(AnswerKind.LOST, "DEAL_UNREAD")
    return Answer(
        AnswerKind.FILLED,
        volume_e8=abs(deal.signed_volume_e8),
        price_e8=deal.price_e8,
        position_ticket=deal.position,
        deal_ticket=deal.deal,
        server_time_ms=deal.server_time_ms,
    )
