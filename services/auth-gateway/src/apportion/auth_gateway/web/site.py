"""The gateway's HTTP face: transport rules first, then JSON-RPC, links and probes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError

from apportion.auth_gateway.domain.addresses import Network, client_address, in_networks
from apportion.auth_gateway.errors import (
    BodyTimeout,
    BodyTooLarge,
    HostNotAllowed,
    HttpMethodNotAllowed,
    HttpsRequired,
    OriginNotAllowed,
    PathNotFound,
    RateLimited,
    TokenInvalid,
    UnsupportedEncoding,
    UnsupportedMediaType,
)
from apportion.auth_gateway.operations.follow_link import follow_link
from apportion.auth_gateway.operations.ports import RandomBytes
from apportion.auth_gateway.storage.broker_directory import BrokerDirectory
from apportion.auth_gateway.web.headers import Headers, Visit, request_id_of
from apportion.auth_gateway.web.metrics import IN_FLIGHT, LINKS, REFUSED
from apportion.auth_gateway.web.reply import PLAIN, Reply
from apportion.auth_gateway.web.rpc_endpoint import RpcEndpoint
from apportion.auth_gateway.wire.render import Rendered, failure
from apportion.errors import DomainError, Overloaded

log = structlog.get_logger()

RPC_PATH = "/dx"
LINK_PREFIX = "/redirect/"
LIVE_PATH = "/livez"
PROBES = (LIVE_PATH, "/readyz")
MAX_BODY_BYTES = 65_536
REQUEST_ID_BYTES = 16
ALLOWED_HEADERS = "authorization, content-type, lbl, x-request-id"
PREFLIGHT_SECONDS = "600"


@dataclass(frozen=True, slots=True)
class SiteRules:
    """Names the gateway answers to, proxies whose X-Forwarded-For is believed, and limits of one request."""

    hosts: frozenset[str]
    proxies: tuple[Network, ...] = ()
    body_seconds: float = 5.0
    max_in_flight: int = 512


@dataclass(slots=True)
class Site:
    """One request handler for all paths."""

    rules: SiteRules
    endpoint: RpcEndpoint
    directory: BrokerDirectory
    random: RandomBytes
    ready: Callable[[], Awaitable[bool]]
    in_flight: int = field(default=0)

    def __post_init__(self) -> None:
        IN_FLIGHT.set_function(lambda: self.in_flight)

    async def handle(self, request: web.BaseRequest) -> Reply:
        """Answer one request."""
        request_id = request_id_of(request.headers) or self.random(REQUEST_ID_BYTES).hex()
        self.in_flight += 1
        try:
            return await self._route(request, request_id)
        except DomainError as error:
            return self._refusal(request, error, request_id)
        except RequestPayloadError:
            return Reply(400, b"bad request", content_type=PLAIN, last=True)
        finally:
            self.in_flight -= 1

    def _route(self, request: web.BaseRequest, request_id: str) -> Awaitable[Reply]:
        path = request.raw_path
        if path in PROBES:
            return self._probe(path)
        self._check_host(request.headers)
        if path == RPC_PATH:
            return self._rpc(request, request_id)
        if path.startswith(LINK_PREFIX):
            return self._link(request)
        raise PathNotFound

    async def _rpc(self, request: web.BaseRequest, request_id: str) -> Reply:
        if self.in_flight > self.rules.max_in_flight:
            raise Overloaded
        headers = request.headers
        self._check_scheme(request)
        origin = await self._allowed_origin(headers) if "Origin" in headers else None
        if request.method == "OPTIONS":
            return _preflight(origin)
        if request.method != "POST":
            raise HttpMethodNotAllowed
        if (expectation := headers.get("Expect")) is not None and expectation.lower() != "100-continue":
            return Reply(417, last=True)
        _check_content(headers)
        if expectation is not None:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        visit = Visit(headers, self._address(request), origin, request_id)
        answer = await self.endpoint.answer(await self._body(request), visit)
        own = _cross_origin(origin) if origin is not None else {}
        if answer.set_cookie is not None:
            own["Set-Cookie"] = answer.set_cookie
        return Reply(204, headers=own) if answer.rendered is None else _reply(answer.rendered, request_id, own)

    async def _link(self, request: web.BaseRequest) -> Reply:
        if request.method != "GET":
            raise HttpMethodNotAllowed
        token, _, query = request.raw_path.removeprefix(LINK_PREFIX).partition("?")
        language = parse_qs(query).get("lang", [None])[-1] if len(query) <= 200 else None
        try:
            url = await follow_link(self.endpoint.services.session_desk, token, language, self._address(request))
        except (TokenInvalid, RateLimited) as error:
            LINKS.labels(error.reason).inc()
            status = 404 if isinstance(error, TokenInvalid) else 429
            return Reply(status, b"This link has expired. Go back and sign in again.", content_type=PLAIN)
        LINKS.labels("ok").inc()
        return Reply(302, headers={"Location": url})

    async def _probe(self, path: str) -> Reply:
        good = path == LIVE_PATH or await self.ready()
        return Reply(200, b"ok\n", content_type=PLAIN) if good else Reply(503, b"no\n", content_type=PLAIN)

    def _refusal(self, request: web.BaseRequest, error: DomainError, request_id: str) -> Reply:
        """What never became a call. An unread body is not waited for: the connection closes."""
        REFUSED.labels(error.reason).inc()
        log.info("request_refused", reason=error.reason, request_id=request_id, address=self._address(request))
        own = {}
        if isinstance(error, HttpMethodNotAllowed):
            own["Allow"] = "GET" if request.raw_path.startswith(LINK_PREFIX) else "POST, OPTIONS"
        return _reply(failure(None, error, request_id), request_id, own, last=not request.content.is_eof())

    def _check_scheme(self, request: web.BaseRequest) -> None:
        """Refused rather than redirected: a redirect would hide that secrets have been sent in clear."""
        if self.rules.proxies and (schemes := ",".join(request.headers.getall("X-Forwarded-Proto", ()))):
            is_secure = all(scheme.strip().lower() == "https" for scheme in schemes.split(","))
            if not is_secure and in_networks(request.remote or "", self.rules.proxies):
                raise HttpsRequired

    def _check_host(self, headers: Headers) -> None:
        hosts = headers.getall("Host", ())
        if len(hosts) != 1 or _host_name(hosts[0]) not in self.rules.hosts:
            raise HostNotAllowed

    async def _allowed_origin(self, headers: Headers) -> str:
        origins = headers.getall("Origin")
        brokers = self.directory.fresh() or await self.directory.current()
        if len(origins) > 1 or origins[0] not in brokers.labels_by_origin:
            raise OriginNotAllowed
        return origins[0]

    async def _body(self, request: web.BaseRequest) -> bytes:
        """All of the body, in time and within its size. Mostly it is here already: then nothing waits."""
        content = request.content
        if content.is_eof():
            body = content.read_nowait(-1)
        else:
            body = b""
            try:
                async with asyncio.timeout(self.rules.body_seconds):
                    while len(body) <= MAX_BODY_BYTES and (part := await content.readany()):
                        body += part
            except TimeoutError:
                raise BodyTimeout from None
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge
        return body

    def _address(self, request: web.BaseRequest) -> str:
        peer = request.remote or ""
        if not self.rules.proxies:
            return peer
        return client_address(peer, ",".join(request.headers.getall("X-Forwarded-For", ())), self.rules.proxies)


def _check_content(headers: Headers) -> None:
    types = headers.getall("Content-Type", ())
    media_type, _, parameter = (types[0] if len(types) == 1 else "").partition(";")
    if media_type.strip().lower() != "application/json":
        raise UnsupportedMediaType
    if parameter and parameter.replace('"', "").strip().lower() not in ("", "charset=utf-8"):
        raise UnsupportedMediaType
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedEncoding
    if (length := headers.get("Content-Length")) is not None and int(length) > MAX_BODY_BYTES:
        raise BodyTooLarge


def _host_name(host: str) -> str:
    name, separator, port = host.rpartition(":")
    return (name if separator and port.isdigit() else host).strip("[]").lower()


def _reply(rendered: Rendered, request_id: str, own: dict[str, str], *, last: bool = False) -> Reply:
    own["X-Request-Id"] = request_id
    if rendered.retry_after_seconds is not None:
        own["Retry-After"] = str(rendered.retry_after_seconds)
    return Reply(rendered.status, rendered.body, own, last=last)


def _preflight(origin: str | None) -> Reply:
    own = {"Allow": "POST, OPTIONS"}
    if origin is not None:
        own |= _cross_origin(origin)
        own["Access-Control-Allow-Methods"] = "POST"
        own["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
        own["Access-Control-Max-Age"] = PREFLIGHT_SECONDS
    return Reply(204, headers=own)


def _cross_origin(origin: str) -> dict[str, str]:
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": "Retry-After, X-Request-Id",
        "Vary": "Origin",
    }
