"""Dealer requests: queued, executed shortly after, their results read on the connection that sent them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from apportion.mt5_simulator.codes import (
    COMMENT_LENGTH,
    OUTSTANDING_REQUESTS,
    VOLUME_UNIT_E8,
    Reason,
    Refused,
    RequestAction,
    Retcode,
    Side,
)
from apportion.mt5_simulator.domain.figures import format_price
from apportion.mt5_simulator.domain.records import ApiData, Deal, MarketRequest, ModifyRequest
from apportion.mt5_simulator.faults import FaultKind
from apportion.mt5_simulator.server import Server
from apportion.mt5_simulator.web.call import Call, Handler, Reply
from apportion.mt5_simulator.web.render import volume_fields
from apportion.mt5_simulator.web.session import DealerResult, Session

_FIRST_DEALER_ACTION = 200
_API_DATA_ITEMS = 8


def send_request(server: Server, session: Session, call: Call) -> Reply:
    """Check the form, queue the request, return its id."""
    now = time.monotonic()
    session.forget_old_results(now)
    if len(session.results) >= OUTSTANDING_REQUESTS:
        raise Refused(Retcode.TOO_MANY_REQUESTS)
    request = _parse(server, session, call)
    request_id = server.next_request
    server.next_request += 1
    result = DealerResult(sent_at=now)
    if FaultKind.LOSE_RESULT not in call.faults:
        session.results[request_id] = result
    server.execute(
        lambda: _execute(server, request_id, request, result, call), now=FaultKind.LOSE_ANSWER in call.faults
    )
    return Reply({server.settings.request_id_key: str(request_id)})


def _parse(server: Server, session: Session, call: Call) -> MarketRequest | ModifyRequest:
    action = call.integer("action")
    if action < _FIRST_DEALER_ACTION:
        raise Refused(Retcode.PARAMETERS)
    login = call.integer("login")
    if login not in server.engine.ledger.users:
        raise Refused(Retcode.PARAMETERS)
    volume_e8, api_data = _volume_e8(call), _api_data(call.raw("api_data"))
    if action == RequestAction.MODIFY_POSITION:
        return ModifyRequest(
            login=login,
            position=call.integer("position"),
            price_sl_e8=call.scaled("price_sl", 8, 0),
            price_tp_e8=call.scaled("price_tp", 8, 0),
            reason=Reason.DEALER,
        )
    if action != RequestAction.EXECUTE:
        raise Refused(Retcode.UNSUPPORTED)
    kind = call.integer("type")
    if kind not in (Side.BUY, Side.SELL):
        raise Refused(Retcode.PARAMETERS)
    return MarketRequest(
        login=login,
        symbol=server.engine.board.symbol(call.text("symbol")).name,
        side=Side(kind),
        volume_e8=volume_e8,
        position=call.integer("position", 0),
        price_sl_e8=call.scaled("price_sl", 8, 0),
        price_tp_e8=call.scaled("price_tp", 8, 0),
        comment=call.text("comment", "")[:COMMENT_LENGTH],
        flags=call.integer("flags", 0),
        dealer=session.manager_login or 0,
        reason=Reason.DEALER,
        api_data=api_data,
    )


def _check_fill(server: Server, call: Call, request: MarketRequest | ModifyRequest) -> None:
    """A market order's TypeFill (0 or 1) must be among the symbol's FillFlags (bits 1 and 2)."""
    if isinstance(request, MarketRequest):
        flags, fill = server.engine.board.symbol(request.symbol).fill_flags, call.integer("type_fill", 0)
        if fill not in (0, 1) or not flags & 1 << fill:
            raise Refused(Retcode.FILL_MODE)


def _volume_e8(call: Call) -> int:
    """`VolumeExt` wins; 0 when there is neither."""
    return call.integer("volume_ext") if call.has("volume_ext") else call.integer("volume", 0) * VOLUME_UNIT_E8


def _api_data(value: Any) -> ApiData:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > _API_DATA_ITEMS:
        raise Refused(Retcode.PARAMETERS)
    items = []
    for item in value:
        if not isinstance(item, dict):
            raise Refused(Retcode.PARAMETERS)
        texts = {str(name): str(number) for name, number in item.items()}
        app, number = texts.get("AppID", ""), texts.get("ID", "")
        if not (app.isdecimal() and number.isdecimal() and 1 <= int(app) <= 4095 and 0 <= int(number) <= 15):
            raise Refused(Retcode.PARAMETERS)
        items.append(texts)
    return items


def _execute(
    server: Server,
    request_id: int,
    request: MarketRequest | ModifyRequest,
    result: DealerResult,
    call: Call,
) -> Callable[[], None]:
    """Run one queued request; returns what makes its result readable, once all is saved."""
    deal: Deal | None = None
    retcode = int(Retcode.REQUEST_DONE)
    try:
        if FaultKind.REJECT in call.faults:
            raise Refused(call.faults[FaultKind.REJECT].retcode)
        _check_fill(server, call, request)
        if isinstance(request, ModifyRequest):
            server.engine.modify(request, server.now_ms())
        else:
            deal = server.engine.execute(request, server.now_ms())
    except Refused as error:
        retcode = error.retcode
    if FaultKind.TIMEOUT in call.faults:
        deal, retcode = None, int(Retcode.REQUEST_TIMEOUT)
    symbol = call.text("symbol", "")
    result.confirm = _confirm(server, request_id, symbol, retcode, deal)
    result.answer = _echo(call, request_id, symbol, server, retcode, deal)
    late = call.faults.get(FaultKind.LATE_RESULT)

    def publish() -> None:
        result.readable_at = time.monotonic() + (0.0 if late is None else late.seconds)

    return publish


def _fill(server: Server, symbol: str, deal: Deal | None) -> tuple[dict[str, str], dict[str, str]]:
    """Volume and price of the fill; the prices of the market."""
    settings = server.engine.board.symbols.get(symbol)
    quote = server.engine.board.quotes.get(symbol)
    digits = 0 if settings is None else settings.digits
    volume_e8, price_e8 = (0, 0) if deal is None else (deal.volume_e8, deal.price_e8)
    bid_e8, ask_e8 = (0, 0) if quote is None else (quote.bid_e8, quote.ask_e8)
    fill = {
        **volume_fields("Volume", volume_e8),
        "Price": format_price(price_e8, digits),
    }
    return fill, {
        "Bid": format_price(bid_e8, digits),
        "Ask": format_price(ask_e8, digits),
        "Last": format_price(0, digits),
    }


def _confirm(server: Server, request_id: int, symbol: str, retcode: int, deal: Deal | None) -> dict[str, object]:
    fill, market = _fill(server, symbol, deal)
    return {
        "ID": str(request_id),
        "Retcode": str(retcode),
        **fill,
        **{f"Tick{name}": price for name, price in market.items()},
        "Comment": "",
        "Flags": "0",
        "DealID": str(deal.deal if deal else 0),
        "OrderID": str(deal.order if deal else 0),
        "PositionExternalID": "",
        "ExternalRetcode": "0",
    }


def _echo(
    call: Call, request_id: int, symbol: str, server: Server, retcode: int, deal: Deal | None
) -> dict[str, object]:
    """The request as it was understood, with its result."""
    fill, market = _fill(server, symbol, deal)
    return {
        "ID": str(request_id),
        "IDClient": "0",
        **{
            field: call.text(field, "0")
            for field in ("Action", "Login", "SourceLogin", "Type", "TypeFill", "TypeTime", "Flags", "Position")
        },
        **{field: call.text(field, "0") for field in ("PriceOrder", "PriceSL", "PriceTP", "PriceDeviation", "Digits")},
        "Symbol": symbol,
        **volume_fields("Volume", _volume_e8(call)),
        "Comment": call.text("comment", "")[:COMMENT_LENGTH],
        "ApiData": _api_data(call.raw("api_data")),
        "ResultRetcode": str(retcode),
        "ResultDealer": str(deal.dealer if deal else 0),
        "ResultDeal": str(deal.deal if deal else 0),
        "ResultOrder": str(deal.order if deal else 0),
        **{f"Result{name}": value for name, value in fill.items()},
        **{f"ResultDealer{name}": price for name, price in market.items()},
        **{f"ResultMarket{name}": price for name, price in market.items()},
        "ResultComment": "",
    }


def get_request_result(server: Server, session: Session, call: Call) -> Reply:
    """Per id `[{result}, {answer}]` once, `[]` while pending; an id that is missing has no subscription here."""
    now = time.monotonic()
    session.forget_old_results(now)
    wanted = call.integers("id") if call.has("id") else list(session.results)
    if FaultKind.LOSE_RESULT in call.faults:
        for request_id in wanted:
            session.results.pop(request_id, None)
    answer: dict[str, object] = {}
    for request_id in wanted:
        result = session.results.get(request_id)
        if result is None:
            continue
        if result.readable_at is None or result.readable_at > now:
            answer[str(request_id)] = []
        else:
            answer[str(request_id)] = [{"result": result.confirm}, {"answer": result.answer}]
            del session.results[request_id]
    return Reply(answer) if server.settings.results_under_answer else Reply(top=answer)


HANDLERS: dict[str, Handler] = {
    "dealer/send_request": send_request,
    "dealer/get_request_result": get_request_result,
}
