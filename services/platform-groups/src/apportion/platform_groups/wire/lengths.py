"""The longest texts that requests may have, in characters."""

from __future__ import annotations

NAME_LENGTH = 100
SOURCE_LENGTH = 100
CAUSE_LENGTH = 200
SYMBOL_LENGTH = 32
