"""Login, ping, quit."""

from __future__ import annotations

import time

from apportion.mt5_simulator.codes import Refused, Retcode
from apportion.mt5_simulator.server import Server
from apportion.mt5_simulator.web.call import Call, Handler, Reply
from apportion.mt5_simulator.web.session import Session

_VERSION = "4755"
_OLDEST_CLIENT = 484


class Forbidden(Exception):
    """HTTP 403: not logged in, or the login failed."""


def start(server: Server, session: Session, call: Call) -> Reply:
    if call.text("type", "manager").lower() != "manager" or call.integer("version") < _OLDEST_CLIENT:
        raise Refused(Retcode.PARAMETERS)
    if not call.text("agent").strip():
        raise Refused(Retcode.PARAMETERS)
    login = call.integer("login")
    password = next((manager.password for manager in server.settings.managers if manager.login == login), None)
    if password is None:
        raise Refused(Retcode.INVALID_ACCOUNT)
    challenge = session.start_login(login, password, time.monotonic())
    return Reply(top={"version_access": _VERSION, "srv_rand": challenge})


def answer(server: Server, session: Session, call: Call) -> Reply:
    proof = session.answer_login(call.text("srv_rand_answer", ""), call.text("cli_rand", ""), time.monotonic())
    if proof is None:
        raise Forbidden
    return Reply(top={"version_access": _VERSION, "version_trade": _VERSION, "cli_rand_answer": proof})


def ping(server: Server, session: Session, call: Call) -> Reply:
    return Reply()


HANDLERS: dict[str, Handler] = {"test/access": ping, "quit": ping}
OPEN_HANDLERS: dict[str, Handler] = {"auth/start": start, "auth/answer": answer}
"""Served before the login."""
