"""Configuration of the simulated server: groups, symbols, managers, zone. Read from a JSON file or taken as it is."""

from __future__ import annotations

from fnmatch import fnmatchcase

import msgspec

from apportion.mt5_simulator.codes import MarginMode, TradeMode
from apportion.mt5_simulator.domain.figures import E8


class GroupSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    name: str
    currency: str
    currency_digits: int = 2
    """Whatever ISO 4217 says of the currency: JPY with 2 and USC are groups, too."""
    leverage: int = 100
    margin_mode: MarginMode = MarginMode.HEDGING
    """2: every trade its own position; 0: one position per symbol, see `netting`."""
    commission_per_lot_minor: int = 0
    """Charged on each deal, opening and closing, as part of that deal."""
    margin_call_percent: int = 50
    stop_out_percent: int = 30
    limit_positions: int = 0
    """Open positions of one account; 0 is no limit."""


class SymbolSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    name: str
    path: str
    base: str
    profit: str
    digits: int = 5
    contract_size_e8: int = 100_000 * E8
    volume_min_e8: int = E8 // 100
    volume_max_e8: int = 1_000 * E8
    volume_step_e8: int = E8 // 100
    spread_points: int = 10
    stops_level_points: int = 0
    """How far from the market a stop must be, at least."""
    swap_long_e8: int = 0
    """Points per lot and night, in 1e-8 point."""
    swap_short_e8: int = 0
    swap_3day: int = 3
    """Day of the triple swap; Sunday is 0."""
    trade_mode: TradeMode = TradeMode.FULL
    fill_flags: int = 3
    """1: an order may ask to be filled completely or not at all; 2: as far as possible, the rest cancelled."""

    @property
    def point_e8(self) -> int:
        return int(10 ** (8 - self.digits))


class ManagerSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    login: int
    password: str


def default_groups() -> list[GroupSettings]:
    return [
        GroupSettings(name="demo\\forex-hedge-usd", currency="USD"),
        GroupSettings(name="demo\\forex-hedge-usd-commission", currency="USD", commission_per_lot_minor=350),
        GroupSettings(name="demo\\forex-hedge-eur", currency="EUR"),
        GroupSettings(name="demo\\forex-netting-usd", currency="USD", margin_mode=MarginMode.NETTING),
        GroupSettings(name="demo\\wallets-usd", currency="USD"),
        GroupSettings(name="demo\\wallets-eur", currency="EUR"),
    ]


def _forex(name: str, folder: str, spread: int, swap_long: int, swap_short: int, digits: int = 5) -> SymbolSettings:
    return SymbolSettings(
        name=name,
        path=f"Forex\\{folder}\\{name}",
        base=name[:3],
        profit=name[3:],
        digits=digits,
        spread_points=spread,
        swap_long_e8=swap_long * E8 // 10,
        swap_short_e8=swap_short * E8 // 10,
    )


def default_symbols() -> list[SymbolSettings]:
    """Eleven pairs; swaps in tenths of a point per night."""
    return [
        _forex("EURUSD", "Majors", 8, -65, 24),
        _forex("GBPUSD", "Majors", 12, -31, -12),
        _forex("USDJPY", "Majors", 9, 88, -180, digits=3),
        _forex("USDCHF", "Majors", 13, 51, -105),
        _forex("AUDUSD", "Majors", 11, -18, -9),
        _forex("USDCAD", "Majors", 14, 12, -58),
        _forex("NZDUSD", "Majors", 16, -12, -14),
        _forex("EURGBP", "Crosses", 13, -48, 11),
        _forex("EURJPY", "Crosses", 15, 41, -132, digits=3),
        _forex("EURCHF", "Crosses", 17, 19, -71),
        _forex("GBPJPY", "Crosses", 22, 96, -241, digits=3),
    ]


class ServerSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    name: str = "Simulator-Demo"
    zone: str = "Europe/Helsinki"
    """IANA name of the server's civil time."""
    first_login: int = 500_001
    request_id_key: str = "id"
    """Name of a dealer request's id in the answer; the documentation prints `ID`, clients in the field read `id`."""
    results_under_answer: bool = True
    """Where the results of dealer requests stand: under `answer`, or at the top of the reply as documented."""
    managers: list[ManagerSettings] = msgspec.field(
        default_factory=lambda: [ManagerSettings(login=1000, password="Manager1!")]  # noqa: S106 - the documented default of a simulator
    )
    groups: list[GroupSettings] = msgspec.field(default_factory=default_groups)
    symbols: list[SymbolSettings] = msgspec.field(default_factory=default_symbols)


def load_settings(document: bytes) -> ServerSettings:
    """Settings from JSON; unknown keys and wrong types raise msgspec.ValidationError."""
    return msgspec.json.decode(document, type=ServerSettings)


def unescape_name(name: str) -> str:
    r"""Clients send `demo\x`, `demo\\x` or more backslashes for the same group."""
    while "\\\\" in name:
        name = name.replace("\\\\", "\\")
    return name


def matches_mask(mask: str, name: str) -> bool:
    r"""MT5 masks: comma separated, `*` for any text, `!` in front excludes: `demo\*,!demo\wallets*`."""
    included = False
    for part in unescape_name(mask).split(","):
        pattern = part.strip().replace("[", "[[]")
        if pattern.startswith("!"):
            if fnmatchcase(name, pattern[1:]):
                return False
        elif pattern and fnmatchcase(name, pattern):
            included = True
    return included
