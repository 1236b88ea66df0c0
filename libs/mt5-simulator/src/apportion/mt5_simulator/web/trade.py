"""Balance operations, margin check, profit calculation."""

from __future__ import annotations

from apportion.mt5_simulator.codes import Refused, Retcode, Side
from apportion.mt5_simulator.domain.figures import format_price, format_scaled, profit_minor
from apportion.mt5_simulator.domain.records import Position
from apportion.mt5_simulator.domain.valuation import Valuation
from apportion.mt5_simulator.server import Server
from apportion.mt5_simulator.web.call import Call, Handler, Reply
from apportion.mt5_simulator.web.render import render_account
from apportion.mt5_simulator.web.selection import group_name
from apportion.mt5_simulator.web.session import Session


def _side(call: Call) -> Side:
    try:
        return Side(call.integer("type"))
    except ValueError:
        raise Refused(Retcode.PARAMETERS) from None


def balance(server: Server, session: Session, call: Call) -> Reply:
    engine = server.engine
    user = engine.ledger.user(call.integer("login"))
    deal = engine.change_balance(
        user.login,
        call.integer("type"),
        call.scaled("balance", engine.valuation.groups[user.group].currency_digits),
        call.text("comment", ""),
        server.now_ms(),
        check_margin=call.integer("check_margin", 1) != 0,
        dealer=session.manager_login or 0,
    )
    return Reply({"Ticket": str(deal.deal)})


def check_margin(server: Server, session: Session, call: Call) -> Reply:
    """The account's state now, and as it would be with one more position. `volume` in 1e-8 lot."""
    engine = server.engine
    user, symbol = engine.ledger.user(call.integer("login")), engine.board.symbol(call.text("symbol"))
    side, quote = _side(call), engine.board.quote(symbol.name)
    group = engine.valuation.groups[user.group]
    now_ms = server.now_ms()
    position = Position(
        position=0,
        login=user.login,
        symbol=symbol.name,
        side=side,
        volume_e8=call.integer("volume"),
        price_open_e8=quote.ask_e8 if side is Side.BUY else quote.bid_e8,
        time_create_ms=now_ms,
        time_update_ms=now_ms,
        rate_margin_e8=engine.board.rate_e8(symbol.base, group.currency),
    )
    current = engine.valuation.account(user)
    margin = engine.valuation.margin_minor(user, [*engine.ledger.positions_of(user.login), position])
    return Reply({"new": _with_margin(engine.valuation, user.login, margin), "current": render_account(current)})


def _with_margin(valuation: Valuation, login: int, margin: int) -> dict[str, object]:
    state = valuation.account(valuation.ledger.users[login])
    level = 100 * state.equity_minor / margin if margin else 0.0
    digits = state.currency_digits
    return {
        **render_account(state),
        "Margin": format_scaled(margin, digits),
        "MarginFree": format_scaled(state.equity_minor - margin, digits),
        "MarginLevel": f"{level:.2f}",
    }


def calc_profit(server: Server, session: Session, call: Call) -> Reply:
    """Profit of a closed trade in the group's currency. `volume` in 1e-8 lot."""
    engine, side = server.engine, _side(call)
    group, symbol = engine.valuation.group(group_name(call)), engine.board.symbol(call.text("symbol"))
    rate_e8 = engine.valuation.rate_profit_e8(symbol.name, group)
    difference_e8 = call.scaled("price_close", 8) - call.scaled("price_open", 8)
    signed_e8 = difference_e8 if side is Side.BUY else -difference_e8
    profit = profit_minor(symbol.contract_size_e8, call.integer("volume"), signed_e8, rate_e8, group.currency_digits)
    return Reply({"Profit": format_scaled(profit, group.currency_digits), "Profit_rate": format_price(rate_e8, 8)})


HANDLERS: dict[str, Handler] = {
    "trade/balance": balance,
    "trade/check_margin": check_margin,
    "trade/calc_profit": calc_profit,
}
