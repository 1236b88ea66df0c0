"""Symbols: what can be traded, and on which volume grid."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from apportion.mt5.connection import Caller
from apportion.mt5.errors import Refused
from apportion.mt5.numbers import fixed, volume_e8
from apportion.mt5.retcodes import Retcode


class Symbol(
    msgspec.Struct,
    rename={
        "symbol": "Symbol",
        "digits": "Digits",
        "currency_base": "CurrencyBase",
        "currency_profit": "CurrencyProfit",
        "currency_margin": "CurrencyMargin",
        "contract_size": "ContractSize",
        "volume_min": "VolumeMin",
        "volume_min_ext": "VolumeMinExt",
        "volume_max": "VolumeMax",
        "volume_max_ext": "VolumeMaxExt",
        "volume_step": "VolumeStep",
        "volume_step_ext": "VolumeStepExt",
    },
):
    symbol: str
    digits: int = 5
    currency_base: str = ""
    currency_profit: str = ""
    currency_margin: str = ""
    contract_size: str = "0"
    volume_min: int = 0
    volume_min_ext: int = 0
    volume_max: int = 0
    volume_max_ext: int = 0
    volume_step: int = 0
    volume_step_ext: int = 0

    @property
    def contract_units(self) -> int:
        """Whole units in one lot. Raises ValueError for a broken number of them."""
        return fixed(self.contract_size, 0)

    @property
    def min_volume_e8(self) -> int:
        return volume_e8(self.volume_min_ext, self.volume_min)

    @property
    def max_volume_e8(self) -> int:
        return volume_e8(self.volume_max_ext, self.volume_max)

    @property
    def volume_step_e8(self) -> int:
        return volume_e8(self.volume_step_ext, self.volume_step)


async def list_all(caller: Caller) -> list[Symbol]:
    """Every symbol that the manager sees, sorted by name."""
    names = (await caller.call("symbol/list")).as_type(list[str])
    return await list_named(caller, names)


async def list_named(caller: Caller, names: Sequence[str]) -> list[Symbol]:
    """The symbols that exist among these names, sorted by name."""
    found = []
    for name in sorted(names):
        try:
            found.append((await caller.call("symbol/get", {"symbol": name})).as_type(Symbol))
        except Refused as refused:
            if refused.retcode != Retcode.NOT_FOUND:
                raise
    return found
