"""Return codes of an MT5 server as answers to orders and refusals of other calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from apportion import mt5
from apportion.mt5 import Confirmation, Retcode
from apportion.mt5.retcodes import BACK_PRESSURE, DOUBTFUL, FILLED
from apportion.platform_groups.domain.orders import Answer, AnswerKind
from apportion.platform_groups.domain.server_facts import NotSent, OutcomeUnknown, ServerRefused, ServerUnreachable

REASONS = {
    Retcode.PRICES: "REQUOTE",
    Retcode.INVALID_PRICE: "PRICE_INVALID",
    Retcode.NO_PRICE: "OFF_QUOTES",
    Retcode.LOCKED: "CONTEXT_BUSY",
    Retcode.FROZEN: "CONTEXT_BUSY",
    Retcode.CLOSE_ORDER_EXISTS: "CONTEXT_BUSY",
    Retcode.NO_SERVICE: "NO_CONNECTION",
    Retcode.CANCELLED: "CANCELLED_BY_SERVER",
    Retcode.NO_MONEY: "NO_MONEY",
    Retcode.MARKET_CLOSED: "MARKET_CLOSED",
    Retcode.TRADE_DISABLED: "TRADE_DISABLED",
    Retcode.INVALID_VOLUME: "VOLUME_INVALID",
    Retcode.INVALID_STOPS: "STOPS_INVALID",
    Retcode.REJECTED: "REJECTED_BY_SERVER",
    Retcode.NOT_FOUND: "NOT_FOUND_ON_SERVER",
}
"""Our words where we have one; elsewhere the server's own name of the code. `trading.proto` lists those to rely on."""

POSTPONED = frozenset(
    {
        Retcode.REQUOTE,
        Retcode.PRICES,
        Retcode.REJECTED,
        Retcode.CANCELLED,
        Retcode.PRICE_CHANGED,
        Retcode.NO_PRICE,
        Retcode.INVALID_PRICE,
        Retcode.MARKET_CLOSED,
        Retcode.TRADE_DISABLED,
        Retcode.LOCKED,
        Retcode.FROZEN,
        Retcode.CLOSE_ORDER_EXISTS,
        Retcode.NO_SERVICE,
    }
)
"""Refusals that a close outlives: it is sent again."""


def reason_of(retcode: int) -> str:
    """An upper-case reason."""
    return REASONS.get(retcode) or mt5.retcode_name(retcode)  # type: ignore[call-overload]


def answer_of(confirmation: Confirmation) -> Answer:
    """What a dealer request's result means."""
    retcode = confirmation.retcode
    if retcode in FILLED:
        return Answer(
            AnswerKind.FILLED,
            volume_e8=confirmation.volume_e8,
            price_e8=confirmation.price_e8,
            deal_ticket=confirmation.deal,
        )
    if retcode in DOUBTFUL:
        return Answer(AnswerKind.LOST, reason_of(retcode))
    return refusal_of(retcode)


def refusal_of(retcode: int) -> Answer:
    """What a return code that is no success means for an order."""
    if retcode == Retcode.POSITION_CLOSED:
        return Answer(AnswerKind.ALREADY_CLOSED, "ALREADY_CLOSED")
    if retcode == Retcode.NO_CHANGES:
        return Answer(AnswerKind.UNCHANGED, "NO_CHANGES")
    if retcode == Retcode.CLOSE_VOLUME:
        return Answer(AnswerKind.CLOSE_VOLUME, "CLOSE_VOLUME")
    if retcode in BACK_PRESSURE:
        return Answer(AnswerKind.NOT_TAKEN, reason_of(retcode))
    if retcode in POSTPONED:
        return Answer(AnswerKind.POSTPONED, reason_of(retcode))
    return Answer(AnswerKind.REFUSED, reason_of(retcode))


@contextmanager
def translated() -> Iterator[None]:
    """The client's exceptions as those of the port."""
    try:
        yield
    except mt5.Refused as error:
        temporary = error.retcode in POSTPONED or error.retcode in BACK_PRESSURE
        raise ServerRefused(reason_of(error.retcode), temporary=temporary) from error
    except mt5.NotSent as error:
        raise NotSent(str(error)) from error
    except mt5.OutcomeUnknown as error:
        raise OutcomeUnknown(str(error)) from error
    except (mt5.Mt5Error, ValueError) as error:
        raise ServerUnreachable(str(error)) from error
