"""Accounts, servers and groups: protos to domain and back."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from apportion.api.platform_groups.v1 import accounts_pb2, events_pb2, platform_groups_pb2, trading_servers_pb2
from apportion.platform_groups.domain.accounts import Account, NewAccount
from apportion.platform_groups.domain.platform_groups import NewGroup, PlatformGroup
from apportion.platform_groups.domain.server_facts import ServerSymbol
from apportion.platform_groups.domain.states import AccountAccess, AccountKind, ServerKind, ServerType
from apportion.platform_groups.domain.trading_servers import Registration, TradingServer
from apportion.platform_groups.operations.create_account import CreatedAccount
from apportion.rpc import Problems, to_timestamp

NAME_LENGTH = 100
SECRET_LENGTH = 256
PEM_LENGTH = 32_768
SERVER_GROUP_LENGTH = 63
CAUSE_LENGTH = 200
TAG_COUNT = 20


def parse_registration(request: trading_servers_pb2.RegisterTradingServerRequest) -> Registration:
    problems = Problems()
    problems.text(request.name, "name", longest=NAME_LENGTH)
    problems.one_of(request.type, tuple(ServerType), "type")
    problems.one_of(request.kind, tuple(ServerKind), "kind")
    problems.text(request.host, "host", longest=253)
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


def parse_new_group(request: platform_groups_pb2.CreatePlatformGroupRequest) -> NewGroup:
    problems = Problems()
    problems.positive(request.trading_server_id, "trading_server_id")
    problems.text(request.name, "name", longest=NAME_LENGTH)
    problems.text(request.server_group, "server_group", longest=SERVER_GROUP_LENGTH)
    code = request.currency_code
    problems.currency(code, "currency_code")
    problems.not_negative(request.account_capacity, "account_capacity")
    problems.not_negative(request.weight, "weight")
    problems.require(len(request.tags) <= TAG_COUNT, "tags", f"must be at most {TAG_COUNT}")
    for index, tag in enumerate(request.tags):
        problems.text(tag, f"tags[{index}]", longest=NAME_LENGTH)
    problems.not_negative(request.backup_platform_group_id, "backup_platform_group_id")
    problems.raise_if_any()
    return NewGroup(
        trading_server_id=request.trading_server_id,
        name=request.name,
        server_group=request.server_group,
        currency_code=code,
        default_leverage=request.default_leverage,
        account_capacity=request.account_capacity,
        weight=request.weight or 1,
        tags=tuple(request.tags),
        backup_platform_group_id=request.backup_platform_group_id,
    )


def render_group(group: PlatformGroup) -> platform_groups_pb2.PlatformGroup:
    return platform_groups_pb2.PlatformGroup(
        platform_group_id=group.platform_group_id,
        trading_server_id=group.trading_server_id,
        name=group.name,
        server_group=group.server_group,
        currency_code=group.currency_code,
        currency_digits=group.currency_digits,
        margin_mode=int(group.margin_mode),  # type: ignore[arg-type]
        default_leverage=group.default_leverage,
        account_capacity=group.account_capacity,
        weight=group.weight,
        tags=group.tags,
        state=int(group.state),  # type: ignore[arg-type]
        backup_platform_group_id=group.backup_platform_group_id,
        create_time=to_timestamp(group.create_time),
    )


def parse_new_account(request: accounts_pb2.CreateAccountRequest) -> NewAccount:
    problems = Problems()
    problems.positive(request.platform_group_id, "platform_group_id")
    problems.one_of(request.kind, tuple(AccountKind), "kind")
    problems.text(request.holder_name, "holder_name", longest=NAME_LENGTH)
    problems.not_negative(request.leverage, "leverage")
    problems.not_negative(request.wallet_account_id, "wallet_account_id")
    problems.not_negative(request.initial_balance_minor, "initial_balance_minor")
    problems.raise_if_any()
    return NewAccount(
        platform_group_id=request.platform_group_id,
        kind=AccountKind(request.kind),
        holder_name=request.holder_name,
        leverage=request.leverage,
        wallet_account_id=request.wallet_account_id,
        initial_balance_minor=request.initial_balance_minor,
    )


def parse_access(request: accounts_pb2.SetAccountAccessRequest) -> AccountAccess:
    problems = Problems()
    problems.positive(request.account_id, "account_id")
    problems.one_of(request.access, tuple(AccountAccess), "access")
    problems.text(request.cause, "cause", longest=CAUSE_LENGTH)
    problems.raise_if_any()
    return AccountAccess(request.access)


def render_account(account: Account, seen: tuple[events_pb2.AccountStates, int] | None = None) -> accounts_pb2.Account:
    """`seen` is the account's row in the newest published states."""
    message = accounts_pb2.Account(
        account_id=account.account_id,
        platform_group_id=account.platform_group_id,
        trading_server_id=account.trading_server_id,
        kind=int(account.kind),  # type: ignore[arg-type]
        state=int(account.state),  # type: ignore[arg-type]
        access=int(account.access),  # type: ignore[arg-type]
        login=account.login,
        currency_code=account.currency_code,
        currency_digits=account.currency_digits,
        margin_mode=int(account.margin_mode),  # type: ignore[arg-type]
        leverage=account.leverage,
        holder_name=account.holder_name,
        wallet_account_id=account.wallet_account_id,
        failure_reason=account.failure_reason,
        create_time=to_timestamp(account.create_time),
    )
    if seen is not None:
        states, index = seen
        message.snapshot.CopyFrom(
            accounts_pb2.AccountSnapshot(
                balance_minor=states.balances_minor[index],
                credit_minor=states.credits_minor[index],
                equity_minor=states.equities_minor[index],
                margin_minor=states.margins_minor[index],
                free_margin_minor=states.free_margins_minor[index],
                observed_time=states.observed_time,
            )
        )
    return message


def render_created(created: CreatedAccount) -> accounts_pb2.CreateAccountResponse:
    return accounts_pb2.CreateAccountResponse(
        account=render_account(created.account),
        main_password=created.main_password,
        investor_password=created.investor_password,
        trading_server_name=created.server_name,
    )


def _optional(instant: datetime | None) -> Timestamp | None:
    return None if instant is None else to_timestamp(instant)
