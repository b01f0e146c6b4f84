"""The entries of an earlier table, for objects that make no sense now and that the memo has no good version
of: after a restart, or when a replica that started later takes over.

An entry belongs to an object only if the uid is the same: a deleted and recreated object starts from nothing.
The passes ask for few entries or none, so the look-ups are built at the first question.
"""

from functools import cached_property

from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import Provider, Route, RoutingTable
from gateway_runtime.contract.tenant import Tenant
from headgate_operator.api.manifest import Meta


class LastGood:
    def __init__(self, table: RoutingTable | None, key_salt: Secret) -> None:
        """`key_salt`: the present one; keys that were hashed with another are of no use."""
        self._table = table
        self._key_salt = key_salt

    def provider(self, meta: Meta) -> Provider | None:
        found = self._providers.get(meta.id)
        return found if found is not None and found.uid == meta.uid else None

    def route(self, meta: Meta) -> Route | None:
        found = self._routes.get(meta.id)
        return found if found is not None and found.uid == meta.uid else None

    def tenant(self, meta: Meta) -> Tenant | None:
        found = self._tenants.get(meta.id)
        return found if found is not None and found.uid == meta.uid else None

    def namespaces_using(self, provider: Provider) -> frozenset[str]:
        """The namespaces whose routes used the provider, so that it must have admitted them."""
        return frozenset(self._users.get(provider.id, ()))

    @cached_property
    def _providers(self) -> dict[str, Provider]:
        return {provider.id: provider for provider in self._table.providers} if self._table else {}

    @cached_property
    def _routes(self) -> dict[str, Route]:
        return {route.id: route for route in self._table.routes} if self._table else {}

    @cached_property
    def _tenants(self) -> dict[str, Tenant]:
        if self._table is None or self._table.installation.key_salt != self._key_salt:
            return {}
        return {tenant.id: tenant for tenant in self._table.tenants}

    @cached_property
    def _users(self) -> dict[str, set[str]]:
        users: dict[str, set[str]] = {}
        for route in self._routes.values():
            for target in route.targets:
                users.setdefault(target.provider, set()).add(route.namespace)
        return users
