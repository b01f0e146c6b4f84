"""What requests charge to one limit between two calls to the store: a Batch, and the Batches on their way.

    open --send--> sent --answer--> counted in a bucket
                     |'---unsend--> unsent: goes with the next call
                     '-----void---> charged as a whole, and nothing is given back

`lease` charges the open one and carries the others from call to answer. A hold keeps the batch in which it
was charged, and settles it there.

The one subtle rule: what becomes of a refund depends on how far its batch has come. See `LeasedLimit.settle`.
"""

from typing import Protocol


class Settling(Protocol):
    """Whose batch it is: a `lease.LeasedLimit`."""

    def settle(self, batch: "Batch", held: int, spent: int) -> None: ...


class Batch:
    """A `limits.Mark`. Amounts are in the store's unit."""

    __slots__ = ("_limit", "amount", "bucket", "is_void", "refund", "was_sent")

    def __init__(self, limit: Settling) -> None:
        self._limit = limit
        self.amount = 0
        self.refund = 0
        """Settled after the call was sent and before its answer came."""
        self.bucket: int | None = None
        """In which the store has counted it. None: that is not known."""
        self.was_sent = False
        self.is_void = False
        """Its generation is over: it is charged as a whole, and nothing is given back."""

    def settle(self, held: int, spent: int) -> None:
        """In the limit's unit, which knows it."""
        self._limit.settle(self, held, spent)


class Batches:
    """Those of one limit that the store has not counted yet, as far as is known."""

    __slots__ = ("_limit", "_sent", "_unsent", "open")

    def __init__(self, limit: Settling) -> None:
        self._limit = limit
        self.open = Batch(limit)
        """In which requests are charged now."""
        self._unsent: list[Batch] = []
        """Of a call that the store did not count, for it did not know us."""
        self._sent: list[Batch] = []
        """Of the call under way; never empty meanwhile."""

    @property
    def is_sent(self) -> bool:
        """A call is under way."""
        return bool(self._sent)

    @property
    def has_unsent(self) -> bool:
        return bool(self.open.amount or self._unsent)

    def send(self) -> int:
        """With a call: what was charged since the last."""
        self._sent, self._unsent, self.open = [*self._unsent, self.open], [], Batch(self._limit)
        for batch in self._sent:
            batch.was_sent = True
        return sum([batch.amount for batch in self._sent])

    def unsend(self) -> None:
        """The call was not counted."""
        for batch in self._sent:
            batch.was_sent = False
            batch.amount -= batch.refund
            batch.refund = 0
        self._unsent, self._sent = self._sent, []

    def take_sent(self) -> list[Batch]:
        """Those that the call carried, of which an answer came."""
        sent, self._sent = self._sent, []
        return sent

    def void_sent(self) -> int:
        """No answer came, or none that says where they were counted. Gives what they have charged."""
        return _void(self.take_sent())

    def void_unsent(self) -> int:
        """The generation is over before they were told. Gives what they have charged."""
        unsent, self._unsent, self.open = [*self._unsent, self.open], [], Batch(self._limit)
        return _void(unsent)


def _void(batches: list[Batch]) -> int:
    for batch in batches:
        batch.is_void = True
    return sum([batch.amount for batch in batches])
