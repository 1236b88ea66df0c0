"""The HTTPS front: one aiohttp server, one session per TCP connection, one table of handlers."""

from __future__ import annotations

import logging

import msgspec
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from apportion.mt5_simulator.codes import Refused, Retcode, retcode_line
from apportion.mt5_simulator.faults import Fault, FaultKind
from apportion.mt5_simulator.server import Server
from apportion.mt5_simulator.web import auth, dealer, markets, records, times, trade, users
from apportion.mt5_simulator.web.call import Call, Handler, Reply
from apportion.mt5_simulator.web.session import Session

IDLE_SECONDS = 180.0
_TARGET_LENGTH = 65_536
"""Longest request line: lists of tickets and logins come in the query."""

log = logging.getLogger(__name__)

_HANDLERS: dict[str, Handler] = {
    **auth.HANDLERS,
    **users.HANDLERS,
    **markets.HANDLERS,
    **times.HANDLERS,
    **records.HANDLERS,
    **trade.HANDLERS,
    **dealer.HANDLERS,
}
_FIRST_TRADE_CODE = 10_000


class WebFront(web.Server):
    """Serves the Web API; keeps a `Session` as long as its connection lives."""

    def __init__(self, server: Server, *, idle_seconds: float = IDLE_SECONDS) -> None:
        super().__init__(self._serve, keepalive_timeout=idle_seconds, access_log=None, max_line_size=_TARGET_LENGTH)
        self._server = server
        self._sessions: dict[RequestHandler, Session] = {}

    @property
    def session_count(self) -> int:
        return len(self._sessions)

    def disconnect_all(self) -> None:
        for session in list(self._sessions.values()):
            session.close_connection()

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        self._sessions.pop(handler, None)
        super().connection_lost(handler, exc)

    def _session(self, request: web.BaseRequest) -> Session:
        session = self._sessions.get(request.protocol)
        if session is None:
            transport = self._connections[request.protocol]
            session = self._sessions[request.protocol] = Session(transport.abort)
        return session

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        session = self._session(request)
        call = Call(request.raw_path, await request.read())
        # Before the login nothing can go wrong but the login.
        handler = auth.OPEN_HANDLERS.get(call.endpoint)
        if handler is None and session.manager_login is None:
            return web.Response(status=403)
        call.faults = self._server.faults.take(call.endpoint, call.login)
        if FaultKind.LATENCY in call.faults:
            await self._server.faults.delay(call.faults[FaultKind.LATENCY].seconds)
        if FaultKind.DISCONNECT in call.faults:
            return _drop(session)
        if FaultKind.FORBIDDEN in call.faults:
            session.manager_login = None
            return web.Response(status=403)
        try:
            body = self._answer(handler or _HANDLERS.get(call.endpoint), session, call)
        except auth.Forbidden:
            return web.Response(status=403)
        if FaultKind.LOSE_ANSWER in call.faults:
            return _drop(session)
        response = web.Response(body=body, content_type="application/json", charset="utf-8")
        if call.endpoint == "quit":
            response.force_close()
        return response

    def _answer(self, handler: Handler | None, session: Session, call: Call) -> bytes:
        """Run the handler, save what it changed, print the reply."""
        fault = call.faults.get(FaultKind.REJECT)
        try:
            if fault is not None and not _is_result(call, fault):
                raise Refused(fault.retcode)
            if handler is None:
                raise Refused(Retcode.UNSUPPORTED)
            reply = handler(self._server, session, call)
        except Refused as refusal:
            return msgspec.json.encode({"retcode": retcode_line(refusal.retcode)})
        except auth.Forbidden:
            raise
        except Exception:
            log.exception("handler failed: %s", call.endpoint)
            return msgspec.json.encode({"retcode": retcode_line(Retcode.ERROR)})
        self._server.save()
        if FaultKind.DENY in call.faults:
            return msgspec.json.encode({"retcode": retcode_line(call.faults[FaultKind.DENY].retcode)})
        return _printed(reply)


def _is_result(call: Call, fault: Fault) -> bool:
    """Whether a refusal comes as the result of a queued dealer request."""
    queued = call.endpoint == "dealer/send_request"
    return queued and fault.retcode >= _FIRST_TRADE_CODE and fault.retcode != Retcode.TOO_MANY_REQUESTS


def _printed(reply: Reply) -> bytes:
    document = {"retcode": retcode_line(Retcode.DONE), **reply.top}
    if reply.answer is not None:
        document["answer"] = reply.answer
    return msgspec.json.encode(document)


def _drop(session: Session) -> web.Response:
    session.close_connection()
    return web.Response(status=500)
