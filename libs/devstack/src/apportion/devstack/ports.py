"""Ports of servers that must be told theirs before they start."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A TCP port on the loopback that nobody listens on now.

    Another process may take it before the caller does, so whoever starts a server on it tries again with a new one.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
