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
        self._allowed: set[tuple[str, str]] = set()

    def name_of(self, identities: Sequence[bytes]) -> str:
        """The peer behind a certificate: its first name that is on the list, else its first name."""
        for identity in identities:
            name = self._names.get(identity)
            if name is not None:
                return name
        return identities[0].decode("utf-8", "replace") if identities else ANONYMOUS

    def check(self, peer: str, method: str) -> None:
        """Raise PeerNotAllowed unless a pattern of this peer matches."""
        if self._peers is None or (peer, method) in self._allowed:
            return
        if not matches(method, self._peers.get(peer, ())):
            raise PeerNotAllowed(f"{peer} may not call {method}", peer=peer, method=method)
        self._allowed.add((peer, method))


def matches(method: str, patterns: Sequence[str]) -> bool:
    """Whether the full method name fits one of the patterns."""
    return any(fnmatchcase(method, pattern) for pattern in patterns)
