"""The languages of the areas, as tags like `ru-ru`."""

from __future__ import annotations

TAGS = {
    "ch": "ch-ch",
    "cn": "cn-cn",
    "de": "de-de",
    "en": "en-us",
    "es": "es-es",
    "ja": "ja-jp",
    "ko": "ko-kr",
    "pt": "pt-pt",
    "ru": "ru-ru",
}


def language_of(text: str) -> str | None:
    """The language that a tag asks for: `ru`, `ru-ru` and `RU-ru` are `ru`; None when it is not one of ours."""
    language, separator, region = text.strip().lower().partition("-")
    if language not in TAGS or (separator and not (len(region) == 2 and region.isascii() and region.isalpha())):
        return None
    return language


def tag_for(text: str | None, default_language: str) -> str:
    """The tag to put in a link, always one of a fixed list; an unknown language becomes the default."""
    return TAGS[(language_of(text) if text else None) or default_language]
