"""Numbers as the Web API writes them, to integers and back. No binary floating point on the way."""

from __future__ import annotations

PRICE_DIGITS = 8
VOLUME_EXT_PER_VOLUME = 10_000
"""`Volume` counts 1/10 000 lot, `VolumeExt` 1e-8 lot."""


def fixed(text: str, digits: int) -> int:
    """`"26000.00"` with 2 digits → 2600000. Raises ValueError when a digit would be lost or it is no number."""
    whole, _, fraction = text.partition(".")
    if not whole:
        raise ValueError(f"{text!r} is not a number")
    missing = digits - len(fraction)
    if missing == 0:
        return int(whole + fraction)
    if missing > 0:
        return int(whole + fraction + "0" * missing)
    if fraction[digits:].strip("0"):
        raise ValueError(f"{text!r} has more than {digits} decimals")
    return int(whole + fraction[:digits])


def to_fixed(value: int, digits: int) -> str:
    """2600000 with 2 digits → `"26000.00"`."""
    if digits == 0:
        return str(value)
    sign = "-" if value < 0 else ""
    text = str(abs(value)).rjust(digits + 1, "0")
    return f"{sign}{text[:-digits]}.{text[-digits:]}"


def volume_e8(volume_ext: int, volume: int) -> int:
    """The volume in 1e-8 lot: `VolumeExt` wins; `Volume` alone is what older servers send."""
    return volume_ext or volume * VOLUME_EXT_PER_VOLUME
