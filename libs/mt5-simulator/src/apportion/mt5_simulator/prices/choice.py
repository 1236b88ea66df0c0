"""The feed that the command line names."""

from __future__ import annotations

from pathlib import Path

from apportion.mt5_simulator.domain.feed import Feed
from apportion.mt5_simulator.domain.settings import SymbolSettings
from apportion.mt5_simulator.prices.bridge import BridgeFeed
from apportion.mt5_simulator.prices.fixings import EcbFixings, WalkFixings
from apportion.mt5_simulator.prices.recording import RecordedFeed


def choose_feed(text: str, seed: int, symbols: list[SymbolSettings]) -> Feed:
    """`ecb`, `walk` or `csv:<folder>`; ValueError for anything else."""
    if text == "ecb":
        currencies = {code for symbol in symbols for code in (symbol.base, symbol.profit)}
        return BridgeFeed(EcbFixings(seed, currencies - {"EUR"}), seed)
    if text == "walk":
        return BridgeFeed(WalkFixings(seed), seed)
    if text.startswith("csv:"):
        return RecordedFeed(Path(text.removeprefix("csv:")), symbols)
    raise ValueError(f"prices are ecb, walk or csv:<folder>, not {text!r}")
