"""What requests at one gateway need of one limit: how much to ask the store for, and when not to ask again.

    charged, press --> take_wish --> (the store) --> note_answer --> may_ask, find_wait

`lease` tells it what is charged, who waits and what was granted. Amounts are in the store's unit; `now_s` is
an argument.

Rules. Who waits longest needs something, and without that the store need not grant anything. What the others
need, and a little in advance of what is used all the time, is only of use. What is at hand beyond that goes
back, so that other gateways have it.

The one subtle rule: who was granted something keeps it for a moment. A request that is short of several
limits may have to ask for one after the other, and what it has of the first must not go back meanwhile.
"""

from math import ceil, inf
from typing import Final, NamedTuple

AHEAD_S: Final = 0.3
"""So much of its own use a gateway holds in advance: three beats of the desk."""
REFUSED_S: Final = 0.1
"""After a refusal a gateway refuses by itself for so long: a storm of refused requests costs the store
nothing.
"""
_RATE_SHARE: Final = 0.3
"""Of the newest beat in the average of what is used. A guess: a burst is followed within half a second."""


class Wish(NamedTuple):
    """As ScopeAsk has them."""

    keep: int
    need: int
    want: int


class Demand:
    __slots__ = (
        "_keep_until_s",
        "_pressing",
        "_rate",
        "_rated_s",
        "_refused_need",
        "_refused_until_s",
        "_wait_until_s",
        "charged",
    )

    def __init__(self) -> None:
        self.charged = 0
        """Since the rate was found. `lease` adds to it, for each request."""
        self._rate = 0.0
        """A second."""
        self._rated_s = -inf
        self._pressing = 0
        """What those need who wait."""
        self._keep_until_s = -inf
        self._refused_until_s = self._wait_until_s = -inf
        self._refused_need = 0

    @property
    def is_any(self) -> bool:
        """Something is used, or waited for."""
        return bool(self._pressing or self._rate)

    def press(self, need: int) -> None:
        """Somebody waits for so much: all who do, since the last wish."""
        self._pressing += need

    def note_rate(self, now_s: float) -> None:
        """Of what was charged since the last beat."""
        passed_s = now_s - self._rated_s
        if passed_s < AHEAD_S / 4:
            return
        self._rate += _RATE_SHARE * (self.charged / min(passed_s, 1.0) - self._rate)
        if self._rate * AHEAD_S < 0.05:
            self._rate = 0.0
        self.charged = 0
        self._rated_s = now_s

    def take_wish(
        self, now_s: float, balance: int, first: int, *, in_advance: bool, gives_back: bool
    ) -> Wish:
        """What those need who pressed is in this one, and in no later one. balance: at hand. first: what the
        one needs who waits longest; 0: nobody waits. in_advance: something may be held for what comes.
        gives_back: all that is at hand, and then nothing is held in advance either.
        """
        spare = ceil(self._rate * AHEAD_S) if in_advance and not gives_back else 0
        if gives_back:
            keep = 0
        elif first or now_s < self._keep_until_s:
            keep = balance
        else:
            keep = min(balance, spare)
        need = max(0, first - keep)
        want = 0
        if first or self._pressing:
            want = max(need, self._pressing + spare - keep)
            self._pressing = 0
        elif keep < spare:
            want = spare - keep  # the call is made anyway, for what was spent
        return Wish(keep, need, want)

    def note_answer(self, granted: int, need: int, balance: int, wait_ms: int, now_s: float) -> None:
        """need: as the call had it. balance: with the grant. wait_ms: until `need` may be granted."""
        if granted:
            self._keep_until_s = now_s + AHEAD_S
        if granted < need:
            self._refused_until_s = now_s + REFUSED_S
            self._refused_need = need + balance
            self._wait_until_s = now_s + wait_ms / 1000
        elif granted:
            self._refused_until_s = -inf

    def may_ask(self, now_s: float, need: int) -> bool:
        """Unless the store has just refused as little."""
        return now_s >= self._refused_until_s or need < self._refused_need

    def find_wait(self, now_s: float) -> float:
        """Seconds until the store may have room, as it told when it refused."""
        return max(self._wait_until_s - now_s, REFUSED_S)
