"""Trading servers and their symbols: protos to domain and back."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from apportion.api.platform_groups.v1 import trading_servers_pb2
from apportion.platform_groups.domain.server_facts import ServerSymbol
from apportion.platform_groups.domain.states import ServerKind, ServerType
from apportion.platform_groups.domain.trading_servers import Registration, TradingServer
from apportion.platform_groups.wire.lengths import NAME_LENGTH
from apportion.rpc import Problems, to_timestamp

HOST_LENGTH = 253
SECRET_LENGTH = 256
PEM_LENGTH = 32_768


def parse_registration(request: trading_servers_pb2.RegisterTradingServerRequest) -> Registration:
    problems = Problems()
    problems.text(request.name, "name", longest=NAME_LENGTH)
    problems.one_of(request.type, tuple(ServerType), "type")
    problems.one_of(request.kind, tuple(ServerKind), "kind")
    problems.text(request.host, "host", longest=HOST_LENGTH)
    problems.require("/" not in request.host and "@" not in request.host, "host", "must be a bare name or address")
    problems.positive(request.manager_login, "manager_login")
    problems.text(request.manager_password, "manager_password", longest=SECRET_LENGTH)
    problems.require(len(request.api_key) <= SECRET_LENGTH, "api_key", f"must have at most {SECRET_LENGTH} characters")
    problems.require(
        len(request.ca_certificate_pem) <= PEM_LENGTH,
        "ca_certificate_pem",
        f"must have at most {PEM_LENGTH} characters",
    )
    problems.require(len(request.region) <= NAME_LENGTH, "region", f"must have at most {NAME_LENGTH} characters")
    problems.require(
        len(request.liquidity_provider) <= NAME_LENGTH,
        "liquidity_provider",
        f"must have at most {NAME_LENGTH} characters",
    )
    problems.raise_if_any()
    return Registration(
        name=request.name,
        type=ServerType(request.type),
        kind=ServerKind(request.kind),
        host=request.host,
        port=request.port,
        time_zone=request.time_zone,
        manager_login=request.manager_login,
        manager_password=request.manager_password,
        api_key=request.api_key,
        ca_certificate_pem=request.ca_certificate_pem,
        region=request.region,
        liquidity_provider=request.liquidity_provider,
    )


def render_server(server: TradingServer) -> trading_servers_pb2.TradingServer:
    return trading_servers_pb2.TradingServer(
        trading_server_id=server.trading_server_id,
        name=server.name,
        type=int(server.type),  # type: ignore[arg-type]  # the domain's numbers are the proto's
        kind=int(server.kind),  # type: ignore[arg-type]
        host=server.host,
        port=server.port,
        time_zone=server.time_zone,
        manager_login=server.manager_login,
        region=server.region,
        liquidity_provider=server.liquidity_provider,
        connection_state=int(server.connection_state),  # type: ignore[arg-type]
        last_contact_time=_optional(server.last_contact_time),
        create_time=to_timestamp(server.create_time),
    )


def render_symbol(symbol: ServerSymbol) -> trading_servers_pb2.Symbol:
    return trading_servers_pb2.Symbol(
        name=symbol.name,
        digits=symbol.digits,
        base_currency_code=symbol.base_currency_code,
        profit_currency_code=symbol.profit_currency_code,
        margin_currency_code=symbol.margin_currency_code,
        contract_size_e8=symbol.contract_size_e8,
        min_volume_e8=symbol.min_volume_e8,
        max_volume_e8=symbol.max_volume_e8,
        volume_step_e8=symbol.volume_step_e8,
    )


def _optional(instant: datetime | None) -> Timestamp | None:
    return None if instant is None else to_timestamp(instant)
