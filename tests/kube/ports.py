"""Ports of 127.0.0.1 that stay ours, also while nobody listens on them.

Asking for a free port and closing it again loses races: the API server needs a second before it listens, and
the hundred connections that it opens to etcd meanwhile take their own ends from the same range. So the socket
stays open, bound with SO_REUSEPORT but never listening: the kernel gives the port to nobody else, a server
that sets SO_REUSEPORT too can listen on it, and while none does, connections are refused. Called by `Cluster`
and the proxies.
"""

from __future__ import annotations

import socket

HOST = "127.0.0.1"


class ReservedPort:
    """One port, from construction to `close`."""

    def __init__(self) -> None:
        self._holder = _bound_socket(0)
        self.number: int = self._holder.getsockname()[1]

    def __repr__(self) -> str:
        return f"<ReservedPort {self.number}>"

    def socket(self) -> socket.socket:
        """A new socket bound to this port, for a server in this process to listen on and to close."""
        return _bound_socket(self.number)

    def close(self) -> None:
        self._holder.close()


def _bound_socket(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Not SO_REUSEADDR: with it, the kernel could hand out one port twice for port 0.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((HOST, port))
    except OSError:
        bound.close()
        raise
    return bound
