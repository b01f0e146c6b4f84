"""What a store is to the gateways that share it: a LimitStore, and how it fails."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from gateway_runtime.engine.lease_call import LeaseAnswer, LeaseCall


class StoreAway(Exception):
    """It cannot be reached, or does not answer in time; the message is one clause. What was sent may have
    been counted or not.
    """


class WrongStore(Exception):
    """What was configured cannot be a store: the message says what to change."""


class Recovery(NamedTuple):
    root: str
    epoch: int


class Beat(NamedTuple):
    """What gateways know of each other."""

    peers: tuple[str, ...]
    """Those that beat within `RECOVERY_MS`, the one that asks included, and those that have left: a store
    that forgets has forgotten what they spent.
    """
    alive: tuple[str, ...]
    """Of these, those that beat within three seconds and did not leave."""
    was_known: bool
    """The store knew the one that asks. Else this is its first beat, or the store has lost its memory."""
    recoveries: tuple[Recovery, ...]
    """Roots in which all gateways have to assert."""
    memory: str
    """Another one than before: the store has forgotten, or another process answers, which may know less."""
    memory_age_s: float
    """Since its first beat."""


class LimitStore(Protocol):
    async def exchange(self, calls: Sequence[tuple[str, LeaseCall]]) -> Sequence[LeaseAnswer]:
        """calls: each with its root. Each is one step. Raises StoreAway."""

    async def beat(self, gateway: str, recoveries: Sequence[Recovery]) -> Beat:
        """recoveries: roots in which this gateway waits for the others. Raises StoreAway."""

    async def leave(self, gateway: str) -> None:
        """It is not alive any more, and what it had to say is counted. Raises StoreAway."""

    async def close(self) -> None: ...
