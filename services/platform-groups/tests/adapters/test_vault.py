"""Secrets at rest: sealed to their place, with keys that can be rotated."""

from __future__ import annotations

import base64

import pytest

from apportion.platform_groups.adapters.passwords import CLASSES, new_password
from apportion.platform_groups.adapters.vault import Vault, parse_keys
from apportion.platform_groups.errors import CredentialIntegrity, KekMissing

OLD, NEW = b"o" * 32, b"n" * 32
PLACE = {"table": "trading_servers", "label": 1, "row_id": 7, "field": "manager_password"}
SECRET = "pässword"


def test_sealed_and_opened_and_never_the_same_twice() -> None:
    vault = Vault({1: OLD})
    sealed = vault.seal(SECRET, **PLACE)
    assert vault.open(sealed, **PLACE) == SECRET
    assert SECRET.encode() not in sealed
    assert vault.seal(SECRET, **PLACE) != sealed


@pytest.mark.parametrize("change", [{"table": "x"}, {"label": 2}, {"row_id": 8}, {"field": "api_key"}])
def test_a_moved_secret_does_not_open(change: dict[str, object]) -> None:
    vault = Vault({1: OLD})
    sealed = vault.seal(SECRET, **PLACE)
    with pytest.raises(CredentialIntegrity):
        vault.open(sealed, **(PLACE | change))


def test_every_altered_byte_is_noticed() -> None:
    vault = Vault({1: OLD})
    sealed = vault.seal(SECRET, **PLACE)
    for index in range(len(sealed)):
        altered = bytearray(sealed)
        altered[index] ^= 1
        with pytest.raises((CredentialIntegrity, KekMissing)):
            vault.open(bytes(altered), **PLACE)
    with pytest.raises(CredentialIntegrity):
        vault.open(sealed[:40], **PLACE)


def test_rotation_of_the_key_encryption_key() -> None:
    sealed = Vault({1: OLD}).seal(SECRET, **PLACE)
    both = Vault({1: OLD, 2: NEW})
    assert both.open(sealed, **PLACE) == SECRET
    resealed = both.seal(SECRET, **PLACE)
    assert Vault({2: NEW}).open(resealed, **PLACE) == SECRET
    with pytest.raises(KekMissing):
        Vault({2: NEW}).open(sealed, **PLACE)


def test_keys_as_text() -> None:
    one = base64.b64encode(OLD).decode()
    two = base64.b64encode(NEW).decode()
    assert parse_keys(one) == {1: OLD}
    assert parse_keys(f"1:{one},2:{two}") == parse_keys(f"1:{one}\n2:{two}\n") == {1: OLD, 2: NEW}
    for text in ("", "1:%%", base64.b64encode(b"short").decode()):
        with pytest.raises(ValueError, match="key"):
            parse_keys(text)


def test_passwords_have_all_classes() -> None:
    made = {new_password() for _ in range(200)}
    assert len(made) == 200
    for password in made:
        assert all(any(letter in group for letter in password) for group in CLASSES)
        assert 8 <= len(password) <= 16
