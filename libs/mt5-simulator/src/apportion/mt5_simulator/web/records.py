"""Positions, open orders, closed orders, deals: one reading pattern for all four."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from apportion.mt5_simulator.codes import Refused, Retcode
from apportion.mt5_simulator.domain.records import Deal, Order, Position
from apportion.mt5_simulator.server import Server
from apportion.mt5_simulator.web.call import Call, Handler, Reply
from apportion.mt5_simulator.web.render import Renderer
from apportion.mt5_simulator.web.selection import groups_meant, logins_meant, page, time_span_ms
from apportion.mt5_simulator.web.session import Session


def _renderer(server: Server) -> Renderer:
    return Renderer(server.engine.valuation)


def _by_ticket(call: Call, name: str, known: dict[int, Any], render: Callable[[Any], Any]) -> Reply:
    record = known.get(call.integer(name))
    if record is None:
        raise Refused(Retcode.NOT_FOUND)
    return Reply(render(record))


def _total(items: Iterable[object]) -> Reply:
    return Reply({"Total": str(sum(1 for _ in items))})


def _require_one_selector(call: Call) -> None:
    if sum(call.has(selector) for selector in ("login", "group", "ticket")) != 1:
        raise Refused(Retcode.PARAMETERS)


# Positions.


def _positions_of(server: Server, call: Call) -> list[Position]:
    return server.engine.ledger.positions_of(server.engine.ledger.user(call.integer("login")).login)


def position_get(server: Server, session: Session, call: Call) -> Reply:
    """The first position of an account in a symbol."""
    symbol = call.text("symbol")
    for position in _positions_of(server, call):
        if position.symbol == symbol:
            return Reply(_renderer(server).position(position))
    raise Refused(Retcode.NOT_FOUND)


def position_get_total(server: Server, session: Session, call: Call) -> Reply:
    return _total(_positions_of(server, call))


def position_get_page(server: Server, session: Session, call: Call) -> Reply:
    render = _renderer(server).position
    return Reply([render(position) for position in page(call, _positions_of(server, call))])


def position_get_batch(server: Server, session: Session, call: Call) -> Reply:
    _require_one_selector(call)
    ledger, render = server.engine.ledger, _renderer(server).position
    if call.has("ticket"):
        chosen = [ledger.positions[ticket] for ticket in call.integers("ticket") if ticket in ledger.positions]
    else:
        chosen = [position for login in logins_meant(server, call) for position in ledger.positions_of(login)]
    symbols = set(call.texts("symbol")) if call.has("symbol") else None
    return Reply([render(position) for position in chosen if symbols is None or position.symbol in symbols])


# Open orders: market orders are filled at once, so there are none.


def order_get(server: Server, session: Session, call: Call) -> Reply:
    raise Refused(Retcode.NOT_FOUND)


def order_get_total(server: Server, session: Session, call: Call) -> Reply:
    server.engine.ledger.user(call.integer("login"))
    return _total(())


def order_get_page(server: Server, session: Session, call: Call) -> Reply:
    server.engine.ledger.user(call.integer("login"))
    return Reply([])


def order_get_batch(server: Server, session: Session, call: Call) -> Reply:
    _require_one_selector(call)
    return Reply([])


# Closed orders.


def _orders_of(server: Server, logins: Iterable[int], span: tuple[int, int]) -> list[Order]:
    ledger = server.engine.ledger
    return [order for login in logins for order in ledger.orders_of(login) if span[0] <= order.time_done_ms <= span[1]]


def _account_orders(server: Server, call: Call) -> list[Order]:
    user = server.engine.ledger.user(call.integer("login"))
    return _orders_of(server, [user.login], time_span_ms(call))


def history_get(server: Server, session: Session, call: Call) -> Reply:
    return _by_ticket(call, "ticket", server.engine.ledger.orders, _renderer(server).order)


def history_get_total(server: Server, session: Session, call: Call) -> Reply:
    return _total(_account_orders(server, call))


def history_get_page(server: Server, session: Session, call: Call) -> Reply:
    render = _renderer(server).order
    return Reply([render(order) for order in page(call, _account_orders(server, call))])


def history_get_batch(server: Server, session: Session, call: Call) -> Reply:
    _require_one_selector(call)
    orders, render = server.engine.ledger.orders, _renderer(server).order
    if call.has("ticket"):
        return Reply([render(orders[ticket]) for ticket in call.integers("ticket") if ticket in orders])
    span = time_span_ms(call)
    return Reply([render(order) for order in _orders_of(server, logins_meant(server, call), span)])


# Deals.


def _account_deals(server: Server, call: Call) -> list[Deal]:
    user = server.engine.ledger.user(call.integer("login"))
    first, last = time_span_ms(call)
    return [deal for deal in server.engine.ledger.deals_of(user.login) if first <= deal.time_ms <= last]


def deal_get(server: Server, session: Session, call: Call) -> Reply:
    return _by_ticket(call, "ticket", server.engine.ledger.deals, _renderer(server).deal)


def deal_get_total(server: Server, session: Session, call: Call) -> Reply:
    return _total(_account_deals(server, call))


def deal_get_page(server: Server, session: Session, call: Call) -> Reply:
    render = _renderer(server).deal
    return Reply([render(deal) for deal in page(call, _account_deals(server, call))])


def deal_get_batch(server: Server, session: Session, call: Call) -> Reply:
    _require_one_selector(call)
    ledger, render = server.engine.ledger, _renderer(server).deal
    if call.has("ticket"):
        return Reply([render(ledger.deals[ticket]) for ticket in call.integers("ticket") if ticket in ledger.deals])
    first, last = time_span_ms(call)
    if call.has("login"):
        own = (deal for login in logins_meant(server, call) for deal in ledger.deals_of(login))
        return Reply([render(deal) for deal in own if first <= deal.time_ms <= last])
    groups = set(groups_meant(server, call.texts("group")))
    recent = ((ledger.users.get(deal.login), deal) for deal in ledger.deals_between(first, last))
    return Reply([render(deal) for user, deal in recent if user is not None and user.group in groups])


HANDLERS: dict[str, Handler] = {
    "position/get": position_get,
    "position/get_total": position_get_total,
    "position/get_page": position_get_page,
    "position/get_batch": position_get_batch,
    "order/get": order_get,
    "order/get_total": order_get_total,
    "order/get_page": order_get_page,
    "order/get_batch": order_get_batch,
    "history/get": history_get,
    "history/get_total": history_get_total,
    "history/get_page": history_get_page,
    "history/get_batch": history_get_batch,
    "deal/get": deal_get,
    "deal/get_total": deal_get_total,
    "deal/get_page": deal_get_page,
    "deal/get_batch": deal_get_batch,
}
