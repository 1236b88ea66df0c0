from __future__ import annotations

import pytest

from apportion.mt5_simulator.web.call import Call

GROUP = "demo\\forex-hedge-usd"
NEW = {"Group": GROUP, "Name": "Ada Byron", "Leverage": 100, "PassMain": "Secret1!", "PassInvestor": "Secret2!"}


async def _refusal(client, path: str, body: dict | None = None) -> int:
    return int((await client.ask(path, body))["retcode"].split()[0])


async def test_add_read_update(client) -> None:
    user = await client.answer("user/add", {**NEW, "Comment": "first"})
    assert user["Login"] == "500001"
    assert user["Rights"] == "483"
    assert all(isinstance(value, (str, list)) for value in user.values())
    changed = await client.answer(
        "user/update", {"Login": user["Login"], "Leverage": "200", "Rights": 487, "Balance": "1000000", "Comment": "x"}
    )
    assert (changed["Leverage"], changed["Rights"], changed["Balance"], changed["Comment"]) == (
        "200",
        "487",
        "0.00",
        "x",
    )
    ignored = await client.answer("user/update", {"Login": user["Login"], "Leverage": "9999", "Rights": "word"})
    assert (ignored["Leverage"], ignored["Rights"]) == ("200", "487")
    assert await client.answer(f"user/get?login={user['Login']}") == ignored
    assert await client.answer(f"user/group?login={user['Login']}") == {"Group": GROUP}
    assert (await client.answer("user/total"))["Total"] == "1"


async def test_query_in_snake_case_the_body_wins_and_has_capital_names(client) -> None:
    query = "user/add?group=demo%5Cforex-hedge-usd&name=Query&leverage=50&pass_main=Secret1!&pass_investor=Secret2!"
    assert (await client.answer(query))["Name"] == "Query"
    assert (await client.answer(query, {"Name": "Body", "leverage": 70}))["Name"] == "Body"
    assert (await client.answer("user/get?login=500002"))["Leverage"] == "50"


async def test_group_names_with_any_number_of_backslashes(client) -> None:
    await client.answer("user/add", NEW)
    for spelling in ("demo\\forex-hedge-usd", "demo\\\\forex-hedge-usd", "demo%5C%5Cforex-hedge-usd", "demo\\forex*"):
        assert await client.answer(f"user/logins?group={spelling}") == ["500001"]


def test_a_raw_hash_in_a_value_does_not_cut_the_request() -> None:
    call = Call("/api/user/update?login=1&comment=ticket#7&phone=5", b"")
    assert (call.text("comment"), call.text("phone")) == ("ticket#7", "5")


async def test_get_and_post_are_the_same(client) -> None:
    await client.answer("user/add", NEW)
    got = await client.ask("user/get?login=500001", method="GET")
    assert got == await client.ask("user/get?login=500001", method="POST")


@pytest.mark.parametrize(
    ("change", "retcode"),
    [
        ({"Group": "demo\\nothing"}, 3),
        ({"Name": ""}, 3),
        ({"Leverage": 501}, 3),
        ({"PassMain": "simple"}, 3006),
        ({"PassInvestor": ""}, 3006),
        ({"Login": "500001"}, 3004),
    ],
)
async def test_add_refusals(client, change, retcode) -> None:
    await client.answer("user/add", NEW)
    assert await _refusal(client, "user/add", {**NEW, **change}) == retcode


async def test_move_between_groups_of_a_currency(client) -> None:
    await client.answer("user/add", NEW)
    moved = await client.answer("user/update?login=500001&group=demo\\wallets-usd")
    assert moved["Group"] == "demo\\wallets-usd"
    assert await client.answer("user/logins?group=demo\\wallets-usd") == ["500001"]
    assert await client.answer("user/logins?group=demo\\forex*") == []
    assert await _refusal(client, "user/update?login=500001&group=demo\\forex-hedge-eur") == 3010


async def test_unknown_login_is_not_found(client) -> None:
    for path in ("user/get", "user/update", "user/delete", "user/group", "user/check_balance", "user/account/get"):
        assert await _refusal(client, f"{path}?login=9") == 13
    assert await client.answer("user/get_batch?login=9,10") == []


async def test_passwords(client) -> None:
    await client.answer("user/add", NEW)
    await client.answer("user/check_password?login=500001&type=main&password=Secret1!")
    assert await _refusal(client, "user/check_password?login=500001&type=main&password=Secret2!") == 3006
    await client.answer("user/change_password", {"Login": 500001, "Type": "main", "Password": "Another3?"})
    await client.answer("user/check_password?login=500001&type=main&password=Another3?")
    assert await _refusal(client, "user/change_password", {"Login": 500001, "Type": "main", "Password": "a"}) == 3006


async def test_delete_refuses_an_account_with_positions(simulator, client) -> None:
    [login] = await simulator.create_accounts(GROUP, 1, deposit="10000")
    deal = await simulator.buy(login, "EURUSD", "0.10")
    assert await _refusal(client, f"user/delete?login={login}") == 3008
    await simulator.close_position(login, deal["PositionID"])
    await client.answer(f"user/delete?login={login}")
    assert await _refusal(client, f"user/get?login={login}") == 13


async def test_balance_operations(simulator, client) -> None:
    [login] = await simulator.create_accounts(GROUP, 1)
    long_comment = "a comment of more than thirty-one characters"
    body = {"Login": login, "Type": 2, "Balance": "250.50", "Comment": long_comment}
    ticket = (await client.answer("trade/balance", body))["Ticket"]
    deal = await client.answer(f"deal/get?ticket={ticket}")
    assert (deal["Action"], deal["Profit"], deal["Comment"]) == ("2", "250.50", long_comment[:31])
    await client.answer(f"trade/balance?login={login}&type=3&balance=100&comment=credit")
    state = await client.answer(f"user/account/get?login={login}")
    assert (state["Balance"], state["Credit"], state["Equity"]) == ("250.50", "100.00", "350.50")
    assert await client.answer(f"user/check_balance?login={login}") == {
        "Balance": {"User": "250.50", "History": "250.50"},
        "Credit": {"User": "100.00", "History": "100.00"},
    }


@pytest.mark.parametrize(
    ("query", "retcode"),
    [
        ("login=500001&type=1&balance=5", 3),
        ("login=500001&type=7&balance=5", 3),
        ("login=500001&type=2&balance=0", 3),
        ("login=500001&type=2&balance=five", 3),
        ("login=500001&type=2&balance=0.001", 3),
        ("login=9&type=2&balance=5", 13),
        ("login=500001&type=2&balance=1000000000.01", 4005),
        ("login=500001&type=2&balance=-100.01", 10019),
        ("login=500001&type=3&balance=-0.01", 10019),
    ],
)
async def test_balance_refusals(simulator, client, query, retcode) -> None:
    await simulator.create_accounts(GROUP, 1, deposit="100")
    assert await _refusal(client, f"trade/balance?{query}") == retcode


async def test_a_withdrawal_is_checked_against_the_free_margin(simulator, client) -> None:
    [login] = await simulator.create_accounts(GROUP, 1, deposit="1200")
    await simulator.buy(login, "EURUSD", "1.00")  # margin 1100, spread 10
    assert await _refusal(client, f"trade/balance?login={login}&type=2&balance=-91") == 10019
    await client.answer(f"trade/balance?login={login}&type=2&balance=-90")
    await client.answer(f"trade/balance?login={login}&type=2&balance=-10&check_margin=0")
