"""Requests about what providers keep: a Response that was stored, a file, a batch.

`front` calls `serve_kept`. No model is named, so there is no route to match: what is asked about says by its
id where it is (see `references`), what is to be kept goes to a provider that the caller names or that is the
only one it reaches. The right to it is the right to a route that leads there, which lends its timeouts.

The one subtle rule: a batch names models inside its file, where nobody looks. So whoever may use some models
only may not make one; and what it asks for counts as one request.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlencode

from gateway_runtime.contract.ids import ProviderId
from gateway_runtime.contract.table import Provider
from gateway_runtime.contract.tenant import Tenant
from gateway_runtime.engine.lookup import LiveTable
from gateway_runtime.providers.kept import read_file_id, replace_file_id
from gateway_runtime.providers.operation import KeptOperation
from gateway_runtime.providers.request_body import RequestBody, read_body
from gateway_runtime.providers.translation import Owner, Pin, Question
from gateway_runtime.server.record import Record
from gateway_runtime.server.references import find_kept_thing
from gateway_runtime.server.refusal import (
    refuse_batch,
    refuse_list,
    refuse_query,
    refuse_unknown_id,
    refuse_unnamed_provider,
)
from gateway_runtime.server.reload import Running
from gateway_runtime.server.reply import Reply
from gateway_runtime.server.request import Ask, ask_providers, authenticate
from gateway_runtime.server.room import Room
from gateway_runtime.server.upload import Source, open_upload
from gateway_runtime.server.wires import wire_of

_TRUE: Final = frozenset({"true", "1"})
_CURSORS: Final = frozenset({"after", "before"})
_NOTHING: Final = RequestBody("", False, False, {})


class Wanted(NamedTuple):
    """What is asked about, as the caller says it."""

    operation: KeptOperation
    id: str
    """Empty where none is named."""
    query: str
    """Encoded, as it came."""
    provider: str | None
    """Where it is to be kept."""
    source: Source


async def serve_kept(room: Room, ask: Ask, wanted: Wanted, reply: Reply, record: Record) -> None:
    """Raises as `request.serve_completion`."""
    running, tenant = await authenticate(room, ask.key, ask.peer, record)
    operation = wanted.operation
    if operation.lists:
        raise refuse_list(operation.path)
    owner = Owner(running.live.table.installation.key_salt, tenant.id)
    if operation.takes == "form":
        return await _keep_file(room, running, tenant, ask, wanted, owner, reply, record)
    body = _NOTHING
    kept_id = wanted.id
    if operation.takes == "json":
        if tenant.models is not None:
            raise refuse_batch()
        body = read_body(await ask.read_body(), "")
        kept_id = read_file_id(body)
    found = find_kept_thing(running.live, tenant, kept_id)
    if found is None:
        raise refuse_unknown_id("File" if operation.takes == "json" else operation.what, kept_id)
    if operation.takes == "json":
        body = replace_file_id(body, found.id)
        placed = operation
    else:
        query = _read_query(running.live, tenant, operation, wanted.query)
        body = RequestBody("", query.get("stream") in _TRUE, False, {})
        placed = operation.at(found.id, urlencode(query))
    question = Question(placed, body, ask.headers, owner=owner, pin=Pin(found.provider, found.endpoint))
    return await ask_providers(room, running, tenant, found.route, question, ask.load, reply, record)


async def _keep_file(
    room: Room,
    running: Running,
    tenant: Tenant,
    ask: Ask,
    wanted: Wanted,
    owner: Owner,
    reply: Reply,
    record: Record,
) -> None:
    provider = _choose_provider(running.live, tenant, wanted)
    route = running.live.reach(tenant)[provider]
    upload = await open_upload(wanted.source, frozenset(), frozenset())
    try:
        question = Question(wanted.operation, _NOTHING, ask.headers, owner=owner, pin=Pin(provider, None))
        await ask_providers(room, running, tenant, route, question, ask.load, reply, record, upload)
    finally:
        await upload.close()


def _choose_provider(live: LiveTable, tenant: Tenant, wanted: Wanted) -> ProviderId:
    """Raises GatewayError PROVIDER_NEEDED, with the names that there are."""
    keepers = {
        provider.id: provider
        for provider in map(live.provider, live.reach(tenant))
        if _keeps(provider, wanted.operation)
    }
    asked = wanted.provider
    if asked is None and len(keepers) == 1:
        return next(iter(keepers))
    for provider_id in keepers:
        if asked is not None and asked in (provider_id, provider_id.rpartition("/")[2]):
            return provider_id
    raise refuse_unnamed_provider(asked, sorted(keepers))


def _keeps(provider: Provider, operation: KeptOperation) -> bool:
    return any(
        operation.find_path(wire_of(provider, endpoint), "") is not None for endpoint in provider.endpoints
    )


def _read_query(live: LiveTable, tenant: Tenant, operation: KeptOperation, query: str) -> Mapping[str, str]:
    """With the provider's own ids in it. Raises GatewayError for what no provider is asked."""
    read: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in operation.query:
            raise refuse_query(operation.path, name, sorted(operation.query))
        if name in _CURSORS:
            found = find_kept_thing(live, tenant, value)
            if found is None:
                raise refuse_unknown_id("Item", value)
            read[name] = found.id
        else:
            read[name] = value
    return read
