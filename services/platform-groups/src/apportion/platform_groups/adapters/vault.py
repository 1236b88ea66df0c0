"""Secrets at rest: AES-256-GCM with a fresh key for each, itself wrapped by a key-encryption key.

sealed = format (1) ‖ KEK id (4) ‖ nonce (12) ‖ wrapped key (48) ‖ nonce (12) ‖ ciphertext and tag. Both layers are
bound to the place of the secret (table, label, row, field, format), so a copied or moved value does not open.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable, Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from apportion.platform_groups.errors import CredentialIntegrity, KekMissing

FORMAT = 1
KEY_BYTES = 32
NONCE_BYTES = 12
WRAPPED_BYTES = KEY_BYTES + 16
HEAD_BYTES = 5
CIPHERTEXT_AT = HEAD_BYTES + NONCE_BYTES + WRAPPED_BYTES + NONCE_BYTES


class Vault:
    """`keys` by id; new secrets are sealed with the highest id, older ones stay readable while their key is there."""

    def __init__(self, keys: Mapping[int, bytes], random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys.values()):
            raise ValueError("the vault needs at least one key of 32 bytes")
        self._keys = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._newest = max(keys)
        self._random = random_bytes

    def seal(self, secret: str, *, table: str, label: int, row_id: int, field: str) -> bytes:
        place = _place(table, label, row_id, field)
        key, key_nonce, nonce = self._random(KEY_BYTES), self._random(NONCE_BYTES), self._random(NONCE_BYTES)
        wrapped = self._keys[self._newest].encrypt(key_nonce, key, place)
        body = AESGCM(key).encrypt(nonce, secret.encode(), place)
        return bytes([FORMAT]) + self._newest.to_bytes(4, "big") + key_nonce + wrapped + nonce + body

    def open(self, sealed: bytes, *, table: str, label: int, row_id: int, field: str) -> str:
        """Raises KekMissing, CredentialIntegrity."""
        place = _place(table, label, row_id, field)
        if len(sealed) < CIPHERTEXT_AT or sealed[0] != FORMAT:
            raise CredentialIntegrity(table=table, row_id=row_id, field=field)
        key_id = int.from_bytes(sealed[1:HEAD_BYTES], "big")
        kek = self._keys.get(key_id)
        if kek is None:
            raise KekMissing(f"key-encryption key {key_id} is not loaded", key_id=key_id)
        nonces_at = HEAD_BYTES + NONCE_BYTES
        try:
            key = kek.decrypt(sealed[HEAD_BYTES:nonces_at], sealed[nonces_at : nonces_at + WRAPPED_BYTES], place)
            nonce = sealed[nonces_at + WRAPPED_BYTES : CIPHERTEXT_AT]
            return AESGCM(key).decrypt(nonce, sealed[CIPHERTEXT_AT:], place).decode()
        except InvalidTag:
            raise CredentialIntegrity(table=table, row_id=row_id, field=field) from None


def parse_keys(text: str) -> dict[int, bytes]:
    """Keys as `1:<base64>,2:<base64>`, or one bare base64 which is key 1. Raises ValueError, never showing a key."""
    keys: dict[int, bytes] = {}
    for part in text.replace("\n", ",").split(","):
        if not part.strip():
            continue
        number, separator, encoded = part.strip().rpartition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raise ValueError("a key-encryption key is not base64") from None
        if len(key) != KEY_BYTES:
            raise ValueError("a key-encryption key must have 32 bytes")
        keys[int(number) if separator else 1] = key
    if not keys:
        raise ValueError("no key-encryption key")
    return keys


def _place(table: str, label: int, row_id: int, field: str) -> bytes:
    return f"{table}\x00{label}\x00{row_id}\x00{field}\x00{FORMAT}".encode()
