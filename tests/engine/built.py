"""Limits as `LocalMaker` makes and keeps them, on a clock that stands still."""

from collections.abc import Sequence

from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.stream import Share
from gateway_runtime.contract.tenant import Limit, Tenant
from gateway_runtime.engine.book import LimitIdentity, LimitKind
from gateway_runtime.engine.limits import RollingLimit
from gateway_runtime.engine.local_limits import LocalMaker


def tenant_of(*limits: Limit, name: str = "team/a", parent: str | None = None, **more: object) -> Tenant:
    tenant = Tenant(
        id=TenantId(name),
        uid="u",
        generation=1,
        namespace=name.partition("/")[0],
        keys=(),
        anonymous=False,
        models=None,
        limits=limits,
        parent=None if parent is None else TenantId(parent),
    )
    for field, value in more.items():
        object.__setattr__(tenant, field, value)
    return tenant


def build_limits(
    wanted: Sequence[Limit], before: Sequence[RollingLimit], share: Share
) -> tuple[RollingLimit, ...]:
    """before: those that there were; they go on under the same name and resource."""
    maker = LocalMaker(lambda: 0.0, lambda: 0.0, share)
    owner = tenant_of(*wanted)
    kept = {(limit.name, limit.resource): limit for limit in before}
    built = []
    for limit in wanted:
        known = kept.get((limit.name, limit.resource))
        if known is None:
            known = maker.build(
                owner, limit, LimitIdentity(LimitKind(owner.id, limit.name, limit.resource, limit.scope), "")
            )
        else:
            maker.update(known, owner, limit)
        built.append(known)
    return tuple(built)
