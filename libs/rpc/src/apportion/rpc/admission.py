"""The questions asked of a call before any work: who, for which label, until when."""

from __future__ import annotations

import time
from typing import Any, TypeAlias

import grpc

from apportion.errors import DeadlineExceeded, DeadlineRequired, LabelRequired
from apportion.rpc.caller import Caller
from apportion.rpc.peers import ANONYMOUS, AllowList

LEAST_SECONDS = 0.005
LABEL_KEY = "x-label"
PEER_KEY = "x-peer"
TRACE_KEY = "traceparent"
LABELS = range(2**63)

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Admission:
    """Turns the metadata of a call into a Caller, or refuses it."""

    def __init__(self, allow_list: AllowList, *, most_seconds: float, trust_metadata_peer: bool) -> None:
        self._allow_list = allow_list
        self._most_seconds = most_seconds
        self._trust_metadata_peer = trust_metadata_peer

    def admit(self, method: str, context: Context) -> Caller:
        """Raises PeerNotAllowed, LabelRequired, DeadlineRequired, or DeadlineExceeded when too little time is left."""
        label = peer = traceparent = ""
        labels = 0
        for key, value in context.invocation_metadata() or ():
            if key == LABEL_KEY:
                label = str(value)
                labels += 1
            elif key == TRACE_KEY:
                traceparent = str(value)
            elif key == PEER_KEY:
                peer = str(value)
        if not (self._trust_metadata_peer and peer):
            peer = self.peer_of(context)
        self._allow_list.check(peer, method)
        if labels != 1:
            raise LabelRequired
        remaining = context.time_remaining()
        if remaining is None:
            raise DeadlineRequired
        if remaining <= LEAST_SECONDS:
            raise DeadlineExceeded("too little time was left on arrival")
        is_cut = remaining > self._most_seconds
        deadline = time.monotonic() + (self._most_seconds if is_cut else remaining)
        return Caller(peer, _label(label), method, deadline, is_cut, traceparent)

    def check_peer(self, method: str, context: Context) -> None:
        """Only the allow list: for services about the server itself, which know no labels."""
        self._allow_list.check(self.peer_of(context), method)

    def peer_of(self, context: Context) -> str:
        """The name proven by the caller's certificate."""
        identities = context.peer_identities()
        if identities is None:
            return ANONYMOUS
        return self._allow_list.name_of(tuple(identities))


def _label(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) in LABELS):
        raise LabelRequired
    return int(text)
