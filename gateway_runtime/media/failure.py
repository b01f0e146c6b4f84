"""Why one URL was not fetched, in a clause: `fetcher` adds the place in the caller's request."""


class Unfetchable(Exception):
    """`reason` is one clause, for the caller: it names no address, and quotes no server."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
