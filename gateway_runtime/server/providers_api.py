"""`/v1/providers` on the port for callers: providers are listed, looked at, added and removed.

    GET    /v1/providers             -> {"object": "list", "data": [provider, …]}
    POST   /v1/providers             -> 201 and the provider
    GET    /v1/providers/{provider}  -> the provider
    DELETE /v1/providers/{provider}  -> {"id": …, "object": "provider", "deleted": true}

Here is the HTTP of it. Where providers are kept, and who may touch them, is a `ProvidersApi`'s business; the
embedding process brings one, or the settings name what makes it. `front` calls `serve_providers`.

The one subtle rule: a caller that leaves stops nothing half-way. What has begun to be created or deleted is
finished, so that no key is left without its provider.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from importlib import import_module
from ipaddress import IPv6Address, ip_address
from typing import Final, Literal, NamedTuple, Protocol, TypeVar, cast

import msgspec
from aiohttp import web

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.server.headers import JSON, build_headers
from gateway_runtime.server.record import Record
from gateway_runtime.server.refusal import refuse_unreadable_body
from gateway_runtime.server.reply import Reply
from gateway_runtime.server.settings import ProvidersSource

PROVIDERS: Final = "/v1/providers"
_BELOW: Final = f"{PROVIDERS}/"

_NAME: Final = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")
"""Wider than what Kubernetes takes, and with nothing in it that would mean something in a URL or a path."""
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip")

_T = TypeVar("_T")


class Caller(NamedTuple):
    key: str | None
    """Whatever came as a bearer token or an API key; not looked at yet."""
    namespace: str | None
    """Of the provider's address, or `?namespace=`."""
    peer: str | None
    """The address at the other end of the connection."""
    is_local: bool
    """See `read_visitor`."""


class ListedCondition(msgspec.Struct, frozen=True, kw_only=True):
    type: str
    status: str
    reason: str
    message: str


class ListedEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    url: str


class ListedProvider(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A provider as callers see it: never a key, only the names of credentials."""

    id: str
    """`<namespace>/<name>`, as in `x-headgate-provider`."""
    object: Literal["provider"] = "provider"
    created: int
    """Unix time."""
    name: str
    namespace: str
    type: str
    base_url: str | None
    endpoints: tuple[ListedEndpoint, ...]
    models: tuple[str, ...]
    """Empty: any name is passed on."""
    credentials: tuple[str, ...]
    ready: bool | None
    """None: nobody has said yet."""
    health: str | None
    circuit: str | None
    conditions: tuple[ListedCondition, ...]


class ProvidersApi(Protocol):
    """Where providers are kept. All raise GatewayError."""

    def admit(self, caller: Caller) -> None:
        """Raises for one who may ask nothing here. Called before anything else, a body least of all."""

    async def list_providers(self, caller: Caller) -> Sequence[ListedProvider]: ...

    async def read_provider(self, caller: Caller, name: str) -> ListedProvider: ...

    async def create_provider(self, caller: Caller, wanted: Mapping[str, object]) -> ListedProvider:
        """`wanted`: the body, a JSON object."""

    async def delete_provider(self, caller: Caller, name: str) -> str:
        """The id that it had."""


class Visitor(NamedTuple):
    """What connection and head tell of a caller, beside its key."""

    namespace: str | None
    peer: str | None
    is_local: bool


class Visit(NamedTuple):
    method: str
    path: str
    key: str | None
    visitor: Visitor
    read_body: Callable[[], Awaitable[bytes]]


def load_providers_api(source: ProvidersSource) -> ProvidersApi:
    """Raises ImportError, AttributeError and what the maker raises."""
    module, _, maker = source.maker.partition(":")
    return cast("ProvidersApi", getattr(import_module(module), maker)(*source.arguments))


def read_visitor(request: web.BaseRequest) -> Visitor | None:
    """None for a path that is not ours.

    is_local: it comes from this machine, and by its own will. A web page that somebody looks at here can
    send requests to this address as well: browsers then name the page's `origin` or say that another site
    began it, and where DNS was bent to lead here, `host` is not ours. What a proxy passes on is nobody's will
    that we know.
    """
    if request.path != PROVIDERS and not request.path.startswith(_BELOW):
        return None
    headers = request.headers
    foreign = (
        "origin" in headers
        or headers.get("sec-fetch-site", "none") != "none"
        or any(name in headers for name in _FORWARDED)
    )
    is_local = not foreign and _is_loopback(request.remote or "") and _is_own_host(headers.get("host", ""))
    return Visitor(request.query.get("namespace"), request.remote, is_local)


def find_methods(path: str) -> tuple[str, ...]:
    """Of one of our paths."""
    return ("GET", "POST") if path == PROVIDERS else ("GET", "DELETE")


async def serve_providers(
    api: ProvidersApi | None, visit: Visit, reply: Reply, record: Record, now: Callable[[], float]
) -> None:
    """`visit.method` is one of `find_methods`. Raises GatewayError, and CallerGone when nobody listens."""
    if api is None:
        raise GatewayError(
            ErrorCode.UNKNOWN_PATH,
            f"This gateway does not manage providers. `headgate up FOLDER` does, and in a cluster "
            f"`headgate gateway --kubernetes-api URL`; {PROVIDERS} is there then.",
        )
    namespace, name = _read_address(visit)
    caller = Caller(visit.key, namespace, visit.visitor.peer, visit.visitor.is_local)
    api.admit(caller)
    began_s = now()
    status = 200
    answer: object
    if name is not None and visit.method == "GET":
        answer = await api.read_provider(caller, name)
    elif name is not None:
        deleted = await _finish(api.delete_provider(caller, name))
        answer = {"id": deleted, "object": "provider", "deleted": True}
    elif visit.method == "GET":
        answer = {"object": "list", "data": await api.list_providers(caller)}
    else:
        wanted = _read_wanted(await visit.read_body())
        answer, status = await _finish(api.create_provider(caller, wanted)), 201
    record.waited_s += now() - began_s
    await reply.send(status, build_headers(record, now(), JSON), msgspec.json.encode(answer))


def _read_address(visit: Visit) -> tuple[str | None, str | None]:
    """Namespace and name, each if the request says one. `{provider}` is a name, or an id with both."""
    namespace, name = visit.visitor.namespace, None
    if visit.path != PROVIDERS:
        first, slash, second = visit.path.removeprefix(_BELOW).partition("/")
        namespace, name = (first, second) if slash else (namespace, first)
        if not _NAME.fullmatch(name):
            raise GatewayError(
                ErrorCode.UNKNOWN_PROVIDER,
                f"There is no provider of such a name: it has lower-case letters, digits, `-` and `.`. "
                f"GET {PROVIDERS} lists those that are there.",
            )
    if namespace is not None and not _NAME.fullmatch(namespace):
        raise GatewayError(
            ErrorCode.MISSING_NAMESPACE,
            "The namespace that was named cannot be one: write lower-case letters, digits and `-`.",
        )
    return namespace, name


def _read_wanted(data: bytes) -> Mapping[str, object]:
    try:
        wanted = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refuse_unreadable_body("its body is not JSON") from error
    if not isinstance(wanted, dict):
        raise refuse_unreadable_body(
            'its body must be one JSON object, such as {"name": "groq", "type": "groq", "apiKey": "…"}'
        )
    return wanted


async def _finish(work: Coroutine[None, None, _T]) -> _T:
    """Also when the caller leaves meanwhile."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        if not task.cancelled():
            task.exception()  # it has nobody left to tell
        raise


def _is_loopback(address: str) -> bool:
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped.is_loopback
    return parsed.is_loopback


def _is_own_host(host: str) -> bool:
    """`host`: name or address, perhaps with a port."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower() == "localhost" or _is_loopback(name)
