"""What a request refers to of the things that providers keep: whether it is this caller's, and where it is.

`request` asks for the body of a Response, `kept` for the id in a path. `seal` says how an id tells; here it
is tried on the endpoints that the tenant reaches.

The one subtle rule: what is not the caller's is not found, in the same words as what never was. Nothing tells
whether another tenant has it.
"""

from typing import NamedTuple

from gateway_runtime.contract.ids import EndpointId, ProviderId
from gateway_runtime.contract.table import Route
from gateway_runtime.contract.tenant import Tenant
from gateway_runtime.engine.lookup import LiveTable
from gateway_runtime.providers.kept import find_references, replace_ids
from gateway_runtime.providers.request_body import RequestBody
from gateway_runtime.providers.seal import Seal, find_tag, open_id
from gateway_runtime.providers.translation import Pin
from gateway_runtime.server.refusal import refuse_scattered, refuse_unknown_id


class Found(NamedTuple):
    """Something that is the caller's."""

    id: str
    """The provider's own."""
    provider: ProviderId
    endpoint: EndpointId
    route: Route
    """By which the caller reaches it."""


class Referring(NamedTuple):
    """A body, as the provider knows what it names."""

    body: RequestBody
    pin: Pin | None
    unproved: str | None
    """The first member that names what this caller was never given."""


def find_kept_thing(live: LiveTable, tenant: Tenant, text: str) -> Found | None:
    opened = open_id(text)
    if opened is None:
        return None
    salt = live.table.installation.key_salt
    for provider_id, route in live.reach(tenant).items():
        for endpoint in live.provider(provider_id).endpoints:
            # Tags are remembered, so this takes 0.1 µs for each endpoint that the tenant reaches.
            if find_tag(endpoint.id) == opened.tag and Seal(salt, tenant.id, endpoint.id).is_on(text):
                return Found(opened.id, provider_id, endpoint.id, route)
    return None


def resolve_references(live: LiveTable, tenant: Tenant, body: RequestBody) -> Referring:
    """Raises GatewayError for what is not the caller's, or is in two places."""
    known: dict[str, Found | None] = {}

    def find(text: str) -> Found | None:
        if text not in known:
            known[text] = find_kept_thing(live, tenant, text)
        return known[text]

    def open_(text: str) -> str | None:
        found = find(text)
        return None if found is None else found.id

    first: Found | None = None
    unproved = None
    for reference in find_references(body):
        found = find(reference.id)
        if found is None:
            if not reference.is_whole:
                raise refuse_unknown_id(reference.what, reference.id)
            unproved = unproved or reference.param
            continue
        if first is not None and found.endpoint != first.endpoint:
            raise refuse_scattered(reference.param)
        first = found
    pin = None if first is None else Pin(first.provider, first.endpoint)
    return Referring(replace_ids(body, open_), pin, unproved)
