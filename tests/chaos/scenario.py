"""One scenario: a seed in; who asks what, how the caller behaves and what the provider does wrong, out.

The same seed gives the same scenario, in any batch. What the network's timing adds is not drawn here.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

Kind = Literal["chat", "stream", "embeddings"]
Way = Literal["hot", "chunked", "odd header"]
"""Of the request: as SDKs send it, or as only the slow way into the gateway takes it."""


class Caller(Enum):
    PATIENT = "patient"
    LEAVES = "leaves at a moment"
    SLOW = "reads slowly"
    SILENT = "stays, but never reads"
    HALF_CLOSES = "closes its half behind the request"
    DRIBBLES = "sends its body in dribbles"
    STOPS = "stops in the middle of its body"


class Fault(Enum):
    NONE = "none"
    REFUSE = "nobody listens"
    ACCEPT_AND_CLOSE = "accepts and closes"
    GREET = "talks before it is asked"
    CUT = "cut after some bytes"
    RESET = "reset after some bytes"
    STALL = "stalls after some bytes"
    TRICKLE = "a byte at a time"
    GARBAGE = "garbage"
    GARBAGE_BODY = "garbage after a good head"
    EARLY = "answers before the request is whole"
    EARLY_CLOSE = "answers and closes before the request is whole"
    CONTINUE = "one or more 100 Continue first"
    CONTINUE_STORM = "100 Continue without end"
    KEEPALIVE_RACE = "closes a kept connection as the request arrives"
    SHORT_LENGTH = "a content-length too short"
    LONG_LENGTH = "a content-length too long"
    ENDLESS_BODY = "a body without end"
    ENDLESS_HEAD = "a head without end"
    NO_CONTENT = "204 with a body"
    STATUS = "a refusal"
    ERROR_INSIDE = "an error within a 200"
    NO_END = "all of the answer but no end of it"
    DATA_AFTER_END = "data after the end"


class Layout(Enum):
    SINGLE = "one endpoint"
    ENDPOINTS = "two endpoints, the second good"
    PRIORITIES = "two priorities, the second good"
    FALLBACK = "a good fallback model"
    HEDGE = "two endpoints and a hedge"


ALL_CALLERS: Final = tuple(Caller)
_CALLER_WEIGHTS: Final = (8, 3, 2, 1, 1, 2, 1)
_STATUSES: Final = (401, 429, 500, 503)
_RETRY_AFTERS: Final = (None, "0", "1", "3600", "soon")


@dataclass(frozen=True, slots=True)
class Scenario:
    seed: int
    kind: Kind
    way: Way
    body_bytes: int
    """Of padding in the request."""
    answer_bytes: int
    """Of text in the good answer."""
    chunked_answer: bool
    pipelined: bool
    """A second request, for something good, comes right behind the first."""
    caller: Caller
    moment: float
    """0 to 1: when it leaves, or how much of its body it sends."""
    fault: Fault
    position: float
    """0 to 1: where in the answer it happens."""
    status: int
    retry_after: str | None
    layout: Layout
    bounds_attempts: bool
    """Each attempt has a deadline, and not the whole."""

    @property
    def model(self) -> str:
        return f"m-{self.seed}"

    @property
    def has_second(self) -> bool:
        return self.layout is not Layout.SINGLE

    def text(self, leg: str) -> str:
        """What the provider says on that leg; nobody else says it."""
        mark = f"{self.seed}-{leg}-"
        return mark + "x" * max(0, self.answer_bytes - len(mark))


def draw(
    seed: int,
    *,
    faults: Sequence[Fault] = tuple(Fault),
    callers: Sequence[Caller] | None = None,
    layouts: Sequence[Layout] = tuple(Layout),
) -> Scenario:
    """callers: None draws all, the patient one most."""
    chance = random.Random(seed)
    kind: Kind = chance.choice(("chat", "stream", "stream", "embeddings"))
    way: Way = chance.choice(("hot", "hot", "chunked", "odd header"))
    body_bytes = chance.choice((0, 0, 900, 20_000, 300_000))
    answer_bytes = chance.choice((30, 30, 400, 5_000, 200_000))
    chunked_answer = chance.random() < 0.5
    pipelined = chance.random() < 0.25
    weights = _CALLER_WEIGHTS if callers is None else None
    caller = chance.choices(callers or ALL_CALLERS, weights)[0]
    if caller is Caller.SILENT:
        answer_bytes = 3_000_000  # more than the kernel keeps for a socket
    return Scenario(
        seed=seed,
        kind=kind,
        way=way,
        body_bytes=body_bytes,
        answer_bytes=answer_bytes,
        chunked_answer=chunked_answer,
        pipelined=pipelined and caller in (Caller.PATIENT, Caller.LEAVES, Caller.SLOW),
        caller=caller,
        moment=chance.random(),
        fault=chance.choice(faults),
        position=chance.choice((0.0, chance.random() ** 3, chance.random(), 1.0)),
        status=chance.choice(_STATUSES),
        retry_after=chance.choice(_RETRY_AFTERS),
        layout=chance.choice(layouts),
        bounds_attempts=chance.random() < 0.3,
    )
