"""The last look at a table before it serves: what this gateway could not run, named per resource.

`reload` calls it on every table, also on its own from the disk. The operator's `compile` should have seen to
all of it; a fault found here is a disagreement of versions or a bug, and becomes a Nack that names the
resource.
"""

from collections.abc import Collection, Iterator

from yarl import URL

from gateway_runtime.contract.ids import ProviderId
from gateway_runtime.contract.stream import Fault
from gateway_runtime.contract.table import Provider, Route, RoutingTable, resource_key
from gateway_runtime.contract.tenant import Tenant
from gateway_runtime.engine.calendar import find_zone
from gateway_runtime.identity import read_network
from gateway_runtime.upstream.tls import find_tls_problem


def check_table(table: RoutingTable) -> tuple[Fault, ...]:
    """Empty: it can be served."""
    providers = {provider.id for provider in table.providers}
    faults = []
    for provider in table.providers:
        faults += [Fault(resource=resource_key(provider), message=m) for m in _check_provider(provider)]
    for route in table.routes:
        faults += [Fault(resource=resource_key(route), message=m) for m in _check_route(route, providers)]
    for tenant in table.tenants:
        faults += [Fault(resource=resource_key(tenant), message=m) for m in _check_tenant(tenant)]
    return tuple(faults)


def _check_provider(provider: Provider) -> Iterator[str]:
    if not provider.endpoints:
        yield "the provider has no endpoint"
    if len({endpoint.id for endpoint in provider.endpoints}) != len(provider.endpoints):
        yield "two endpoints of the provider have the same name"
    for endpoint in provider.endpoints:
        try:
            url = URL(endpoint.url)
        except ValueError as error:
            yield f'the URL "{endpoint.url}" of endpoint {endpoint.id} cannot be read: {error}'
            continue
        if url.user or url.password:
            yield f"the URL of endpoint {endpoint.id} has a user or a password in it; use credentials instead"
        elif url.scheme not in ("http", "https") or not url.host:
            yield f'the URL "{endpoint.url}" of endpoint {endpoint.id} is not http://host/… or https://host/…'
    options = {"vertex": provider.vertex, "bedrock": provider.bedrock, "litellm": provider.litellm}
    if provider.wire in options and options[provider.wire] is None:
        yield f"the provider speaks {provider.wire} and has no options for it"
    problem = None if provider.tls is None else find_tls_problem(provider.tls)
    if problem is not None:
        yield problem


def _check_route(route: Route, providers: Collection[ProviderId]) -> Iterator[str]:
    for target in route.targets:
        if target.provider not in providers:
            yield f"its target provider {target.provider} is not in the table"
    if route.retry.max_attempts < 1:
        yield f"retry.max_attempts is {route.retry.max_attempts}; a request needs at least 1"


def _check_tenant(tenant: Tenant) -> Iterator[str]:
    for proxy in tenant.proxies:
        for text in proxy.addresses:
            try:
                read_network(text)
            except ValueError as error:
                yield f'the address "{text}" of proxy {proxy.name} is no CIDR block: {error}'
    for limit in tenant.limits:
        if limit.calendar is not None:
            try:
                find_zone(limit.zone)
            except ValueError as error:
                yield f"the days of limit {limit.name} cannot be found: {error}; run a newer gateway"
