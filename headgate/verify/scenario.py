"""What is shared in a storm: tenants with limits of every resource, in windows of seconds; and what each
request is charged to.

A tenant of its own, a parent with two children, one that is refused while the store is away. The amounts are
small, so that all of them are reached in every window; one limit of an hour is never reached, and is there to
be added up.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.tenant import Limit, LimitResource, Tenant
from gateway_runtime.engine.amounts import PLACES
from gateway_runtime.engine.lease_call import PICOS_PER_UNIT

SUMMED: Final = "tokens-per-hour"
"""The limit that is never reached."""
_PLENTY: Final = 10**12


class Shared(NamedTuple):
    tenant: str
    name: str
    resource: LimitResource
    amount: int
    window_s: float

    @property
    def key(self) -> str:
        return f"{self.tenant}/{self.name}"

    @property
    def place(self) -> int:
        """See `engine.amounts`."""
        return PLACES[self.resource]


SHARED: Final = (
    Shared("alone", "requests", "Requests", 120, 2.0),
    Shared("alone", "tokens", "TotalTokens", 100_000, 3.0),
    Shared("alone", "spend", "USD", 60_000_000 * PICOS_PER_UNIT, 1.0),
    Shared("alone", "at-once", "Concurrency", 20, 0.0),
    Shared("alone", SUMMED, "TotalTokens", _PLENTY, 3600.0),
    Shared("parent", "requests", "Requests", 150, 2.0),
    Shared("parent", "at-once", "Concurrency", 24, 0.0),
    Shared("parent", SUMMED, "TotalTokens", _PLENTY, 3600.0),
    Shared("child-a", "requests", "Requests", 100, 1.0),
    Shared("child-a", "input", "InputTokens", 60_000, 2.0),
    Shared("child-b", "output", "OutputTokens", 60_000, 2.0),
    Shared("strict", "requests", "Requests", 60, 1.0),
    Shared("strict", SUMMED, "TotalTokens", _PLENTY, 3600.0),
)
EDITABLE: Final = tuple(shared for shared in SHARED if shared.name != SUMMED)
CALLERS: Final = ("alone", "child-a", "child-b", "strict")
"""Tenants that ask. The parent's limits are met through its children."""
_PARENTS: Final = {"child-a": "parent", "child-b": "parent"}
ROOTS: Final = tuple(dict.fromkeys(shared.tenant for shared in SHARED))
"""Of the store: each tenant is one."""


def list_charged(caller: str) -> list[Shared]:
    """All that a request of that tenant is charged to."""
    return [shared for shared in SHARED if shared.tenant in (caller, _PARENTS.get(caller))]


def build_tenants(amounts: Mapping[str, int]) -> dict[str, Tenant]:
    """amounts: by the limit's key, where they are not those of the start."""
    names = dict.fromkeys(shared.tenant for shared in SHARED)
    return {name: _build_tenant(name, amounts) for name in names}


def _build_tenant(name: str, amounts: Mapping[str, int]) -> Tenant:
    parent = _PARENTS.get(name)
    return Tenant(
        id=TenantId(name),
        uid=name,
        generation=1,
        namespace="verify",
        keys=(),
        anonymous=False,
        models=None,
        limits=tuple(
            Limit(
                name=shared.name,
                amount=amounts.get(shared.key, shared.amount),
                window_s=shared.window_s,
                resource=shared.resource,
            )
            for shared in SHARED
            if shared.tenant == name
        ),
        parent=None if parent is None else TenantId(parent),
        deny_without_store=name == "strict",
    )
