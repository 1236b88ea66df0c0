"""The longest texts that requests may have, in characters."""

from __future__ import annotations

SOURCE_LENGTH = 100
CAUSE_LENGTH = 200
SYMBOL_LENGTH = 32
