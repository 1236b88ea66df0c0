"""Every RPC, and one refusal for every reason; a real simulator behind, no workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import text

from apportion.api.common.v1 import money_pb2
from apportion.api.platform_groups.v1 import (
    accounts_pb2,
    events_pb2,
    platform_groups_pb2,
    trading_pb2,
    trading_servers_pb2,
    transfers_pb2,
)
from apportion.errors import DomainError, registry
from apportion.mt5 import Endpoint, Pool
from apportion.platform_groups import errors
from apportion.platform_groups.adapters.mt5_server import Mt5Server
from apportion.storage import transaction
from apportion.testing.polling import eventually

LOT = 100_000_000


@pytest.fixture
async def platform(start, simulator) -> AsyncIterator[object]:
    async with start(frozenset({"serve"})) as running:
        await running.set_up(simulator)
        yield running


async def refused(call, reason: str) -> DomainError:
    with pytest.raises(DomainError) as caught:
        await call
    assert caught.value.reason == reason, caught.value
    return caught.value


async def change(platform, statement: str) -> None:
    async with transaction(platform.engine) as tx:
        await tx.execute(text(statement))


async def funded(platform, simulator) -> accounts_pb2.Account:
    """An account with 10 000.00: no worker of ours is there to book a first balance."""
    account = await platform.account()
    [login] = await simulator.create_accounts("demo\\forex-hedge-usd", 1, deposit="10000.00")
    await change(platform, f"UPDATE accounts SET login = {login} WHERE account_id = {account.account_id}")
    return await platform.get(account.account_id)


def usd(amount_minor: int, currency_code: str = "USD") -> money_pb2.Money:
    return money_pb2.Money(currency_code=currency_code, amount_minor=amount_minor)


# Trading servers.


async def test_a_server_is_registered_and_its_secrets_are_nowhere(platform, registration, simulator) -> None:
    request = trading_servers_pb2.GetTradingServerRequest(trading_server_id=platform.server_id)
    response = await platform.servers.GetTradingServer(request, **platform.options())
    assert response.trading_server.name == "simulator"
    assert simulator.manager_password not in str(response)
    async with transaction(platform.engine) as tx:
        row = (await tx.execute(text("SELECT * FROM trading_servers"))).one()
    assert simulator.manager_password.encode() not in bytes(row.manager_password_sealed)
    again = registration(simulator, name="second", request_id=platform.new_id())
    first = await platform.servers.RegisterTradingServer(again, **platform.options())
    assert await platform.servers.RegisterTradingServer(again, **platform.options()) == first
    page = trading_servers_pb2.ListTradingServersRequest(page_size=1)
    one = await platform.servers.ListTradingServers(page, **platform.options())
    page.page_token = one.next_page_token
    two = await platform.servers.ListTradingServers(page, **platform.options())
    assert [one.trading_servers[0].name, two.trading_servers[0].name, two.next_page_token] == [
        "simulator",
        "second",
        "",
    ]
    altered = trading_servers_pb2.ListTradingServersRequest(page_size=1, page_token="x" + one.next_page_token)
    await refused(platform.servers.ListTradingServers(altered, **platform.options()), "PAGE_TOKEN_INVALID")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "simulator"}, "NAME_TAKEN"),
        ({"port": 0}, "PORT_RANGE"),
        ({"port": 70_000}, "PORT_RANGE"),
        ({"time_zone": "EETX"}, "TIMEZONE_UNKNOWN"),
        ({"time_zone": "../etc/passwd"}, "TIMEZONE_UNKNOWN"),
        ({"type": trading_servers_pb2.TRADING_SERVER_TYPE_MT4}, "SERVER_TYPE_UNSUPPORTED"),
        ({"host": "169.254.169.254"}, "HOST_NOT_ALLOWED"),
        ({"host": "no.such.host.invalid"}, "HOST_NOT_ALLOWED"),
        ({"type": 9}, "FIELD_INVALID"),
        ({"manager_password": ""}, "FIELD_INVALID"),
        ({"host": "a/b"}, "FIELD_INVALID"),
        ({"request_id": "7"}, "REQUEST_ID_REQUIRED"),
    ],
)
async def test_registrations_that_are_refused(platform, registration, simulator, changes, reason) -> None:
    request = registration(simulator, **({"name": "other"} | changes))
    error = await refused(platform.servers.RegisterTradingServer(request, **platform.options()), reason)
    assert simulator.manager_password not in str(error.metadata)


async def test_loopback_is_refused_outside_development(start, registration, simulator) -> None:
    async with start(frozenset({"serve"}), allow_loopback_servers=False) as platform:
        request = registration(simulator)
        await refused(platform.servers.RegisterTradingServer(request, **platform.options()), "HOST_NOT_ALLOWED")


async def test_symbols_come_from_the_server(platform) -> None:
    request = trading_servers_pb2.ListSymbolsRequest(trading_server_id=platform.server_id, names=["EURUSD"])
    [symbol] = (await platform.servers.ListSymbols(request, **platform.options())).symbols
    assert (symbol.volume_step_e8, symbol.contract_size_e8) == (1_000_000, 100_000 * 10**8)
    assert symbol.profit_currency_code == "USD"
    everything = trading_servers_pb2.ListSymbolsRequest(trading_server_id=platform.server_id, page_size=2)
    first = await platform.servers.ListSymbols(everything, **platform.options())
    everything.page_token = first.next_page_token
    second = await platform.servers.ListSymbols(everything, **platform.options())
    names = [symbol.name for symbol in (*first.symbols, *second.symbols)]
    assert len(names) == 4
    assert names == sorted(set(names))


async def test_a_server_that_is_away_is_said_to_be_away(start, registration, simulator) -> None:
    async with start(frozenset({"serve"})) as platform:
        request = registration(simulator, port=1)
        server = (await platform.servers.RegisterTradingServer(request, **platform.options())).trading_server
        symbols = trading_servers_pb2.ListSymbolsRequest(trading_server_id=server.trading_server_id)
        await refused(platform.servers.ListSymbols(symbols, **platform.options()), "TRADING_SERVER_UNAVAILABLE")


async def test_altered_credentials_do_not_open(start, registration, simulator) -> None:
    async with start(frozenset({"serve"})) as platform:
        server = await platform.servers.RegisterTradingServer(registration(simulator), **platform.options())
        server_id = server.trading_server.trading_server_id
        symbols = trading_servers_pb2.ListSymbolsRequest(trading_server_id=server_id)
        column = "manager_password_sealed"
        await change(platform, f"UPDATE trading_servers SET {column} = set_byte({column}, 90, 7)")
        await refused(platform.servers.ListSymbols(symbols, **platform.options()), "CREDENTIAL_INTEGRITY")
        await change(platform, f"UPDATE trading_servers SET {column} = set_byte({column}, 4, 9)")
        await refused(platform.servers.ListSymbols(symbols, **platform.options()), "KEK_MISSING")


# Platform groups.


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "demo usd"}, "NAME_TAKEN"),
        ({"default_leverage": 0}, "LEVERAGE_RANGE"),
        ({"default_leverage": 501}, "LEVERAGE_RANGE"),
        ({"server_group": "demo\\nothing"}, "SERVER_GROUP_UNKNOWN"),
        ({"currency_code": "EUR"}, "GROUP_CURRENCY_MISMATCH"),
        ({"trading_server_id": 999}, "NOT_FOUND"),
        ({"backup_platform_group_id": 999}, "NOT_FOUND"),
        ({"currency_code": "USDT"}, "GROUP_CURRENCY_MISMATCH"),
        ({"currency_code": "usd"}, "FIELD_INVALID"),
        ({"currency_code": "US"}, "FIELD_INVALID"),
    ],
)
async def test_groups_that_are_refused(platform, changes, reason) -> None:
    values = {
        "request_id": platform.new_id(),
        "trading_server_id": platform.server_id,
        "name": "another",
        "server_group": "demo\\forex-hedge-usd",
        "currency_code": "USD",
        "default_leverage": 100,
    }
    request = platform_groups_pb2.CreatePlatformGroupRequest(**(values | changes))
    await refused(platform.groups.CreatePlatformGroup(request, **platform.options()), reason)


async def test_groups_are_read_back(platform) -> None:
    request = platform_groups_pb2.GetPlatformGroupRequest(platform_group_id=platform.group_id)
    group = (await platform.groups.GetPlatformGroup(request, **platform.options())).platform_group
    assert (group.currency_code, group.currency_digits, group.weight) == ("USD", 2, 1)
    assert group.margin_mode == platform_groups_pb2.MARGIN_MODE_HEDGING
    listing = platform_groups_pb2.ListPlatformGroupsRequest(trading_server_id=platform.server_id)
    assert list((await platform.groups.ListPlatformGroups(listing, **platform.options())).platform_groups) == [group]
    await refused(platform.groups.GetPlatformGroup(request, **platform.options(label=2)), "NOT_FOUND")


async def test_accounts_hold_positions_as_their_group_does(platform) -> None:
    request = platform_groups_pb2.CreatePlatformGroupRequest(
        request_id=platform.new_id(),
        trading_server_id=platform.server_id,
        name="netting",
        server_group="demo\\forex-netting-usd",
        currency_code="USD",
        default_leverage=100,
    )
    group = (await platform.groups.CreatePlatformGroup(request, **platform.options())).platform_group
    hedging = await platform.account()
    platform.group_id = group.platform_group_id
    netting = await platform.account()
    assert group.margin_mode == netting.margin_mode == platform_groups_pb2.MARGIN_MODE_NETTING
    assert hedging.margin_mode == platform_groups_pb2.MARGIN_MODE_HEDGING


# Accounts.


def new_account(platform, **changes) -> accounts_pb2.CreateAccountRequest:
    values = {
        "request_id": platform.new_id(),
        "platform_group_id": platform.group_id,
        "kind": accounts_pb2.ACCOUNT_KIND_WALLET,
        "holder_name": "Ada",
    }
    return accounts_pb2.CreateAccountRequest(**(values | changes))


async def test_an_account_is_made_once_and_its_passwords_shown_once(platform, simulator) -> None:
    request = new_account(platform)
    first = await platform.accounts.CreateAccount(request, **platform.options())
    assert first.account.state == accounts_pb2.ACCOUNT_STATE_OPEN
    assert first.account.wallet_account_id == first.account.account_id
    assert first.main_password
    assert first.trading_server_name == "simulator"
    again = await platform.accounts.CreateAccount(request, **platform.options())
    assert again.account == first.account
    assert not again.main_password
    request.holder_name = "Eve"
    await refused(platform.accounts.CreateAccount(request, **platform.options()), "IDEMPOTENCY_KEY_REUSED")
    by_login = accounts_pb2.GetAccountRequest(login=first.account.login)
    assert (await platform.accounts.GetAccount(by_login, **platform.options())).account == first.account
    await refused(platform.accounts.GetAccount(by_login, **platform.options(label=2)), "NOT_FOUND")
    nothing = accounts_pb2.GetAccountRequest()
    await refused(platform.accounts.GetAccount(nothing, **platform.options()), "FIELD_INVALID")
    by_login.kind = 40_000  # type: ignore[assignment]
    await refused(platform.accounts.GetAccount(by_login, **platform.options()), "FIELD_INVALID")
    of_kind = accounts_pb2.ListAccountsRequest(kind=4)  # type: ignore[arg-type]
    await refused(platform.accounts.ListAccounts(of_kind, **platform.options()), "FIELD_INVALID")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"leverage": 501}, "LEVERAGE_RANGE"),
        ({"leverage": -1}, "FIELD_INVALID"),
        ({"kind": 9}, "FIELD_INVALID"),
        ({"holder_name": ""}, "FIELD_INVALID"),
        ({"platform_group_id": 999}, "NOT_FOUND"),
        ({"kind": accounts_pb2.ACCOUNT_KIND_MASTER}, "WALLET_INVALID"),
        ({"kind": accounts_pb2.ACCOUNT_KIND_MASTER, "wallet_account_id": 999}, "NOT_FOUND"),
        ({"initial_balance_minor": 10**12}, "AMOUNT_RANGE"),
    ],
)
async def test_accounts_that_are_refused(platform, changes, reason) -> None:
    request = new_account(platform, **changes)
    await refused(platform.accounts.CreateAccount(request, **platform.options()), reason)


def endpoint_of(simulator) -> Endpoint:
    authority = simulator.ca_file.read_text()
    return Endpoint(simulator.https_url, simulator.manager_login, simulator.manager_password, ca_pem=authority)


async def has_passwords(simulator, account, main: str, investor: str) -> bool:
    async with Pool(endpoint_of(simulator), 1) as pool:
        return await Mt5Server(pool).has_passwords(account.login, main, investor)


async def test_passwords_are_reset_and_told_once(platform, simulator) -> None:
    first = await platform.accounts.CreateAccount(new_account(platform), **platform.options())
    request = accounts_pb2.ResetAccountPasswordsRequest(
        request_id=platform.new_id(), account_id=first.account.account_id
    )
    reset = await platform.accounts.ResetAccountPasswords(request, **platform.options())
    assert reset.account == first.account
    assert await has_passwords(simulator, first.account, reset.main_password, reset.investor_password)
    assert not await has_passwords(simulator, first.account, first.main_password, reset.investor_password)
    assert not await has_passwords(simulator, first.account, reset.main_password, first.investor_password)
    again = await platform.accounts.ResetAccountPasswords(request, **platform.options())
    assert again == accounts_pb2.ResetAccountPasswordsResponse(account=first.account)
    assert await has_passwords(simulator, first.account, reset.main_password, reset.investor_password)


@pytest.mark.parametrize("skip", [0, 1])
async def test_a_reset_whose_answer_was_lost_is_settled_by_another(platform, simulator, skip) -> None:
    account = await platform.account()
    await simulator.add_fault("lose_answer", endpoint="user/change_password", skip=skip, count=1)
    request = accounts_pb2.ResetAccountPasswordsRequest(request_id=platform.new_id(), account_id=account.account_id)
    await refused(platform.accounts.ResetAccountPasswords(request, **platform.options()), "PASSWORDS_NOT_RESET")
    again = await platform.accounts.ResetAccountPasswords(request, **platform.options())
    assert (again.account, again.main_password) == (account, "")
    request.request_id = platform.new_id()
    reset = await platform.accounts.ResetAccountPasswords(request, **platform.options())
    assert await has_passwords(simulator, account, reset.main_password, reset.investor_password)


async def test_passwords_that_are_not_reset(platform) -> None:
    account = await platform.account()

    def reset(account_id: int, label: int = 1):
        request = accounts_pb2.ResetAccountPasswordsRequest(request_id=platform.new_id(), account_id=account_id)
        return platform.accounts.ResetAccountPasswords(request, **platform.options(label=label))

    await refused(reset(0), "FIELD_INVALID")
    await refused(reset(999), "NOT_FOUND")
    await refused(reset(account.account_id, label=2), "NOT_FOUND")
    await change(platform, "UPDATE accounts SET state = 3")
    await refused(reset(account.account_id), "ACCOUNT_NOT_OPEN")


async def test_full_and_closed_groups_take_no_account(platform) -> None:
    await platform.account()
    await change(platform, "UPDATE platform_groups SET account_capacity = 1")
    await refused(platform.accounts.CreateAccount(new_account(platform), **platform.options()), "GROUP_FULL")
    await change(platform, "UPDATE platform_groups SET state = 2")
    await refused(platform.accounts.CreateAccount(new_account(platform), **platform.options()), "GROUP_NOT_ENABLED")


async def test_accounts_of_a_group_without_a_capacity_do_not_wait_for_each_other(platform) -> None:
    async with transaction(platform.engine) as tx:
        await tx.execute(text("SELECT FROM platform_groups FOR KEY SHARE"))  # as each new account's foreign key does
        assert (await platform.account()).state == accounts_pb2.ACCOUNT_STATE_OPEN
        await change(platform, "UPDATE platform_groups SET account_capacity = 5")
        await refused(platform.accounts.CreateAccount(new_account(platform), **platform.options()), "VERSION_CONFLICT")


async def test_an_account_that_the_server_refuses_has_failed(platform, simulator) -> None:
    await simulator.add_fault("reject", endpoint="user/add", retcode=3006, count=1)
    response = await platform.accounts.CreateAccount(new_account(platform), **platform.options())
    assert response.account.state == accounts_pb2.ACCOUNT_STATE_FAILED
    assert response.account.failure_reason == "BAD_PASSWORD"
    assert not response.main_password


async def test_accounts_are_listed_by_owner(platform) -> None:
    wallet = await platform.account()
    master = await platform.account(kind=accounts_pb2.ACCOUNT_KIND_MASTER, wallet=wallet.account_id)
    await platform.account()
    request = accounts_pb2.ListAccountsRequest(wallet_account_id=wallet.account_id)
    listed = (await platform.accounts.ListAccounts(request, **platform.options())).accounts
    assert [account.account_id for account in listed] == [wallet.account_id, master.account_id]
    request.kind = accounts_pb2.ACCOUNT_KIND_MASTER
    assert len((await platform.accounts.ListAccounts(request, **platform.options())).accounts) == 1


async def test_a_login_on_two_servers_is_ambiguous(platform, registration, simulator) -> None:
    first, second = await platform.account(), await platform.account()
    other = registration(simulator, name="other")
    server = (await platform.servers.RegisterTradingServer(other, **platform.options())).trading_server
    await change(
        platform,
        f"UPDATE accounts SET login = {first.login}, trading_server_id = {server.trading_server_id}"
        f" WHERE account_id = {second.account_id}",
    )
    request = accounts_pb2.GetAccountRequest(login=first.login)
    await refused(platform.accounts.GetAccount(request, **platform.options()), "LOGIN_AMBIGUOUS")

    async def found() -> int:
        return (await platform.accounts.GetAccount(request, **platform.options())).account.account_id

    await change(platform, f"UPDATE accounts SET state = 3 WHERE account_id = {first.account_id}")
    assert await found() == second.account_id, "the open one"
    await change(platform, f"UPDATE accounts SET state = 3 WHERE account_id = {second.account_id}")
    await refused(platform.accounts.GetAccount(request, **platform.options()), "LOGIN_AMBIGUOUS")
    await change(platform, f"UPDATE accounts SET state = 2, kind = 2 WHERE account_id = {second.account_id}")
    request.kind = accounts_pb2.ACCOUNT_KIND_WALLET
    assert await found() == first.account_id, "the only wallet"
    request.kind = accounts_pb2.ACCOUNT_KIND_INVESTMENT
    await refused(platform.accounts.GetAccount(request, **platform.options()), "NOT_FOUND")


async def test_an_access_that_no_worker_brings_to_the_server_is_not_there_yet(platform) -> None:
    account = await platform.account()

    def request(access: int) -> accounts_pb2.SetAccountAccessRequest:
        return accounts_pb2.SetAccountAccessRequest(
            request_id=platform.new_id(), account_id=account.account_id, access=access, cause="test"
        )

    wish = request(accounts_pb2.ACCOUNT_ACCESS_READ_ONLY)
    for _ in range(2):
        with pytest.raises(DomainError) as caught:
            await platform.accounts.SetAccountAccess(wish, **platform.options(1.0))
        assert caught.value.reason in {"TRADING_SERVER_UNAVAILABLE", "DEADLINE_EXCEEDED"}, "the channel asks again"
    assert (await platform.get(account.account_id)).access == accounts_pb2.ACCOUNT_ACCESS_FULL
    await refused(platform.accounts.SetAccountAccess(request(0), **platform.options()), "FIELD_INVALID")
    await change(platform, "UPDATE accounts SET state = 4")
    await refused(
        platform.accounts.SetAccountAccess(request(accounts_pb2.ACCOUNT_ACCESS_FULL), **platform.options()),
        "ACCOUNT_NOT_OPEN",
    )


# Orders and closings.


async def test_items_are_orders_once(platform) -> None:
    account = await platform.account()
    first = await platform.submit("a/1", [(account.account_id, LOT)])
    again = await platform.submit("a/1", [(account.account_id, LOT)])
    assert (first.accepted_count, first.known_count) == (1, 0)
    assert (again.accepted_count, again.known_count) == (0, 1)
    await refused(platform.submit("a/1", [(account.account_id, 2 * LOT)]), "DEDUPE_CONFLICT")
    orders = await platform.orders("a/1")
    assert list(orders.states) == [trading_pb2.ORDER_STATE_READY]
    await refused(platform.submit("a/2", [(999, LOT)]), "NOT_FOUND")


@pytest.mark.parametrize("state", [accounts_pb2.ACCOUNT_STATE_DISABLED, accounts_pb2.ACCOUNT_STATE_FAILED])
async def test_an_order_of_a_closed_account_is_rejected_as_data(platform, state) -> None:
    """What is open on an account that has left its group may be closed all the same."""
    account = await platform.account()
    await change(platform, f"UPDATE accounts SET state = {state}")
    await platform.submit("a/1", [(account.account_id, LOT)])
    orders = await platform.orders("a/1")
    assert list(orders.states) == [trading_pb2.ORDER_STATE_REJECTED]
    assert orders.reasons[orders.reason_indexes[0]] == "ACCOUNT_NOT_OPEN"
    assert len(await platform.events("orders")) == 1
    has_left = state == accounts_pb2.ACCOUNT_STATE_DISABLED
    await platform.submit("a/2", [(account.account_id, -LOT)], tickets=[77])
    [close_state] = (await platform.orders("a/2")).states
    assert close_state == (trading_pb2.ORDER_STATE_READY if has_left else trading_pb2.ORDER_STATE_REJECTED)
    request = trading_pb2.CloseAllPositionsRequest(
        request_id=platform.new_id(), account_id=account.account_id, cause="x"
    )
    answer = platform.trading.CloseAllPositions(request, **platform.options())
    if has_left:
        assert (await answer).closing.state == trading_pb2.CLOSING_STATE_RUNNING
    else:
        await refused(answer, "ACCOUNT_NOT_OPEN")


@pytest.mark.parametrize(
    "changes",
    [
        {"volumes_e8": [0]},
        {"volumes_e8": [1, 2]},
        {"account_ids": [-1]},
        {"item_ids": [], "account_ids": [], "volumes_e8": []},
        {"item_ids": [1, 1], "account_ids": [1, 1], "volumes_e8": [1, 1]},
        {"symbols": []},
        {"symbol_indexes": [3]},
        {"purpose": 0},
        {"position_tickets": [4]},
        {"not_after_time": None},
        {"stop_losses_e8": [-1]},
        {"source_id": ""},
        {"reference_prices_e8": [1, 2]},
        {"reference_prices_e8": [-1]},
        {"max_slippages_e8": [-1]},
        {"purpose": trading_pb2.ORDER_PURPOSE_MODIFY, "position_tickets": [4]},
        {"purpose": trading_pb2.ORDER_PURPOSE_MODIFY, "volumes_e8": []},
        {"purpose": trading_pb2.ORDER_PURPOSE_MODIFY, "volumes_e8": [], "position_tickets": [0]},
        {
            "purpose": trading_pb2.ORDER_PURPOSE_MODIFY,
            "volumes_e8": [],
            "position_tickets": [4],
            "reference_prices_e8": [1],
        },
        {
            "purpose": trading_pb2.ORDER_PURPOSE_MODIFY,
            "item_ids": [1, 2],
            "account_ids": [1, 1],
            "volumes_e8": [],
            "position_tickets": [4, 4],
        },
    ],
)
async def test_order_columns_that_do_not_fit(platform, changes) -> None:
    request = trading_pb2.SubmitOrdersRequest(
        request_id=platform.new_id(),
        source_id="x",
        purpose=trading_pb2.ORDER_PURPOSE_OPEN,
        item_ids=[1],
        account_ids=[1],
        volumes_e8=[LOT],
        symbols=["EURUSD"],
    )
    request.not_after_time.GetCurrentTime()
    for name, value in changes.items():
        request.ClearField(name)
        if isinstance(value, list):
            getattr(request, name).extend(value)
        elif value is not None:
            setattr(request, name, value)
    await refused(platform.trading.SubmitOrders(request, **platform.options()), "FIELD_INVALID")


async def test_the_kill_switch_stops_opens_and_payments_but_not_closes(platform) -> None:
    account = await platform.account()
    engage = trading_pb2.SetKillSwitchRequest(request_id=platform.new_id(), engaged=True, cause="drill")
    assert (await platform.trading.SetKillSwitch(engage, **platform.options())).engaged
    await refused(platform.submit("a/1", [(account.account_id, LOT)]), "KILL_SWITCH_ON")
    await refused(
        platform.transfers.AdjustBalance(adjustment(platform, account, -1), **platform.options()), "KILL_SWITCH_ON"
    )
    assert (await platform.submit("a/2", [(account.account_id, -LOT)], tickets=[5])).accepted_count == 1
    release = trading_pb2.SetKillSwitchRequest(request_id=platform.new_id(), engaged=False, cause="drill")
    await platform.trading.SetKillSwitch(release, **platform.options())
    assert (await platform.trading.SetKillSwitch(engage, **platform.options())).engaged, "the stored answer"
    assert (await platform.submit("a/1", [(account.account_id, LOT)])).accepted_count == 1


async def test_a_halt_is_told_once_for_all(platform) -> None:
    def halt(**changes: int) -> trading_pb2.VoidOpensRequest:
        fields = {"ordering_key": 5, "halt_epoch": 2}
        return trading_pb2.VoidOpensRequest(request_id=platform.new_id(), **(fields | changes))

    first = halt()
    for request in (first, first, halt(halt_epoch=1)):
        await platform.trading.VoidOpens(request, **platform.options())
    async with transaction(platform.engine) as tx:
        rows = await tx.execute(text("SELECT label, ordering_key, halt_epoch FROM halts"))
        assert [tuple(row) for row in rows] == [(1, 5, 2)]
    for wrong in ({"ordering_key": -1}, {"halt_epoch": 0}):
        await refused(platform.trading.VoidOpens(halt(**wrong), **platform.options()), "FIELD_INVALID")
    account = await platform.account()
    await refused(platform.submit("a/1", [(account.account_id, LOT)], halt_epoch=-1), "FIELD_INVALID")


async def test_a_closing_is_read_back_by_its_label_only(platform) -> None:
    account = await platform.account()
    request = trading_pb2.CloseAllPositionsRequest(
        request_id=platform.new_id(), account_id=account.account_id, cause="x"
    )
    closing = (await platform.trading.CloseAllPositions(request, **platform.options())).closing
    question = trading_pb2.GetClosingRequest(closing_id=closing.closing_id)
    assert (await platform.trading.GetClosing(question, **platform.options())).closing == closing
    await refused(platform.trading.GetClosing(question, **platform.options(label=2)), "NOT_FOUND")


async def test_orders_and_positions_are_asked_for(platform, simulator) -> None:
    account = await platform.account()
    await platform.submit("a/1", [(account.account_id, LOT)] * 3)
    request = trading_pb2.ListOrdersRequest(source_id="a/1", page_size=2)
    first = await platform.trading.ListOrders(request, **platform.options())
    request.page_token = first.next_page_token
    second = await platform.trading.ListOrders(request, **platform.options())
    assert [*first.orders.item_ids, *second.orders.item_ids, second.next_page_token] == [1, 2, 3, ""]
    question = trading_pb2.ListPositionsRequest(account_id=account.account_id)
    assert list((await platform.trading.ListPositions(question, **platform.options())).positions) == []
    await refused(platform.trading.ListPositions(question, **platform.options(label=2)), "NOT_FOUND")
    await simulator.add_fault("disconnect", endpoint="position/get_total", count=None)
    await refused(platform.trading.ListPositions(question, **platform.options()), "TRADING_SERVER_UNAVAILABLE")


async def test_positions_of_many_accounts_come_in_columns(platform, simulator, registration) -> None:
    idle, first, second = await platform.account(), *[await funded(platform, simulator) for _ in range(2)]
    for account in (second, first):
        await simulator.buy(account.login, "EURUSD", "0.10", sl="1.09000", tp="1.20000")
        await simulator.sell(account.login, "USDJPY", "0.20", comment="ap:o7")

    def request(*account_ids: int) -> trading_pb2.BatchGetPositionsRequest:
        return trading_pb2.BatchGetPositionsRequest(account_ids=account_ids)

    answer = await platform.trading.BatchGetPositions(
        request(second.account_id, idle.account_id, first.account_id), **platform.options()
    )
    found = answer.positions
    assert list(found.account_ids) == [first.account_id] * 2 + [second.account_id] * 2
    assert list(found.position_tickets) == [
        position.position_ticket
        for account in (first, second)
        for position in await platform.positions(account.account_id)
    ]
    assert [found.symbols[index] for index in found.symbol_indexes] == ["EURUSD", "USDJPY"] * 2
    assert list(found.volumes_e8) == [LOT // 10, -LOT // 5] * 2
    assert list(found.stop_losses_e8) == [109_000_000, 0] * 2
    assert list(found.take_profits_e8) == [120_000_000, 0] * 2
    assert list(found.order_ids) == [0] * 4, "a trader's own comment is no token"
    assert answer.HasField("observed_time")
    await refused(platform.trading.BatchGetPositions(request(first.account_id, 999), **platform.options()), "NOT_FOUND")
    await refused(
        platform.trading.BatchGetPositions(request(first.account_id), **platform.options(label=2)), "NOT_FOUND"
    )
    for wrong in ([], [1, 1], range(1, 5_002)):
        await refused(platform.trading.BatchGetPositions(request(*wrong), **platform.options()), "FIELD_INVALID")
    other = registration(simulator, name="other")
    server = (await platform.servers.RegisterTradingServer(other, **platform.options())).trading_server
    await change(
        platform,
        f"UPDATE accounts SET trading_server_id = {server.trading_server_id} WHERE account_id = {idle.account_id}",
    )
    await refused(
        platform.trading.BatchGetPositions(request(first.account_id, idle.account_id), **platform.options()),
        "SERVERS_MIXED",
    )
    await simulator.add_fault("disconnect", endpoint="position/get_batch", count=None)
    await refused(
        platform.trading.BatchGetPositions(request(first.account_id), **platform.options()),
        "TRADING_SERVER_UNAVAILABLE",
    )
    await change(platform, f"UPDATE accounts SET state = 3 WHERE account_id = {first.account_id}")
    await refused(
        platform.trading.BatchGetPositions(request(first.account_id), **platform.options()), "ACCOUNT_NOT_OPEN"
    )


async def test_accounts_that_are_not_open_may_be_left_out_of_a_report(platform, simulator) -> None:
    closed, trader = await platform.account(), await funded(platform, simulator)
    await simulator.buy(trader.login, "EURUSD", "0.10")
    await change(platform, f"UPDATE accounts SET state = 3 WHERE account_id = {closed.account_id}")

    async def report(*account_ids: int) -> trading_pb2.BatchGetPositionsResponse:
        request = trading_pb2.BatchGetPositionsRequest(account_ids=account_ids, leave_out_closed=True)
        return await platform.trading.BatchGetPositions(request, **platform.options())

    answer = await report(999_999, trader.account_id, closed.account_id)
    assert list(answer.positions.account_ids) == [trader.account_id]
    assert list(answer.left_account_ids) == [closed.account_id, 999_999]
    assert list((await report(closed.account_id)).left_account_ids) == [closed.account_id]


# Account states.


async def test_states_are_asked_of_the_server_once_a_second(platform, simulator) -> None:
    trader, idle = await funded(platform, simulator), await platform.account()
    await simulator.create_accounts("demo\\forex-hedge-usd", 1, deposit="77.00")
    await simulator.buy(trader.login, "EURUSD", "1.00")
    request = accounts_pb2.GetAccountStatesRequest(trading_server_id=platform.server_id)
    await simulator.add_fault("latency", endpoint="user/account/get_batch", seconds=2.0, count=1)
    first, second = await asyncio.gather(
        *(platform.accounts.GetAccountStates(request, **platform.options()) for _ in range(2))
    )
    states = first.states
    assert list(states.account_ids) == [trader.account_id, idle.account_id], "ours only, by account id"
    assert list(states.balances_minor) == [1_000_000, 0]
    assert list(states.equities_minor) == [999_000, 0]
    assert list(states.position_flags) == [1, 0]
    assert list(states.leverages) == [100, 100]
    assert states.server_time_ms > 0
    assert second == first, "one reading for both"
    await simulator.close_position(trader.login, int((await simulator.positions(trader.login))[0]["Position"]))
    request.after_account_id = trader.account_id
    rest = await platform.accounts.GetAccountStates(request, **platform.options())
    assert (list(rest.states.account_ids), rest.next_after_account_id) == ([idle.account_id], 0)
    request.after_account_id = 0

    async def anew() -> bool:
        return list(
            (await platform.accounts.GetAccountStates(request, **platform.options())).states.position_flags
        ) == [0, 0]

    await eventually(anew, 60)
    await refused(platform.accounts.GetAccountStates(request, **platform.options(label=2)), "NOT_FOUND")
    await simulator.add_fault("disconnect", endpoint="user/account/get_batch", count=None)

    async def unavailable() -> bool:
        try:
            await platform.accounts.GetAccountStates(request, **platform.options())
        except DomainError as error:
            return error.reason == "TRADING_SERVER_UNAVAILABLE"
        return False

    await eventually(unavailable, 60)
    await simulator.clear_faults()
    assert list((await platform.accounts.GetAccountStates(request, **platform.options())).states.account_ids) == list(
        states.account_ids
    )


async def test_a_caller_that_leaves_does_not_end_the_reading_of_others(platform, simulator) -> None:
    await platform.account()
    request = accounts_pb2.GetAccountStatesRequest(trading_server_id=platform.server_id)
    await simulator.add_fault("latency", endpoint="user/account/get_batch", seconds=0.5, count=1)
    hurried, patient = await asyncio.gather(
        platform.accounts.GetAccountStates(request, **platform.options(0.2)),
        platform.accounts.GetAccountStates(request, **platform.options()),
        return_exceptions=True,
    )
    assert isinstance(hurried, DomainError)
    assert len(patient.states.account_ids) == 1


# Transfers.


def adjustment(platform, account, amount_minor: int, currency: str = "USD") -> transfers_pb2.AdjustBalanceRequest:
    return transfers_pb2.AdjustBalanceRequest(
        request_id=platform.new_id(), account_id=account.account_id, amount=usd(amount_minor, currency), cause="test"
    )


async def test_adjustments_that_are_refused(platform) -> None:
    account = await platform.account()
    adjust = platform.transfers.AdjustBalance
    await refused(adjust(adjustment(platform, account, 0), **platform.options()), "AMOUNT_RANGE")
    await refused(adjust(adjustment(platform, account, 10**12), **platform.options()), "AMOUNT_RANGE")
    await refused(adjust(adjustment(platform, account, 1, "EUR"), **platform.options()), "CURRENCY_MISMATCH")
    await refused(adjust(adjustment(platform, account, 1), **platform.options(label=2)), "NOT_FOUND")
    await change(platform, "UPDATE accounts SET state = 1")
    await refused(adjust(adjustment(platform, account, 1), **platform.options()), "ACCOUNT_NOT_OPEN")


async def pending(platform, request: transfers_pb2.TransferFundsRequest) -> transfers_pb2.Transfer:
    """What the server answers when its patience ends; a machine too busy for so short a call is asked again."""
    for seconds in (0.5, 5.0):
        with suppress(DomainError):
            return (await platform.transfers.TransferFunds(request, **platform.options(seconds))).transfer
    return (await platform.transfers.TransferFunds(request, **platform.options(25.0))).transfer


async def test_without_workers_a_transfer_is_pending_and_listed(platform) -> None:
    one, two = await platform.account(), await platform.account()
    request = transfers_pb2.TransferFundsRequest(
        request_id=platform.new_id(),
        debit_account_id=one.account_id,
        credit_account_id=two.account_id,
        amount=usd(5),
        cause="test",
    )
    transfer = await pending(platform, request)
    assert transfer.state == transfers_pb2.TRANSFER_STATE_PENDING
    for account in (one, two):
        listing = transfers_pb2.ListTransfersRequest(account_id=account.account_id)
        assert list((await platform.transfers.ListTransfers(listing, **platform.options())).transfers) == [transfer]
    one_transfer = transfers_pb2.GetTransferRequest(transfer_id=transfer.transfer_id)
    assert (await platform.transfers.GetTransfer(one_transfer, **platform.options())).transfer == transfer
    await refused(platform.transfers.GetTransfer(one_transfer, **platform.options(label=2)), "NOT_FOUND")
    request.credit_account_id = one.account_id
    request.request_id = platform.new_id()
    await refused(platform.transfers.TransferFunds(request, **platform.options()), "SELF_TRANSFER")


def batch(platform, *rows, **fields) -> transfers_pb2.BatchTransferFundsRequest:
    """Rows of (item, debit account, credit account, amount)."""
    items, payers, payees, amounts = zip(*rows, strict=True)
    return transfers_pb2.BatchTransferFundsRequest(
        request_id=platform.new_id(),
        source="fees",
        ordering_key=7,
        item_ids=items,
        debit_account_ids=payers,
        credit_account_ids=payees,
        amounts_minor=amounts,
        **{"currency_code": "USD"} | fields,
    )


async def test_a_changed_item_of_a_batch_is_named_and_the_others_go_on(platform) -> None:
    one, two = (await platform.account()).account_id, (await platform.account()).account_id
    first = batch(platform, (1, one, two, 5))
    await platform.transfers.BatchTransferFunds(first, **platform.options())
    second = batch(platform, (1, one, two, 6), (2, one, two, 7))
    for request in (second, second):
        answer = await platform.transfers.BatchTransferFunds(request, **platform.options())
        assert (answer.accepted_count, answer.known_count, list(answer.conflicting_item_ids)) == (1, 0, [1])
    listing = transfers_pb2.ListTransfersRequest(account_id=one)
    kept = (await platform.transfers.ListTransfers(listing, **platform.options())).transfers
    assert [(row.source_id, row.amount.amount_minor) for row in kept] == [("fees/1", 5), ("fees/2", 7)]


async def test_a_bad_item_is_rejected_at_once_and_told_by_an_event(platform) -> None:
    one, two = (await platform.account()).account_id, (await platform.account()).account_id
    closed, coarse = (await platform.account()).account_id, (await platform.account()).account_id
    await change(platform, f"UPDATE accounts SET state = 1 WHERE account_id = {closed}")
    await change(platform, f"UPDATE accounts SET currency_digits = 0 WHERE account_id = {coarse}")
    request = batch(
        platform,
        (1, one, two, 5),
        (2, one, 987_654_321, 5),
        (3, closed, two, 5),
        (4, one, two, 100_000_000_001),
        (6, one, coarse, 5),
    )
    answer = await platform.transfers.BatchTransferFunds(request, **platform.options())
    assert (answer.accepted_count, answer.known_count) == (5, 0)
    other = batch(platform, (5, one, two, 5), currency_code="EUR")
    await platform.transfers.BatchTransferFunds(other, **platform.options())
    results = {}
    for _, payload in await platform.events("transfers"):
        event = events_pb2.TransfersUpdated.FromString(payload)
        rows = zip(event.item_ids, event.states, event.reason_indexes, strict=True)
        results |= {item: (state, event.reasons[index]) for item, state, index in rows}
    rejected = transfers_pb2.TRANSFER_STATE_REJECTED
    assert results == {
        2: (rejected, "ACCOUNT_UNKNOWN"),
        3: (rejected, "ACCOUNT_NOT_OPEN"),
        4: (rejected, "AMOUNT_RANGE"),
        5: (rejected, "CURRENCY_MISMATCH"),
        6: (rejected, "CURRENCY_DIGITS_MISMATCH"),
    }
    async with transaction(platform.engine) as tx:
        legs = await tx.execute(text("SELECT DISTINCT source_id FROM transfer_legs JOIN transfers USING (transfer_id)"))
        assert [row.source_id for row in legs] == ["fees/1"]
    request.request_id = platform.new_id()
    again = await platform.transfers.BatchTransferFunds(request, **platform.options())
    assert (again.accepted_count, again.known_count) == (0, 5)


@pytest.mark.parametrize("row", [(1, 8, 8, 5), (1, 8, 9, 0), (1, 8, 9, -5), (0, 8, 9, 5), (1, -8, 9, 5)])
async def test_a_batch_of_what_can_be_no_transfer_is_refused(platform, row) -> None:
    await refused(platform.transfers.BatchTransferFunds(batch(platform, row), **platform.options()), "FIELD_INVALID")


def test_every_reason_of_this_service_is_tried() -> None:
    source = "".join(file.read_text(encoding="utf-8") for file in Path(__file__).parent.rglob("test_*.py"))
    own = {error.reason for error in registry() if error.__module__ == errors.__name__}
    assert {reason for reason in own if f'"{reason}"' not in source} == set()
