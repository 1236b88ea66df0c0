"""The published example of the handshake, bit by bit."""

from __future__ import annotations

from apportion.mt5 import handshake


def test_golden_vector() -> None:
    secret = handshake.password_hash("Password1")
    assert secret.hex() == "904ba8ecb16273d2f0ae9c3b8a023752"
    assert handshake.answer(secret, "73007dc7184747ce0f7c98516ef1c851") == "77fe51827f7fa69dd80fbec9aa33f1bb"
    ours, theirs = "4db98fec17aab4dc5a240bdc659e8395", "1732021b1b332f51660b2b315eed3a35"
    assert handshake.is_genuine(secret, ours, theirs)
    assert handshake.is_genuine(secret, ours, theirs.upper())
    assert not handshake.is_genuine(secret, ours, "0" * 32)
    assert not handshake.is_genuine(secret, ours, "ünder")
