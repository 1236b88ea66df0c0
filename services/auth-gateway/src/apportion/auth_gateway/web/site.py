"""The gateway's HTTP face: transport rules first, then JSON-RPC, links and probes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError

from apportion.auth_gateway.domain.addresses import Network, client_address
from apportion.auth_gateway.errors import (
    BodyTimeout,
    BodyTooLarge,
    HostNotAllowed,
    HttpMethodNotAllowed,
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
from apportion.auth_gateway.web.headers import SECURITY, Headers, Visit, request_id_of
from apportion.auth_gateway.web.metrics import IN_FLIGHT, LINKS, REFUSED
from apportion.auth_gateway.web.rpc_endpoint import RpcEndpoint
from apportion.auth_gateway.wire.render import Rendered, failure
from apportion.errors import DomainError, Overloaded

log = structlog.get_logger()

RPC_PATH = "/dx"
LINK_PREFIX = "/redirect/"
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

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        self.in_flight += 1
        try:
            return await self._route(request)
        except RequestPayloadError:
            response = web.Response(status=400, body=b"bad request", headers=_headers("text/plain"))
            response.force_close()
            return response
        finally:
            self.in_flight -= 1

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path
        if path in ("/livez", "/readyz"):
            return await self._probe(path)
        request_id = request_id_of(request.headers) or self.random(REQUEST_ID_BYTES).hex()
        try:
            self._check_host(request.headers)
            if path == RPC_PATH:
                return await self._rpc(request, request_id)
            if path.startswith(LINK_PREFIX):
                return await self._link(request)
            raise PathNotFound
        except DomainError as error:
            return _refusal(request, error, request_id)

    async def _rpc(self, request: web.BaseRequest, request_id: str) -> web.StreamResponse:
        if self.in_flight > self.rules.max_in_flight:
            raise Overloaded
        headers = request.headers
        origin = await self._allowed_origin(headers) if "Origin" in headers else None
        if request.method == "OPTIONS":
            return _preflight(origin)
        if request.method != "POST":
            raise HttpMethodNotAllowed
        if (expectation := headers.get("Expect")) is not None and expectation.lower() != "100-continue":
            return _closing(web.Response(status=417, headers=_headers()))
        _check_content(headers)
        if expectation is not None:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        body = await self._body(request)
        visit = Visit(headers, self._address(request), origin, request_id)
        answer = await self.endpoint.answer(body, visit)
        if answer.rendered is None:
            response = web.Response(status=204, headers=_headers())
        else:
            response = _response(answer.rendered, request_id)
        if answer.set_cookie is not None:
            response.headers["Set-Cookie"] = answer.set_cookie
        if origin is not None:
            _allow(response, origin)
        return response

    async def _link(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "GET":
            raise HttpMethodNotAllowed
        token, _, query = request.raw_path.removeprefix(LINK_PREFIX).partition("?")
        language = parse_qs(query).get("lang", [None])[-1] if len(query) <= 200 else None
        try:
            url = await follow_link(self.endpoint.services.session_desk, token, language, self._address(request))
        except (TokenInvalid, RateLimited) as error:
            LINKS.labels(error.reason).inc()
            status = 404 if isinstance(error, TokenInvalid) else 429
            text = b"This link has expired. Go back and sign in again."
            return web.Response(status=status, body=text, headers=_headers("text/plain"))
        LINKS.labels("ok").inc()
        headers = _headers()
        headers["Location"] = url
        return web.Response(status=302, headers=headers)

    async def _probe(self, path: str) -> web.StreamResponse:
        good = path == "/livez" or await self.ready()
        body = b"ok\n" if good else b"no\n"
        return web.Response(status=200 if good else 503, body=body, headers=_headers("text/plain"))

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


def _headers(content_type: str = "application/json") -> dict[str, str]:
    return {**SECURITY, "Content-Type": content_type}


def _response(rendered: Rendered, request_id: str) -> web.Response:
    headers = SECURITY.copy()
    headers["X-Request-Id"] = request_id
    if rendered.retry_after_seconds is not None:
        headers["Retry-After"] = str(rendered.retry_after_seconds)
    return web.Response(status=rendered.status, body=rendered.body, headers=headers)


def _refusal(request: web.BaseRequest, error: DomainError, request_id: str) -> web.Response:
    """What never became a call. An unread body is not waited for: the connection closes."""
    rendered = failure(None, error, request_id)
    REFUSED.labels(error.reason).inc()
    log.info("request_refused", reason=error.reason, request_id=request_id, address=request.remote)
    response = _response(rendered, request_id)
    if isinstance(error, HttpMethodNotAllowed):
        response.headers["Allow"] = "GET" if request.raw_path.startswith(LINK_PREFIX) else "POST, OPTIONS"
    return response if request.content.is_eof() else _closing(response)


def _closing(response: web.Response) -> web.Response:
    response.force_close()
    return response


def _preflight(origin: str | None) -> web.Response:
    response = web.Response(status=204, headers=_headers())
    response.headers["Allow"] = "POST, OPTIONS"
    if origin is not None:
        _allow(response, origin)
        response.headers["Access-Control-Allow-Methods"] = "POST"
        response.headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
        response.headers["Access-Control-Max-Age"] = PREFLIGHT_SECONDS
    return response


def _allow(response: web.Response, origin: str) -> None:
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Allow-Credentials"] = "true"
    response.headers["Access-Control-Expose-Headers"] = "Retry-After, X-Request-Id"
    response.headers["Vary"] = "Origin"
