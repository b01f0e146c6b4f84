"""The config stream's messages: JSON text frames of one WebSocket, dialled by the gateway.

    gateway -> operator   Hello, then Ack or Nack for each version, HealthReport
    operator -> gateway   Delta (one version in one or more parts), Share

Rules. A gateway applies a version only when all its parts have come, the digest matches and `judge_offer`
finds nothing against it. Versions only grow. `Ack` and `Nack` name the version they answer; the operator
ignores answers to versions it has replaced.
"""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from gateway_runtime.contract.health import HealthReport
from gateway_runtime.contract.ids import GatewayId


class Version(msgspec.Struct, frozen=True, order=True):
    """Ordered first by epoch (one leader's term), then by sequence (a count within it)."""

    epoch: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.sequence}"


class Counts(msgspec.Struct, frozen=True):
    """How many resources of each kind a table holds."""

    providers: int
    routes: int
    tenants: int


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="Hello"):
    gateway: GatewayId
    software: str
    """The gateway's version of Headgate."""
    schema_version: int
    version: Version | None
    """What it runs; None before its first table."""
    bucket_digests: tuple[str, ...]
    """Of the table it runs; empty before its first."""


class Delta(msgspec.Struct, frozen=True, kw_only=True, tag="Delta"):
    version: Version
    digest: str
    """Of the whole table after this version."""
    counts: Counts
    shrink_confirmed: bool
    """The operator has listed everything anew and means it: a table that lost many objects is to be applied.
    """
    part: int
    parts: int
    buckets: Mapping[int, msgspec.Raw]
    """Bucket index to bucket payload; changed buckets only."""


class Share(msgspec.Struct, frozen=True, kw_only=True, tag="Share"):
    """Which part of each limit this gateway may spend: see `engine.limits.share_of`."""

    index: int
    """From 0 to `gateways` - 1, a different one for each gateway."""
    gateways: int


class Ack(msgspec.Struct, frozen=True, kw_only=True, tag="Ack"):
    version: Version
    digest: str


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    resource: str
    """A `resource_key`, or empty when the version as a whole is at fault."""
    message: str


class Nack(msgspec.Struct, frozen=True, kw_only=True, tag="Nack"):
    version: Version
    faults: tuple[Fault, ...]


Downward: TypeAlias = Delta | Share
Upward: TypeAlias = Hello | Ack | Nack | HealthReport


class MalformedMessage(ValueError):
    """A frame that is none of the messages above: the sender's fault; the connection is closed."""


def encode_message(message: Downward | Upward) -> bytes:
    return _encoder.encode(message)


def parse_downward(frame: bytes | str) -> Downward:
    try:
        return _downward.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MalformedMessage(f"not a message of the config stream: {error}") from error


def parse_upward(frame: bytes | str) -> Upward:
    try:
        return _upward.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MalformedMessage(f"not a message of the config stream: {error}") from error


def judge_offer(
    running: tuple[Version, Counts] | None, offered: Version, counts: Counts, *, shrink_confirmed: bool
) -> str | None:
    """Why a gateway must refuse the offered version, in one sentence; None when nothing speaks against it.

    Never backwards, never a table that lost most of a kind unless the operator confirmed it (an operator that
    started with a half-filled cache must not stop the traffic of a whole cluster).
    """
    if running is None:
        return None
    version, before = running
    if offered <= version:
        return f"version {offered} is not newer than {version}, which is running"
    if shrink_confirmed:
        return None
    for kind in ("providers", "routes", "tenants"):
        had, has = getattr(before, kind), getattr(counts, kind)
        if is_sharp_loss(had, has):
            return (
                f"version {offered} has {has} {kind} where {had} are running, "
                "and the operator did not confirm the loss"
            )
    return None


def is_sharp_loss(had: int, has: int) -> bool:
    """All of a kind gone, or more than half of ten or more. The half is a guess; nobody deletes that much by
    small edits.
    """
    return (had > 0 and has == 0) or (had >= 10 and has * 2 < had)


_encoder = msgspec.json.Encoder()
_downward: msgspec.json.Decoder[Downward] = msgspec.json.Decoder(Downward)
_upward: msgspec.json.Decoder[Upward] = msgspec.json.Decoder(Upward)
