"""The front port while nobody listens on it: chosen and held by the parent, shared by the workers.

In: host and port as the settings have them. Out: bound sockets that are never listened on, so that the kernel
gives them no connection, and their port, the same for every address of the host.

The one subtle rule: first bound as if it were ours alone, and shared afterwards. Bound as shared from the
start, a second gateway on the same port would go unnoticed and get half of the callers.
"""

import socket


class HeldPort:
    def __init__(self, host: str, port: int) -> None:
        """port: 0 lets the system choose. Raises OSError for one that is taken."""
        self._sockets: list[socket.socket] = []
        self.port = port
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, kind, protocol, _, address in dict.fromkeys(found):
                self._hold(socket.socket(family, kind, protocol), address)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        for held in self._sockets:
            held.close()

    def _hold(self, held: socket.socket, address: tuple[object, ...]) -> None:
        self._sockets.append(held)
        host, _, *rest = address
        # As asyncio does for the workers' own sockets: old connections do not count, IPv6 is IPv6 only.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if held.family == socket.AF_INET6:
            held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            held.bind((host, self.port, *rest))
        except OSError as error:
            problem = f"cannot listen on {host}:{self.port}: {error.strerror}"
            raise OSError(error.errno, problem) from error
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.port = held.getsockname()[1]
