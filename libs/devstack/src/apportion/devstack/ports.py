"""Ports of servers that must be told theirs before they start, and that keep them over a restart."""

from __future__ import annotations

import itertools
import os
import socket

# Below the range from which the kernel takes the ports of outgoing connections: there, one of those could sit on a
# server's port while the server is down.
FIRST_PORT = 20_000
PORT_COUNT = 12_000
PORTS_OF_A_PROCESS = 480

# Processes that start servers side by side (test workers) look for theirs in different places.
_offsets = itertools.count(os.getpid() * PORTS_OF_A_PROCESS)


def free_port() -> int:
    """A TCP port on the loopback that nobody listens on now and that this process has not been given before."""
    for offset in itertools.islice(_offsets, PORT_COUNT):
        port = FIRST_PORT + offset % PORT_COUNT
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no port is free")
