"""Symbols: what can be traded, and on which volume grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from apportion.mt5.connection import Caller
from apportion.mt5.enums import ExecutionMode, FillFlags, FillType
from apportion.mt5.errors import Refused, UnexpectedReply
from apportion.mt5.numbers import PRICE_DIGITS, fixed, volume_e8
from apportion.mt5.retcodes import Retcode

SIZE_DIGITS = 8
MOST = 2**63 - 1


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
        "execution_mode": "ExecMode",
        "fill_flags": "FillFlags",
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
    execution_mode: int = int(ExecutionMode.MARKET)
    fill_flags: int = int(FillFlags.FILL_OR_KILL)

    def __post_init__(self) -> None:
        """Nobody gets a symbol that cannot be counted with. Raises ValueError, which decoding knows."""
        if not 0 <= self.digits <= PRICE_DIGITS:
            raise ValueError(f"{self.symbol} has prices of {self.digits} digits")
        volumes_e8 = self.min_volume_e8, self.max_volume_e8, self.volume_step_e8
        if not all(0 <= figure <= MOST for figure in (self.contract_size_e8, *volumes_e8)):
            raise ValueError(f"{self.symbol} has lots or volumes below 0, or too large ones")

    @property
    def contract_size_e8(self) -> int:
        """Units in one lot, in 1e-8: 0.01 of a coin is a lot, too."""
        return fixed(self.contract_size, SIZE_DIGITS)

    @property
    def fill_type(self) -> FillType:
        """How a market order is filled: all of it or nothing where that may be asked for.

        Where neither flag is set, an exchange takes orders whose rest stays, and other servers fill all or nothing.
        """
        if self.fill_flags & FillFlags.FILL_OR_KILL:
            return FillType.FILL_OR_KILL
        if self.fill_flags & FillFlags.IMMEDIATE_OR_CANCEL:
            return FillType.IMMEDIATE_OR_CANCEL
        return FillType.RETURN if self.execution_mode == ExecutionMode.EXCHANGE else FillType.FILL_OR_KILL

    @property
    def min_volume_e8(self) -> int:
        return volume_e8(self.volume_min_ext, self.volume_min)

    @property
    def max_volume_e8(self) -> int:
        return volume_e8(self.volume_max_ext, self.volume_max)

    @property
    def volume_step_e8(self) -> int:
        return volume_e8(self.volume_step_ext, self.volume_step)


@dataclass(frozen=True, slots=True)
class Listing:
    """Sorted by name. One symbol that nobody can read keeps no other from being listed."""

    symbols: list[Symbol]
    unreadable: dict[str, str]
    """What is wrong with each that is left out, by name."""


async def list_all(caller: Caller) -> Listing:
    """Every symbol that the manager sees."""
    names = (await caller.call("symbol/list")).as_type(list[str])
    return await list_named(caller, names)


async def list_named(caller: Caller, names: Sequence[str]) -> Listing:
    """The symbols that exist among these names."""
    listing = Listing([], {})
    for name in sorted(names):
        try:
            reply = await caller.call("symbol/get", {"symbol": name})
        except Refused as refused:
            if refused.retcode != Retcode.NOT_FOUND:
                raise
            continue
        try:
            listing.symbols.append(reply.as_type(Symbol))
        except UnexpectedReply as error:
            listing.unreadable[name] = str(error)
    return listing
