"""Which peer may call which method. Default: none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from apportion.errors import PeerNotAllowed

ANONYMOUS = "anonymous"

Peers = Mapping[str, Sequence[str]]


class AllowList:
    """Patterns like `/apportion.api.fees.v1.*` or `/apportion.api.fees.v1.TermsService/GetTerms`, by peer name.

    None allows everybody: for servers without TLS, which know no peers.
    """

    def __init__(self, peers: Peers | None) -> None:
        self._peers = None if peers is None else {peer: tuple(patterns) for peer, patterns in peers.items()}
        self._names = {peer.encode(): peer for peer in peers or ()}
        self._decided: dict[tuple[str, str], bool] = {}

    def name_of(self, identities: Sequence[bytes]) -> str:
        """The peer behind a certificate: its first name that is on the list, else its first name."""
        for identity in identities:
            name = self._names.get(identity)
            if name is not None:
                return name
        return identities[0].decode("utf-8", "replace") if identities else ANONYMOUS

    def check(self, peer: str, method: str) -> None:
        """Raise PeerNotAllowed unless a pattern of this peer matches."""
        if not self._allows(peer, method):
            raise PeerNotAllowed(f"{peer} may not call {method}", peer=peer, method=method)

    def _allows(self, peer: str, method: str) -> bool:
        if self._peers is None:
            return True
        allowed = self._decided.get((peer, method))
        if allowed is None:
            allowed = matches(method, self._peers.get(peer, ()))
            if peer in self._peers:  # bounded: unknown names cannot fill the memory
                self._decided[peer, method] = allowed
        return allowed


def matches(method: str, patterns: Sequence[str]) -> bool:
    """Whether the full method name fits one of the patterns."""
    return any(fnmatchcase(method, pattern) for pattern in patterns)
