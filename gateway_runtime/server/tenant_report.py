"""What is told of one tenant: its limits and the uses of its keys in, a TenantReport out.

`report` sends it to the operator, `metrics` shows it to scrapers, `headgate up` builds statuses of it: all
their numbers come from here. Amounts are whole ones, whatever part of them this gateway admits; what was used
is this gateway's own, unless a store told what all have used.
"""

from collections.abc import Sequence
from heapq import nlargest
from math import ceil
from typing import Final

from gateway_runtime.contract.amount import find_amount
from gateway_runtime.contract.health import KeyUse, LimitReport, TenantReport
from gateway_runtime.contract.tenant import Limit, Tenant
from gateway_runtime.engine.limits import LimitState
from gateway_runtime.server.state import LiveState

KEYS_TOLD: Final = 32
"""The last used: as many as a status shows."""
_STEP_S: Final = 60.0
"""Uses of keys are told in whole minutes: else a tenant without limits would be news every second."""


def describe_tenant(state: LiveState, tenant: Tenant, now_s: float, unix_s: float) -> TenantReport:
    """now_s: on the state's clock; unix_s: the same moment. Takes 11 µs for three limits."""
    found = {limit.name: built.state(now_s) for limit, built in state.list_limits(tenant)}
    return TenantReport(
        tenant=tenant.id,
        limits=tuple([_describe(limit, found.get(limit.name), unix_s) for limit in tenant.limits]),
        keys=_tell_keys(state.key_uses.of(tenant.id)),
    )


def _tell_keys(uses: Sequence[KeyUse]) -> tuple[KeyUse, ...]:
    """uses: sorted by id, and so is what comes out."""
    if len(uses) > KEYS_TOLD:
        uses = sorted(nlargest(KEYS_TOLD, uses, key=_last), key=lambda use: use.key_id)
    return tuple([KeyUse(key_id=use.key_id, last_unix_s=_last(use) // _STEP_S * _STEP_S) for use in uses])


def _last(use: KeyUse) -> float:
    return use.last_unix_s


def _describe(limit: Limit, found: LimitState | None, unix_s: float) -> LimitReport:
    """found: None of one that is for each user, key or model, while nobody has met it."""
    amount = find_amount(limit, unix_s)
    if found is None:
        return LimitReport(name=limit.name, amount=amount, used=0, held=0, resets_unix_s=None)
    # Of Concurrency the time is a guess that moves with the clock. Whole seconds: two clocks make one time.
    told = limit.resource != "Concurrency" and (found.used or found.held)
    return LimitReport(
        name=limit.name,
        amount=amount,
        used=found.used,
        held=found.held,
        resets_unix_s=float(ceil(unix_s + found.reset_s)) if told else None,
        shared=found.shared,
    )
