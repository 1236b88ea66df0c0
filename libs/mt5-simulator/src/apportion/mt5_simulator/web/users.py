"""Accounts: open, change, read, delete; passwords; their state."""

from __future__ import annotations

from apportion.mt5_simulator.codes import DEFAULT_RIGHTS, Refused, Retcode
from apportion.mt5_simulator.domain.accounts import LARGEST_LEVERAGE
from apportion.mt5_simulator.domain.figures import format_scaled
from apportion.mt5_simulator.domain.settings import unescape_name
from apportion.mt5_simulator.server import Server
from apportion.mt5_simulator.web.call import Call, Handler, Reply
from apportion.mt5_simulator.web.render import USER_TEXTS, Renderer, print_account, render_account
from apportion.mt5_simulator.web.selection import group_name, logins_meant
from apportion.mt5_simulator.web.session import Session

_SERVICE_RIGHTS = 0x200 | 0x8
"""Bits only the server sets."""


def _texts(call: Call) -> dict[str, str]:
    return {field: call.text(field) for field in USER_TEXTS if call.has(field)}


def _name(call: Call) -> str:
    given = " ".join(call.text(part) for part in ("first_name", "last_name") if call.has(part))
    return call.text("name", given).strip()


def add(server: Server, session: Session, call: Call) -> Reply:
    user = server.engine.accounts.add(
        login=call.integer("login", 0),
        group=group_name(call),
        name=_name(call),
        leverage=call.integer("leverage", 0),
        rights=call.integer("rights", DEFAULT_RIGHTS) & ~_SERVICE_RIGHTS,
        passwords={"main": call.text("pass_main", ""), "investor": call.text("pass_investor", "")},
        profile=_texts(call),
        now_ms=server.now_ms(),
    )
    return Reply(Renderer(server.engine.valuation).user(user))


def update(server: Server, session: Session, call: Call) -> Reply:
    """Only given fields change; bad and protected values are ignored without a word, as the real server does."""
    engine = server.engine
    user = engine.ledger.user(call.integer("login"))
    if call.has("group"):
        engine.accounts.move(user, unescape_name(call.text("group")))
    leverage = _number(call, "leverage")
    if leverage is not None and 1 <= leverage <= LARGEST_LEVERAGE:
        user.leverage = leverage
    rights = _number(call, "rights")
    if rights is not None and rights >= 0:
        user.rights = rights & ~_SERVICE_RIGHTS
    user.name = _name(call) or user.name
    user.profile.update(_texts(call))
    engine.ledger.put_user(user)
    engine.account_changed(user.login, server.now_ms())
    return Reply(Renderer(engine.valuation).user(user))


def _number(call: Call, name: str) -> int | None:
    try:
        return call.integer(name)
    except Refused:
        return None


def get(server: Server, session: Session, call: Call) -> Reply:
    user = server.engine.ledger.user(call.integer("login"))
    return Reply(Renderer(server.engine.valuation).user(user))


def get_batch(server: Server, session: Session, call: Call) -> Reply:
    render = Renderer(server.engine.valuation).user
    return Reply([render(server.engine.ledger.users[login]) for login in logins_meant(server, call)])


def logins(server: Server, session: Session, call: Call) -> Reply:
    return Reply([str(login) for login in logins_meant(server, call)])


def total(server: Server, session: Session, call: Call) -> Reply:
    return Reply({"Total": str(len(server.engine.ledger.users))})


def group(server: Server, session: Session, call: Call) -> Reply:
    return Reply({"Group": server.engine.ledger.user(call.integer("login")).group})


def delete(server: Server, session: Session, call: Call) -> Reply:
    for login in call.integers("login"):
        server.engine.accounts.delete(login)
    return Reply()


def _password_kind(call: Call) -> str:
    kind = call.text("type", "main").lower()
    if kind not in ("main", "investor"):
        raise Refused(Retcode.PARAMETERS)
    return kind


def check_password(server: Server, session: Session, call: Call) -> Reply:
    server.engine.accounts.check_password(call.integer("login"), _password_kind(call), call.text("password"))
    return Reply()


def change_password(server: Server, session: Session, call: Call) -> Reply:
    server.engine.accounts.change_password(call.integer("login"), _password_kind(call), call.text("password"))
    return Reply()


def check_balance(server: Server, session: Session, call: Call) -> Reply:
    """What the account says, and what its deals add up to; `fixflag` 1 puts the deals right."""
    engine, login = server.engine, call.integer("login")
    user = engine.ledger.user(login)
    digits = engine.valuation.groups[user.group].currency_digits
    balance, credit = engine.funds.history_minor(login)
    answer = {
        "Balance": {"User": format_scaled(user.balance_minor, digits), "History": format_scaled(balance, digits)},
        "Credit": {"User": format_scaled(user.credit_minor, digits), "History": format_scaled(credit, digits)},
    }
    if call.integer("fixflag", 0):
        engine.funds.restore_from_history(login)
    return Reply(answer)


def account_get(server: Server, session: Session, call: Call) -> Reply:
    engine, login = server.engine, call.integer("login")
    user = engine.ledger.user(login)
    if not engine.ledger.has_state(login):
        raise Refused(Retcode.NOT_FOUND)
    return Reply(render_account(engine.valuation.account(user)))


def account_get_batch(server: Server, session: Session, call: Call) -> Reply:
    """States of the accounts that have one."""
    ledger, account = server.engine.ledger, server.engine.valuation.account
    meant = logins_meant(server, call)
    return Reply([print_account(account(ledger.users[login])) for login in meant if ledger.has_state(login)])


HANDLERS: dict[str, Handler] = {
    "user/add": add,
    "user/update": update,
    "user/get": get,
    "user/get_batch": get_batch,
    "user/logins": logins,
    "user/total": total,
    "user/group": group,
    "user/delete": delete,
    "user/check_password": check_password,
    "user/change_password": change_password,
    "user/check_balance": check_balance,
    "user/account/get": account_get,
    "user/account/get_batch": account_get_batch,
}
