"""Areas: the pages a broker's users are sent to with a token. Only registered ones, matched exactly."""

from __future__ import annotations

from urllib.parse import urlsplit

from apportion.auth_gateway.errors import AreaInvalid

MAX_AREA_LENGTH = 512
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/[]")


def parse_area(text: str) -> str:
    """The address in the one form in which it is stored and compared: lower-case origin, no slash at the end.

    Raises AreaInvalid for anything but http(s)://host[:port][/path] in plain characters: no user, query, fragment,
    backslash, escape or white space, so that no two readers can disagree about the host.
    """
    if len(text) > MAX_AREA_LENGTH or not set(text) <= _PLAIN:
        raise AreaInvalid
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise AreaInvalid from None
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname or "//" in parts.path:
        raise AreaInvalid
    if any(segment in (".", "..") for segment in parts.path.split("/")):
        raise AreaInvalid
    return _origin(parts.scheme, parts.hostname, port) + parts.path.rstrip("/")


def parse_origin(text: str) -> str:
    """An origin, `https://host[:port]`, in the form in which browsers send it. Raises AreaInvalid."""
    area = parse_area(text)
    if area != origin_of(area):
        raise AreaInvalid(f"{area} has a path: an origin is scheme, host and port only")
    return area


def origin_of(area: str) -> str:
    """The origin of a stored area."""
    parts = urlsplit(area)
    return f"{parts.scheme}://{parts.netloc}"


def sign_in_url(area: str, token: str, language_tag: str) -> str:
    """Where the area takes a token: in the fragment, which browsers send to no server."""
    return f"{area}/#/auth?token={token}&lang={language_tag}"


def _origin(scheme: str, host: str, port: int | None) -> str:
    scheme = scheme.lower()
    host = f"[{host}]" if ":" in host else host.lower()
    default_port = {"http": 80, "https": 443}[scheme]
    return f"{scheme}://{host}" if port in (None, default_port) else f"{scheme}://{host}:{port}"
