"""What a store has counted, read as any gateway is told it: nothing is asked for, nothing is charged."""

from collections.abc import Mapping, Sequence

from gateway_runtime.contract.tenant import Tenant
from gateway_runtime.engine.lease import LeasedLimit
from gateway_runtime.engine.lease_call import LeaseCall, ScopeAnswer, ScopeAsk, find_shape
from gateway_runtime.stores.store import LimitStore
from headgate.verify.turnstile import Turnstile

_READER = "verify-limits"
_TERM_MS = 1000


async def read_standings(
    store: LimitStore, turnstile: Turnstile, tenants: Sequence[Tenant]
) -> Mapping[str, ScopeAnswer]:
    """By tenant and limit, as `scenario.Shared.key`. turnstile: one that need not run; it knows how limits
    are called. Raises StoreAway.
    """
    found: dict[str, ScopeAnswer] = {}
    for tenant in tenants:
        leased = [limit for limit in turnstile.limits_of(tenant) if isinstance(limit, LeasedLimit)]
        limits = [limit for limit in leased if limit.root == tenant.id]  # its parent's are that one's
        scopes = tuple(_build_ask(limit) for limit in limits)
        root = tenant.id
        epoch = 0
        while True:  # the first answer tells the epoch
            (answer,) = await store.exchange([(root, _build_call(epoch, scopes))])
            if answer.asserted:
                break
            epoch = answer.epoch
        for limit, standing in zip(limits, answer.scopes, strict=True):
            found[f"{limit.owner}/{limit.name}"] = standing
    return found


def _build_ask(limit: LeasedLimit) -> ScopeAsk:
    is_concurrency = limit.resource == "Concurrency"
    shape = find_shape(limit.window_s, concurrency=is_concurrency, calendar=False)
    return ScopeAsk(
        limit.key, limit.amount, *shape[:2], (), is_concurrency, False, 1, 0, (), 0, 0, 0, 0, ()
    )  # fmt: skip


def _build_call(epoch: int, scopes: tuple[ScopeAsk, ...]) -> LeaseCall:
    return LeaseCall(_READER, 1, _TERM_MS, -1, "", epoch, 1, 0, 0, (), scopes)
