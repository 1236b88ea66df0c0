"""Inputs and results that few decisions have, by name in one field: MessagePack of name → (bytes a value, values)."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from apportion.allocation.domain.allocations import AllocationColumns
from apportion.allocation.domain.open_inputs import NO_COLUMN, Figures
from apportion.allocation.storage.packing import pack, unpack

OF_FIGURES = ("margins", "leverages", "held_e8", "carries_e8")
_decoder = msgspec.msgpack.Decoder(dict[str, tuple[int, bytes]])


def pack_figures(columns: AllocationColumns) -> bytes:
    """The columns that are not empty; no bytes where all are."""
    given: dict[str, Any] = {name: getattr(columns.figures, name) for name in OF_FIGURES}
    given |= {
        "gate_reasons": columns.gate_reasons,
        "caps_e8": columns.caps_e8,
        "carries_after_e8": columns.carries_e8,
        "close_small_rests": columns.close_small_rests,
        "proportions_e9": columns.proportions_e9,
        "stop_losses_e8": columns.stop_losses_e8,
        "take_profits_e8": columns.take_profits_e8,
    }
    packed = {name: pack(column.astype(np.int64)) for name, column in given.items() if column.size}
    return msgspec.msgpack.encode(packed) if packed else b""


def unpack_figures(stored: bytes) -> dict[str, Any]:
    """The fields of `AllocationColumns` that were packed."""
    if not stored:
        return {}
    packed = {name: unpack(*column) for name, column in _decoder.decode(stored).items()}
    return {
        "figures": Figures(**{name: packed[name] for name in OF_FIGURES if name in packed}),
        "gate_reasons": packed.get("gate_reasons", NO_COLUMN).astype(np.int8),
        "caps_e8": packed.get("caps_e8", NO_COLUMN),
        "carries_e8": packed.get("carries_after_e8", NO_COLUMN),
        "close_small_rests": packed.get("close_small_rests", NO_COLUMN).astype(np.bool_),
        "proportions_e9": packed.get("proportions_e9", NO_COLUMN),
        "stop_losses_e8": packed.get("stop_losses_e8", NO_COLUMN),
        "take_profits_e8": packed.get("take_profits_e8", NO_COLUMN),
    }
