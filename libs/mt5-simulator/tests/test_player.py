from __future__ import annotations

from apportion.mt5_simulator.player import Strategy, StrategyPlayer, play_all, summary_document

GROUP = "demo\\forex-hedge-usd"
STRATEGY = Strategy(symbols=["EURUSD"], open_positions=3)


async def no_wait(seconds: float) -> None:
    assert seconds > 0


async def test_a_player_trades_within_its_limits_and_goes_flat(simulator) -> None:
    [login] = await simulator.create_accounts(GROUP, 1, deposit="100000")
    player = StrategyPlayer(simulator, login, STRATEGY, seed=3)
    for _ in range(40):
        await player.play(no_wait, trades=1)
        assert len(await simulator.positions(login)) <= 3
    await player.close_all()
    assert await simulator.positions(login) == []
    summary = player.summary
    assert (summary.opened, summary.refused) == (summary.closed, 0)
    assert summary.partly_closed > 0
    assert summary_document([player])["trades"] == summary.trades >= 40


async def test_a_player_knows_what_others_closed(simulator) -> None:
    first, second = await simulator.create_accounts(GROUP, 2, deposit="100000")
    for login, volume, closed in ((first, None, 0), (second, "0.01", 1)):
        player = StrategyPlayer(simulator, login, STRATEGY, seed=3)
        await player.play(no_wait, trades=1)
        [position] = await simulator.positions(login)
        await simulator.close_position(login, position["Position"], volume)
        await player.close_all()
        assert (player.summary.closed, player.summary.refused) == (closed, 0)
        assert await simulator.positions(login) == []


async def test_a_player_goes_flat_on_a_netting_account(simulator) -> None:
    [login] = await simulator.create_accounts("demo\\forex-netting-usd", 1, deposit="100000")
    player = StrategyPlayer(simulator, login, Strategy(symbols=["EURUSD"], open_positions=2), seed=3)
    await player.play(no_wait, trades=40)
    entries = {deal["Entry"] for deal in await simulator.deals(login) if deal["Symbol"]}
    assert entries == {"0", "1", "2"}
    await player.close_all()
    assert await simulator.positions(login) == []
    assert player.summary.refused == 0


async def test_a_refused_player_goes_on_trying(simulator) -> None:
    [login] = await simulator.create_accounts(GROUP, 1)
    player = StrategyPlayer(simulator, login, STRATEGY, seed=3)
    summary = await player.play(no_wait, trades=5)
    assert (summary.trades, summary.refused) == (0, 5)


async def test_the_same_seed_plays_the_same_day(start_simulator) -> None:
    days = []
    for seed in (7, 7, 8):
        simulator = await start_simulator()
        logins = await simulator.create_accounts(GROUP, 2, deposit="100000")
        players = [StrategyPlayer(simulator, login, Strategy(), seed) for login in logins]
        await play_all(players, simulator.advance, trades=15, until=lambda: False, in_turn=True)
        days.append([await simulator.deals(login) for login in logins])
    assert days[0] == days[1]
    assert days[0] != days[2]
