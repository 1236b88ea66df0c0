"""API passwords: digests bound to the label, bytes not text, two at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from apportion.auth_gateway.domain.passwords import (
    GENERATED_BYTES,
    ApiPassword,
    HashKind,
    matches_digest,
    password_digest,
    render_password,
    secret_from_header,
)

NOW = datetime(2026, 1, 5, tzinfo=UTC)
PEPPER = bytes(32)


def stored(secret: bytes, start: int, end: int | None) -> ApiPassword:
    until = None if end is None else NOW + timedelta(seconds=end)
    return ApiPassword(
        1, HashKind.HMAC_SHA256, password_digest(PEPPER, 1, secret), NOW + timedelta(seconds=start), until
    )


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ('"abc"', b"abc"), ("abc", b"abc"), ('"', b'"'), ('""', b""), ('""a""', b'"a"'), ('"a', b'"a'), ("'a'", b"'a'"),
        ("é", "é".encode()), (b"\xff".decode("utf-8", "surrogateescape"), b"\xff"),
    ],
)  # fmt: skip
def test_one_pair_of_quotes_is_stripped(text: str, secret: bytes) -> None:
    assert secret_from_header(text) == secret


def test_a_generated_password_has_more_than_128_bits_and_survives_a_header() -> None:
    text = render_password(bytes(range(GENERATED_BYTES)))
    assert GENERATED_BYTES * 8 >= 128
    assert len(text) == 32
    assert secret_from_header(f'"{text}"') == text.encode()


def test_digests_are_bound_to_label_and_pepper() -> None:
    digests = {password_digest(pepper, label, b"x") for pepper in (PEPPER, b"p" * 32) for label in (1, 2)}
    assert len(digests) == 4


@pytest.mark.parametrize(("start", "end", "valid"), [(0, None, True), (1, None, False), (-9, 0, False), (-9, 1, True)])
def test_validity(start: int, end: int | None, valid: bool) -> None:
    digest = password_digest(PEPPER, 1, b"x")
    assert matches_digest([stored(b"other", -9, None), stored(b"x", start, end)], digest, NOW) is valid


def test_nothing_matches_an_empty_list() -> None:
    assert not matches_digest([], bytes(32), NOW) or password_digest(PEPPER, 1, b"x") != bytes(32)
    assert not matches_digest([], password_digest(PEPPER, 1, b""), NOW)
