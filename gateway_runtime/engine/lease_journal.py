"""What one gateway has charged to one limit and given back, by the store's buckets: a Journal, so that a
store that has lost its memory can be told again, exactly once.

    a batch was counted --note_counted--> its bucket --take_uncounted--> a store that has forgotten
    a batch of which nobody knows --doubt--> doubtful ---note_doubtful--> a bucket
    settled after it was counted --note_refund--> refunds --take_refunds--> the next call, and off its bucket

`lease` writes it with each answer, and reads it when it asserts.

Rules. What was charged stands in one place only: in a batch on its way, in `doubtful` or in a bucket. What is
doubtful the store has counted without saying where, with the lease of its generation. So it goes to the
bucket of the next answer, which is not earlier, or is told with an assertion.
Refunds are taken from their bucket when they are told, not when the answer comes, and are never told again.
One that the store has not heard leaves too much charged there, and never too little.

The subtle rule: a store may have forgotten only a part. It says which of our calls is the last that it
remembers, and is told what later ones have counted: `_recent` knows, as far back as it goes. Otherwise it is
told all.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from gateway_runtime.engine.lease_batch import Batch
from gateway_runtime.engine.lease_call import LARGEST, RECOVERY_MS


class _Entry(NamedTuple):
    sequence: int
    """Of the call that told it."""
    at_s: float
    """When its answer came."""
    bucket: int
    amount: int
    """Negative: a refund."""


class Journal:
    """Amounts are in the store's unit."""

    __slots__ = ("_amounts", "_oldest", "_recent", "_recent_after", "_refunds", "_told_refunds", "doubtful")

    def __init__(self) -> None:
        self._amounts: dict[int, int] = {}
        """Charged and not given back, by bucket, as long as it counts."""
        self._recent: deque[_Entry] = deque()
        """How that came about, in the last `RECOVERY_MS`."""
        self._recent_after = 0
        """The last call that is not in there."""
        self._refunds: dict[int, int] = {}
        """Not told yet, by bucket."""
        self._told_refunds: dict[int, int] = {}
        """With the call under way, by bucket."""
        self._oldest = 0
        """Buckets before it count no more."""
        self.doubtful = 0
        """Charged by a generation that is over, and in no bucket yet."""

    @property
    def has_refunds(self) -> bool:
        """That are to be told."""
        return bool(self._refunds)

    # What becomes of charges.

    def doubt(self, amount: int) -> None:
        """It was charged, and nobody knows in which bucket."""
        self.doubtful += amount

    def note_counted(self, batches: Iterable[Batch], bucket: int, sequence: int, now_s: float) -> None:
        """The store has counted them in this bucket. sequence: of the call."""
        for batch in batches:
            batch.bucket = bucket
            self._charge(bucket, batch.amount, sequence, now_s)
            if batch.refund:
                self.note_refund(bucket, batch.refund)

    def note_doubtful(self, bucket: int, sequence: int, now_s: float) -> None:
        """The store has counted all that was doubtful, in this bucket or before it."""
        self._charge(bucket, self.doubtful, sequence, now_s)
        self.doubtful = 0

    def note_refund(self, bucket: int, amount: int) -> None:
        if bucket >= self._oldest:
            self._refunds[bucket] = self._refunds.get(bucket, 0) + amount

    def take_refunds(self) -> tuple[int, ...]:
        """To be told with this call, as `ScopeAsk.refunds` has them."""
        refunds, self._refunds = self._refunds, {}
        told: list[int] = []
        for bucket, amount in sorted(refunds.items()):
            if bucket >= self._oldest and amount:
                told += (bucket, amount)
                self._amounts[bucket] = self._amounts.get(bucket, 0) - amount
                self._told_refunds[bucket] = amount
        return tuple(told)

    # What becomes of calls.

    def note_answer(self, oldest: int, sequence: int, now_s: float) -> None:
        """Before the charges of the call are noted. oldest: buckets before it count no more."""
        self._oldest = oldest
        self._forget_recent(now_s)
        for bucket, amount in self._told_refunds.items():
            self._recent.append(_Entry(sequence, now_s, bucket, -amount))
        self._told_refunds.clear()
        for bucket in [bucket for bucket in self._amounts if bucket < oldest]:
            del self._amounts[bucket]

    def note_failure(self) -> None:
        """No answer came. The refunds it told may have been counted: see the module."""
        self._told_refunds.clear()

    def forget_buckets(self) -> None:
        """An edit: buckets of another width, or of another calendar, mean nothing to the store, which counts
        on with all that was used. So what is running stays charged as a whole.
        """
        self.doubtful += sum(self._amounts.values())
        self._amounts, self._refunds, self._oldest = {}, {}, 0
        self._recent.clear()
        self._recent_after = LARGEST

    # What a store that has forgotten is told.

    def take_uncounted(self, counted: int) -> tuple[int, ...]:
        """As `ScopeAsk.journal` has it. counted: the last of our calls that the store remembers; 0: none.
        Too much where it lags by minutes, or where refunds wait while it has forgotten a part.
        """
        self.take_refunds()  # from their buckets; nothing else is told of them
        self._told_refunds.clear()
        amounts = self._amounts
        if counted > 0 and counted >= self._recent_after:
            amounts = {}
            for sequence, _, bucket, amount in self._recent:
                if sequence > counted:
                    amounts[bucket] = amounts.get(bucket, 0) + amount
        return tuple(part for entry in sorted(amounts.items()) if entry[1] > 0 for part in entry)

    def _charge(self, bucket: int, amount: int, sequence: int, now_s: float) -> None:
        if amount:
            self._amounts[bucket] = self._amounts.get(bucket, 0) + amount
            self._recent.append(_Entry(sequence, now_s, bucket, amount))

    def _forget_recent(self, now_s: float) -> None:
        recent = self._recent
        while recent and recent[0].at_s < now_s - RECOVERY_MS / 1000:
            self._recent_after = recent.popleft().sequence

    def __repr__(self) -> str:
        charged = sum(self._amounts.values())
        return f"<Journal: {charged} in {len(self._amounts)} buckets, {self.doubtful} doubtful>"
