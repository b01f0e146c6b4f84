"""What gateways and the store that they share say to each other: a LeaseCall down, a LeaseAnswer back.

`lease` builds a ScopeAsk for each limit that has something to say, `server.lease_desk` puts those of one root
into one call, `lease_store` (Python) and `stores.lease.lua` (Redis) answer it in one atomic step. A root is a
tenant: what is asked for its limits is granted together, or not.

    gateway -> store   spent since the last call, refunds, what is kept, what is needed
    store -> gateway   the bucket in which it was counted, a grant, or when to ask again

Positional on the wire: arrays of whole numbers below 2^53, which is what Lua counts with. Money is therefore
nanodollars here; what is charged is rounded up.
"""

from enum import IntEnum
from typing import Final, NamedTuple

import msgspec

PICOS_PER_UNIT: Final = 1000
LARGEST: Final = 2**53 - 1
BUCKETS: Final = 256
"""In a window. What has left is seen a bucket late, so 1/256 of an amount is never used."""
RECOVERY_MS: Final = 120_000
"""The longest that a store without its memory waits for a gateway that does not come back."""


class Shape(NamedTuple):
    """How a limit counts."""

    window_ms: int
    """0 of Concurrency, and of a calendar."""
    width_ms: int
    """Of a bucket; 0 as above."""
    concurrency: bool = False


class ScopeAsk(msgspec.Struct, frozen=True, array_like=True):
    key: str
    """Of the limit, within its root."""
    amount: int
    window_ms: int
    width_ms: int
    periods: tuple[int, ...]
    """Of a calendar: start and end of this period and of the next, in Unix milliseconds. Else empty."""
    concurrency: bool
    shadow: bool
    generation: int
    spent: int
    """Charged since the last call: to be counted now."""
    refunds: tuple[int, ...]
    """Bucket, amount, bucket, amount …"""
    keep: int
    """Of what was granted before: the rest is given back."""
    need: int
    """Without so much more, somebody waits; 0: nobody does."""
    want: int
    """So much more would be of use: at least `need`."""
    held: int
    """For requests that are running: only to be told."""
    journal: tuple[int, ...]
    """Of a call that asserts: what this gateway has charged and the store has not counted, as `refunds`."""


class LeaseCall(msgspec.Struct, frozen=True, array_like=True):
    gateway: str
    gateways: int
    """How many share: a grant is at most a part of what is free."""
    term_ms: int
    estimate_ms: int
    """What the store's clock should say by ours, at least; -1 when it has never told us."""
    server: str
    """Which process answers, as whoever sends the call knows it: another one may remember less. Empty: it
    does not say.
    """
    epoch: int
    """Of the store's memory, as this gateway knows it; 0: not at all."""
    sequence: int
    """Of this gateway's calls for the root: 1 more than the last."""
    acknowledged: int
    """The last that was answered. A store that has not counted so far has lost a part of its memory."""
    asserts: int
    """0: no. 1: this call tells the store again what it has forgotten. 2: and it is the last of those."""
    peers: tuple[str, ...]
    """All gateways that were seen in the last `RECOVERY_MS`, this one included."""
    scopes: tuple[ScopeAsk, ...]
    uncertain_ms: int = 0
    """By so much more may it say: for as long was the answer under way from which we know it."""


class Verdict(IntEnum):
    COUNTED = 0
    LOST = 1
    """Its lease had ended, and has been charged as a whole: what it kept and spent since is in that."""


class ScopeAnswer(msgspec.Struct, frozen=True, array_like=True):
    verdict: int
    granted: int
    bucket: int
    oldest: int
    """Buckets before it count no more."""
    total: int
    """Counted for all gateways, with what running requests may cost."""
    leased: int
    """Granted to all gateways and not charged."""
    held: int
    """For running requests of all gateways, as far as they said so."""
    free: int
    """After this grant. Negative when the amount was lowered."""
    wait_ms: int
    """Until `need` may be granted; 0 when it was."""


class LeaseAnswer(msgspec.Struct, frozen=True, array_like=True):
    epoch: int
    now_ms: int
    """The store's clock."""
    asserted: bool
    """False: the store may have forgotten something. Nothing was done; assert first."""
    counted: int
    """The last of this gateway's calls that it remembers; 0: none."""
    recovering: bool
    """Others have not asserted yet, so that nothing is granted of one of these scopes."""
    scopes: tuple[ScopeAnswer, ...]
    """As the call has them."""


def find_shape(window_s: float, *, concurrency: bool, calendar: bool) -> Shape:
    if concurrency or calendar:
        return Shape(0, 0, concurrency)
    window_ms = int(window_s * 1000)
    return Shape(window_ms, max(1, window_ms // BUCKETS))


def encode_call(call: LeaseCall) -> bytes:
    return _encoder.encode(call)


def decode_call(data: bytes) -> LeaseCall:
    return _call_decoder.decode(data)


def encode_answer(answer: LeaseAnswer) -> bytes:
    return _encoder.encode(answer)


def decode_answer(data: bytes) -> LeaseAnswer:
    """Raises msgspec.MsgspecError: it is no answer of the script."""
    return _answer_decoder.decode(data)


_encoder = msgspec.msgpack.Encoder()
_call_decoder: msgspec.msgpack.Decoder[LeaseCall] = msgspec.msgpack.Decoder(LeaseCall)
_answer_decoder: msgspec.msgpack.Decoder[LeaseAnswer] = msgspec.msgpack.Decoder(LeaseAnswer, strict=False)
