"""Groups, symbols and ticks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from apportion.mt5_simulator.codes import PAGE_SIZE, Refused, Retcode
from apportion.mt5_simulator.domain.figures import format_price
from apportion.mt5_simulator.domain.quotes import Quote
from apportion.mt5_simulator.domain.settings import SymbolSettings, matches_mask, unescape_name
from apportion.mt5_simulator.server import Server
from apportion.mt5_simulator.web.call import Call, Handler, Reply
from apportion.mt5_simulator.web.render import render_group, render_symbol, render_tick
from apportion.mt5_simulator.web.selection import groups_meant
from apportion.mt5_simulator.web.session import Session

_SYMBOL_LIST_LENGTH = 4_096
Item = TypeVar("Item")


def _next(call: Call, items: Sequence[Item], render: Callable[[Item], Any]) -> Reply:
    """One object by its index, or an array from there on when `count` is above 1."""
    index, count = call.integer("index"), call.integer("count", 1)
    if not 0 <= index < len(items):
        raise Refused(Retcode.NOT_FOUND)
    if count == 1:
        return Reply(render(items[index]))
    if not 1 < count <= PAGE_SIZE:
        raise Refused(Retcode.PARAMETERS)
    return Reply([render(item) for item in items[index : index + count]])


def group_total(server: Server, session: Session, call: Call) -> Reply:
    return Reply({"Total": str(len(server.settings.groups))})


def group_list(server: Server, session: Session, call: Call) -> Reply:
    return Reply([group.name for group in server.settings.groups])


def group_next(server: Server, session: Session, call: Call) -> Reply:
    return _next(call, server.settings.groups, lambda group: render_group(group, server.settings))


def group_get(server: Server, session: Session, call: Call) -> Reply:
    """One group by name, or an array by mask."""
    names = call.texts("group")
    groups = server.engine.valuation.groups
    if len(names) == 1 and "*" not in names[0]:
        return Reply(render_group(server.engine.valuation.group(unescape_name(names[0])), server.settings))
    return Reply([render_group(groups[name], server.settings) for name in groups_meant(server, names)])


def symbol_total(server: Server, session: Session, call: Call) -> Reply:
    return Reply({"Total": str(len(server.settings.symbols))})


def symbol_list(server: Server, session: Session, call: Call) -> Reply:
    return Reply([symbol.name for symbol in server.settings.symbols])


def symbol_next(server: Server, session: Session, call: Call) -> Reply:
    return _next(call, server.settings.symbols, render_symbol)


def _symbols_meant(server: Server, masks: Sequence[str]) -> list[SymbolSettings]:
    """By name or by path mask (`Forex\\*`)."""
    joined = ",".join(masks)
    return [
        symbol
        for symbol in server.settings.symbols
        if matches_mask(joined, symbol.name) or matches_mask(joined, symbol.path)
    ]


def symbol_get(server: Server, session: Session, call: Call) -> Reply:
    names = call.texts("symbol")
    if len(names) == 1 and "*" not in names[0]:
        return Reply(render_symbol(server.engine.board.symbol(names[0])))
    return Reply([render_symbol(symbol) for symbol in _symbols_meant(server, names)])


def _quotes_meant(server: Server, call: Call) -> list[Quote]:
    if len(",".join(call.texts("symbol"))) > _SYMBOL_LIST_LENGTH:
        raise Refused(Retcode.PARAMETERS)
    quotes = server.engine.board.quotes
    return [quotes[symbol.name] for symbol in _symbols_meant(server, call.texts("symbol")) if symbol.name in quotes]


def tick_last(server: Server, session: Session, call: Call) -> Reply:
    """Ticks that changed since `trans_id`; 0 or none gives all."""
    since, board = call.integer("trans_id", 0), server.engine.board
    if since > board.change:  # a number from another server, or from one whose state was thrown away
        since = 0
    changed = [quote for quote in _quotes_meant(server, call) if quote.change > since]
    ticks = [render_tick(quote, board.symbols[quote.symbol].digits) for quote in changed]
    return Reply(ticks, top={"trans_id": str(board.change)})


def tick_last_group(server: Server, session: Session, call: Call) -> Reply:
    server.engine.valuation.group(unescape_name(call.text("group")))
    return tick_last(server, session, call)


def tick_stat(server: Server, session: Session, call: Call) -> Reply:
    """The last tick with the day's extremes."""
    board = server.engine.board
    answer = []
    for quote in _quotes_meant(server, call):
        digits, day = board.symbols[quote.symbol].digits, board.ranges[quote.symbol]
        answer.append(
            {
                **render_tick(quote, digits),
                "BidHigh": format_price(day.bid_high_e8, digits),
                "BidLow": format_price(day.bid_low_e8, digits),
                "AskHigh": format_price(day.ask_high_e8, digits),
                "AskLow": format_price(day.ask_low_e8, digits),
            }
        )
    return Reply(answer, top={"trans_id": str(board.change)})


HANDLERS: dict[str, Handler] = {
    "group/total": group_total,
    "group/list": group_list,
    "group/next": group_next,
    "group/get": group_get,
    "symbol/total": symbol_total,
    "symbol/list": symbol_list,
    "symbol/next": symbol_next,
    "symbol/get": symbol_get,
    "tick/last": tick_last,
    "tick/last_group": tick_last_group,
    "tick/stat": tick_stat,
}
