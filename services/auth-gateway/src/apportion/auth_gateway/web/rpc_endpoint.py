"""From the body of a POST to its answer: single calls, batches, notifications."""

from __future__ import annotations

import asyncio
import time
import traceback
from dataclasses import dataclass

import msgspec
import structlog

from apportion.auth_gateway.domain.tokens import Session
from apportion.auth_gateway.errors import BatchNotAllowed, EnvelopeError, MethodNotFound, NamedParamsRequired
from apportion.auth_gateway.operations.issue_token import TokenDesk, count_attempt
from apportion.auth_gateway.operations.open_session import open_session
from apportion.auth_gateway.web.headers import Visit, read_credentials, session_key_of
from apportion.auth_gateway.web.methods import METHODS, Services
from apportion.auth_gateway.web.metrics import record_call
from apportion.auth_gateway.wire.envelope import Call, Malformed, read_calls
from apportion.auth_gateway.wire.params import parse_params
from apportion.auth_gateway.wire.render import Rendered, batch, failure, public, success
from apportion.auth_gateway.wire.strict_json import parse_json
from apportion.errors import DomainError, InternalError

log = structlog.get_logger()

UNKNOWN_METHOD = "unknown"


class Answer(msgspec.Struct, frozen=True):
    """What goes back; no body when no answer is due."""

    rendered: Rendered | None
    set_cookie: str | None = None


@dataclass(frozen=True, slots=True)
class RpcEndpoint:
    """The one place where errors become answers."""

    services: Services

    async def answer(self, body: bytes, visit: Visit) -> Answer:
        """Never raises."""
        try:
            calls = read_calls(parse_json(body))
        except EnvelopeError as error:
            return Answer(failure(None, error, visit.request_id))
        if not isinstance(calls, list):
            return await self._answer_one(calls, visit, alone=True)
        answers = await asyncio.gather(*(self._answer_one(call, visit, alone=False) for call in calls))
        due = [answer.rendered for answer in answers if answer.rendered is not None]
        return Answer(batch(due) if due else None)

    async def _answer_one(self, call: Call | Malformed, visit: Visit, *, alone: bool) -> Answer:
        if isinstance(call, Malformed):
            return Answer(failure(call.id, call.error, visit.request_id))
        started = time.perf_counter()
        method = METHODS.get(call.method)
        name = method.name if method else UNKNOWN_METHOD
        outcome = "ok"
        try:
            if method is None:
                raise MethodNotFound
            if method.alone and not alone:
                await _count_batched(self.services.token_desk, name, visit)
                raise BatchNotAllowed
            session = await self._session(visit) if method.signed_in else None
            if method.named and isinstance(call.params, list):
                raise NamedParamsRequired
            done = await method.run(self.services, visit, session, parse_params(method.params, call.params))
            answer = Answer(None if call.notification else success(call.id, done.result), done.set_cookie)
        except Exception as cause:
            error = public(_known(cause, name, visit.request_id))
            outcome = error.reason
            _log_refusal(name, error, visit)
            answer = Answer(None if call.notification else failure(call.id, error, visit.request_id))
        record_call(name, outcome, time.perf_counter() - started)
        return answer

    async def _session(self, visit: Visit) -> Session:
        return await open_session(self.services.session_desk, session_key_of(visit.headers))


async def _count_batched(desk: TokenDesk, method: str, visit: Visit) -> None:
    """A la.auth in a batch is refused, and still counts as an attempt."""
    if method == "la.auth":
        label, login, _ = read_credentials(visit.headers)
        await count_attempt(desk, label, login, visit.address)


def _log_refusal(method: str, error: DomainError, visit: Visit) -> None:
    """What was wrong is told without what was sent; that a proxy drops headers shows here."""
    wrong = [f"{violation.field}: {violation.description}" for violation in error.violations]
    caller = {"request_id": visit.request_id, "address": visit.address}
    log.info("call_refused", method=method, reason=error.reason, violations=wrong, **caller)


def _known(cause: Exception, method: str, request_id: str) -> DomainError:
    """What is no DomainError is a bug: its stack goes to the log, its text, which may quote input, nowhere."""
    if isinstance(cause, DomainError):
        return cause
    log.error(
        "call_failed",
        method=method,
        request_id=request_id,
        error=type(cause).__name__,
        stack="".join(traceback.format_tb(cause.__traceback__)),
    )
    return InternalError()
