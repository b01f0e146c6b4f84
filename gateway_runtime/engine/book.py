"""All limits of all tenants, kept across reloads: the table's tenants in, the limits of one request out.

`server.state` configures it with each table and asks it for each request. A Maker says what a limit is made
of: `local_limits` counts at this gateway, `server.lease_desk` shares through a store.

    TenantQuota limit --scope--> one limit for all | one for each user, key or model that asks
    parent's limits ------------> the same objects for all of its children, charged in the same step

Everything is found by identity (tenant, name, resource, and for whom), so that an edit resets nothing.

The one subtle rule: whom a request acts for may be whatever the caller says. Limits of those that nothing
counts any more are forgotten; where more than `SCOPED_KEPT` still count, newcomers share one.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.tenant import Limit, LimitResource, LimitScope, Tenant
from gateway_runtime.engine.limits import TenantLimit

SCOPED_KEPT: Final = 20_000
"""Of all tenants together; each takes about a kilobyte. A guess."""
_CALLERS_KEPT: Final = 4096
OTHERS: Final = "\x00others"
"""No header and no JSON text of a sane caller has it."""


class LimitKind(NamedTuple):
    """What makes a limit of a quota the same across edits."""

    tenant: TenantId
    name: str
    resource: LimitResource
    scope: LimitScope


class LimitIdentity(NamedTuple):
    kind: LimitKind
    value: str
    """Of the scope: a user, a key's id, a model; empty for the tenant's own, and for nobody in particular."""

    @property
    def whose(self) -> str:
        """The same for all limits of one user, key or model; empty for the tenant's own."""
        return "" if self.kind.scope == "Tenant" else f"{self.kind.scope} {self.value}"


class Met(NamedTuple):
    """A limit as one caller meets it."""

    owner: Tenant
    """The tenant, or its parent."""
    limit: Limit
    built: TenantLimit | None
    """None: nobody has asked yet for whom it is."""
    value: str | None
    """Of the caller's own user or key; the model. None of a limit for all, and of somebody else's."""


class Maker(Protocol):
    def build(self, owner: Tenant, limit: Limit, key: LimitIdentity) -> TenantLimit: ...

    def update(self, built: TenantLimit, owner: Tenant, limit: Limit) -> None:
        """After a reload, or when an override has begun or ended."""

    def forget(self, built: TenantLimit) -> None:
        """It is not asked any more."""


class LimitBook:
    def __init__(self, maker: Maker) -> None:
        self._maker = maker
        self._tenants: Mapping[TenantId, Tenant] = {}
        self._built: dict[LimitKind, dict[str, TenantLimit]] = {}
        """By the value of their scope."""
        self._plain: dict[TenantId, tuple[TenantLimit, ...]] = {}
        """Of tenants whose limits are the same for all their callers, those of the parent included."""
        self._callers: dict[tuple[TenantId, str | None, str | None, str], tuple[TenantLimit, ...]] = {}
        self._reserving: frozenset[TenantId] = frozenset()
        self._scoped = 0

    def configure(self, tenants: Sequence[Tenant]) -> None:
        self._tenants = {tenant.id: tenant for tenant in tenants}
        wanted = {_kind_of(tenant, limit): (tenant, limit) for tenant in tenants for limit in tenant.limits}
        for kind, built in list(self._built.items()):
            found = wanted.get(kind)
            for limit in built.values():
                if found is None:
                    self._maker.forget(limit)
                else:
                    self._maker.update(limit, *found)
            if found is None:
                del self._built[kind]
        self._callers.clear()
        self._plain = {t.id: self._collect(t, None, None, "") for t in tenants if not self._has_scopes(t)}
        self._reserving = frozenset(
            tenant.id
            for tenant in tenants
            if any(limit.resource != "Requests" or limit.shadow for limit in self._list_all(tenant))
        )
        self._count_scoped()

    def refresh(self) -> None:
        """An override may have begun or ended."""
        for tenant in self._tenants.values():
            for limit in tenant.limits:
                if limit.overrides:
                    for built in self._built.get(_kind_of(tenant, limit), {}).values():
                        self._maker.update(built, tenant, limit)

    def limits_for(
        self, tenant: Tenant, user: str | None, key_id: str | None, model: str
    ) -> tuple[TenantLimit, ...]:
        """All that one request has to fit into."""
        limits = self._plain.get(tenant.id)
        if limits is not None:
            return limits
        caller = (tenant.id, user, key_id, model)
        limits = self._callers.get(caller)
        if limits is None:
            if len(self._callers) >= _CALLERS_KEPT:
                self._callers.clear()
            limits = self._callers[caller] = self._collect(tenant, user, key_id, model)
        return limits

    def find_rule(self, owner: TenantId, name: str) -> Limit | None:
        """None: it has left the table."""
        tenant = self._tenants.get(owner)
        limits = () if tenant is None else tenant.limits
        return next((limit for limit in limits if limit.name == name), None)

    def reserves(self, tenant: Tenant) -> bool:
        """Whether `hold.reserve` is to be asked, rather than `limits.take_all`."""
        return tenant.id in self._reserving

    def list_own(self, tenant: Tenant, now_s: float) -> list[tuple[Limit, TenantLimit]]:
        """For telling: in the order of the table, without the parent's. Of a limit for each user, key or
        model the one with least room; none where nobody has asked yet.
        """
        told: list[tuple[Limit, TenantLimit]] = []
        for limit in tenant.limits:
            if limit.scope == "Tenant":
                told.append((limit, self._find(tenant, limit, "")))
                continue
            found = self._built.get(_kind_of(tenant, limit))
            if found:
                told.append((limit, min(found.values(), key=lambda built: built.room(now_s))))
        return told

    def list_met(self, tenant: Tenant, user: str | None, key_id: str | None, now_s: float) -> list[Met]:
        """For telling a caller: all limits that hold for it, the parent's last."""
        return [
            self._meet(owner, limit, user, key_id, now_s)
            for owner in self._list_owners(tenant)
            for limit in owner.limits
        ]

    def sweep(self, now_s: float) -> None:
        """Forgets limits of users, keys and models that nothing counts any more."""
        for kind, built in self._built.items():
            if kind.scope == "Tenant":
                continue
            for value in [value for value, limit in built.items() if limit.is_idle(now_s)]:
                self._maker.forget(built.pop(value))
        self._callers.clear()
        self._count_scoped()

    def sweep_if_many(self, now_s: float) -> None:
        """`sweep`, once half of those that are kept are there: cheap for those who have few."""
        if self._scoped > SCOPED_KEPT // 2:
            self.sweep(now_s)

    def _meet(self, owner: Tenant, limit: Limit, user: str | None, key_id: str | None, now_s: float) -> Met:
        if limit.scope == "Tenant":
            return Met(owner, limit, self._find(owner, limit, ""), None)
        same = self._built.get(_kind_of(owner, limit), {})
        value = {"PerUser": user, "PerKey": key_id}.get(limit.scope)
        if value is not None:
            return Met(owner, limit, same.get(value) or same.get(OTHERS), value)
        if not same:
            return Met(owner, limit, None, None)
        value = min(same, key=lambda one: same[one].room(now_s))
        return Met(owner, limit, same[value], value if limit.scope == "PerModel" else None)

    def _collect(
        self, tenant: Tenant, user: str | None, key_id: str | None, model: str
    ) -> tuple[TenantLimit, ...]:
        values = {"Tenant": "", "PerUser": user or "", "PerKey": key_id or "", "PerModel": model}
        return tuple(
            self._find(owner, limit, values[limit.scope])
            for owner in self._list_owners(tenant)
            for limit in owner.limits
        )

    def _find(self, owner: Tenant, limit: Limit, value: str) -> TenantLimit:
        kind = _kind_of(owner, limit)
        same = self._built.get(kind, {})
        built = same.get(value)
        if built is not None:
            return built
        if limit.scope != "Tenant" and self._scoped >= SCOPED_KEPT:
            value = OTHERS
            built = same.get(value)
            if built is not None:
                return built
        built = self._maker.build(owner, limit, LimitIdentity(kind, value))
        if owner.id in self._tenants:  # a request may still hold a table whose tenant is gone
            self._built.setdefault(kind, {})[value] = built
            self._scoped += limit.scope != "Tenant"
        else:
            self._maker.forget(built)
        return built

    def _count_scoped(self) -> None:
        self._scoped = sum(len(built) for kind, built in self._built.items() if kind.scope != "Tenant")

    def _has_scopes(self, tenant: Tenant) -> bool:
        return any(limit.scope != "Tenant" for limit in self._list_all(tenant))

    def _list_all(self, tenant: Tenant) -> list[Limit]:
        return [limit for owner in self._list_owners(tenant) for limit in owner.limits]

    def _list_owners(self, tenant: Tenant) -> list[Tenant]:
        """Whose limits hold for it."""
        parent = None if tenant.parent is None else self._tenants.get(tenant.parent)
        return [tenant] if parent is None else [tenant, parent]


def _kind_of(owner: Tenant, limit: Limit) -> LimitKind:
    return LimitKind(owner.id, limit.name, limit.resource, limit.scope)


def find_next_change(tenants: Sequence[Tenant], unix_s: float) -> float | None:
    """When the next override ends. None: none does."""
    ends = [
        one.until_unix_s
        for tenant in tenants
        for limit in tenant.limits
        for one in limit.overrides
        if one.until_unix_s > unix_s
    ]
    return min(ends, default=None)
