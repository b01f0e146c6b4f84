"""The other end of a request's connection, as far as it says who calls. `server` brings it."""

from typing import Protocol


class Peer(Protocol):
    @property
    def address(self) -> str | None:
        """That of the TCP connection, whatever any header says. None: the connection has none."""

    def find_header(self, name: str, /) -> str | None:
        """Of the request under way. name: lower case. None also where it was sent twice: what stands in front
        of us may have looked at the other one.
        """
