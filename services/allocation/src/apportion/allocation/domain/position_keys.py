"""How a master's position is named where positions of many masters are worked on."""

from __future__ import annotations

from typing import NamedTuple


class PositionKey(NamedTuple):
    label: int
    master_id: int
    position_ticket: int
