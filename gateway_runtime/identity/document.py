"""What an issuer publishes, as HTTP brought it: `server` brings the Fetch, `discovery` asks it."""

import re
from typing import Final, NamedTuple, Protocol

LIMIT_BYTES: Final = 1024 * 1024
"""A hundred times what the largest issuers have."""

DEFAULT_LIFE_S: Final = 600.0
LEAST_LIFE_S: Final = 60.0
MOST_LIFE_S: Final = 3600.0
"""Some issuers say a day, and a key that was withdrawn has to be found withdrawn before that."""

_MAX_AGE: Final = re.compile(r"(?:^|[\s,])max-age=(\d{1,10})(?:$|[\s,])", re.IGNORECASE)


class Document(NamedTuple):
    body: bytes
    cache_control: str = ""
    """The header; empty where there was none."""

    @property
    def life_s(self) -> float:
        """How long it is good, as its server says, within bounds."""
        told = _MAX_AGE.search(self.cache_control)
        return DEFAULT_LIFE_S if told is None else min(max(float(told[1]), LEAST_LIFE_S), MOST_LIFE_S)


class Unfetched(Exception):
    """`reason` is one clause, for the log: it quotes no server."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Fetch(Protocol):
    async def __call__(self, url: str, limit_bytes: int, /) -> Document:
        """Raises Unfetched. The asker has a deadline of its own."""
