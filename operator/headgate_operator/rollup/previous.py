"""The `.status` that an object has already, as far as rollup reads it.

In: what the API server gives, written by us, by another version of us, or by anybody. Out: `PreviousStatus`;
one that does not parse counts as none, and is then simply written anew.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

ConditionStatus: TypeAlias = Literal["True", "False", "Unknown"]


class PreviousCondition(msgspec.Struct, frozen=True, rename="camel"):
    type: str
    status: ConditionStatus
    observed_generation: int | None = None
    last_transition_time: str | None = None
    reason: str = ""
    message: str = ""


class PreviousEndpoint(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    health: str = "Unknown"
    circuit: str = "Unknown"
    message: str = ""
    latency_milliseconds: int | None = None
    observed_at: str | None = None


class PreviousLimit(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    name: str
    amount: int | str | None = None
    used: int | str | None = None
    held: int | str | None = None
    remaining: int | str | None = None
    utilization: int | None = None
    resets_at: str | None = None


class PreviousKey(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    id: str
    last_used: str | None = None


class PreviousStatus(msgspec.Struct, frozen=True, rename="camel"):
    observed_generation: int | None = None
    conditions: tuple[PreviousCondition, ...] = ()
    gateways: str | None = None
    endpoints: tuple[PreviousEndpoint, ...] = ()
    health: str | None = None
    circuit: str | None = None
    targets: str | None = None
    spend: str | None = None
    tightest: str | None = None
    limits: tuple[PreviousLimit, ...] = ()
    keys: tuple[PreviousKey, ...] = ()
    observed_at: str | None = None

    def condition(self, kind: str) -> PreviousCondition | None:
        return next((c for c in self.conditions if c.type == kind), None)

    def endpoint(self, name: str) -> PreviousEndpoint | None:
        return next((e for e in self.endpoints if e.name == name), None)

    def limit(self, name: str) -> PreviousLimit | None:
        return next((limit for limit in self.limits if limit.name == name), None)


_NOTHING = PreviousStatus()


def read_previous(raw: Mapping[str, object] | None) -> PreviousStatus:
    """Empty when there is none, or none that makes sense."""
    try:
        return msgspec.convert(raw, PreviousStatus) if raw is not None else _NOTHING
    except msgspec.ValidationError:
        return _NOTHING
