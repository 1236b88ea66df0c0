"""Passwords for new accounts: four classes of characters, as trading servers demand."""

from __future__ import annotations

import secrets
import string

LENGTH = 14
CLASSES = (string.ascii_lowercase, string.ascii_uppercase, string.digits, "!#%*+-=?@_")


def new_password() -> str:
    """14 characters with at least one of each class: about 80 bits."""
    characters = [secrets.choice(group) for group in CLASSES]
    characters += [secrets.choice("".join(CLASSES)) for _ in range(LENGTH - len(CLASSES))]
    secrets.SystemRandom().shuffle(characters)
    return "".join(characters)
