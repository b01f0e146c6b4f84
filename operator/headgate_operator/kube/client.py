"""`Kube`: every request that the operator sends, one method each. See the package's docstring.

Nothing here retries, caches or decides: callers know what a failure means to them.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final, NamedTuple, Self

import msgspec

from headgate_operator.api.kinds import API_VERSION, GROUP, VERSION, Kind
from headgate_operator.kube.connection import Connection, Json
from headgate_operator.kube.errors import Conflict, KubeError, NotFound
from headgate_operator.kube.secrets import KubeSecret, build_secret, parse_secret

FIELD_MANAGER: Final = "headgate-operator"
WATCHED_LABEL: Final = "headgate.dev/watched"
WATCHED_SELECTOR: Final = f"{WATCHED_LABEL}=true"
PAGE_OBJECTS: Final = 500
"""As kubectl and client-go ask. With 5 KB an object a page is 2.5 MB, held once."""
PAGE_METADATA: Final = 2500
"""Metadata alone is about a fifth, and the sweep's requests count against the ten that we allow ourselves a
minute.
"""
_DISCOVERY: Final = "/.well-known/openid-configuration"
_JWKS: Final = "/openid/v1/jwks"
"""Where every API server has them, whatever URL its discovery document names for the world outside."""
_ACCEPT_JWKS: Final = "application/jwk-set+json"
"""It answers 406 to anything else."""
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"


class Page(NamedTuple):
    items: Sequence[Json]
    """Raw objects with apiVersion and kind filled in; metadata only when that was asked for."""
    resource_version: str
    """Of the list, the same for all its pages: what changed later is not in it."""


class Reviewed(NamedTuple):
    """Whose token it is, said by the API server."""

    username: str
    uid: str
    groups: tuple[str, ...]
    pod: str | None
    """Name of the pod that the token was made for; None for a token of no pod."""


class TokenIssuer(NamedTuple):
    """Of the tokens of service accounts."""

    url: str
    keys: str
    """A JWKS; the same text for the same keys, whichever API server answers."""


class Kube:
    """Closed by `close`. All methods raise KubeError and its subclasses."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @classmethod
    async def connect(
        cls,
        kubeconfig: str | None = None,
        context: str | None = None,
        on_answer: Callable[[str, int | None], None] = lambda method, status: None,
    ) -> Self:
        """See `Connection.open`."""
        return cls(await Connection.open(kubeconfig, context, on_answer))

    async def close(self) -> None:
        await self.connection.close()

    def list_objects(
        self, kind: Kind, namespace: str | None, *, metadata_only: bool = False
    ) -> AsyncIterator[Page]:
        """All of a kind, or of a kind in a namespace. Raises Gone when the list took so long that its
        beginning is forgotten: start again. Raises NotFound when the API server does not know the kind.
        """
        accept = _METADATA_ONLY if metadata_only else "application/json"
        limit = PAGE_METADATA if metadata_only else PAGE_OBJECTS
        return self._list(_collection(kind, namespace), API_VERSION, kind.name, {"limit": limit}, accept)

    def list_labelled_secrets(
        self, namespace: str | None, *, metadata_only: bool = False
    ) -> AsyncIterator[Page]:
        """All that the watch covers, in a namespace or everywhere. Raises Gone as `list_objects` does."""
        accept = _METADATA_ONLY if metadata_only else "application/json"
        limit = PAGE_METADATA if metadata_only else PAGE_OBJECTS
        query: dict[str, str | int] = {"limit": limit, "labelSelector": WATCHED_SELECTOR}
        return self._list(_secrets(namespace), "v1", "Secret", query, accept)

    async def _list(
        self, path: str, api_version: str, kind: str, query: Mapping[str, str | int], accept: str
    ) -> AsyncIterator[Page]:
        resume: dict[str, str] = {}
        while True:
            raw = await self.connection.request("GET", path, query={**query, **resume}, accept=accept)
            items = raw.get("items") or []
            for item in items:
                item["apiVersion"] = api_version
                item["kind"] = kind
            metadata = raw.get("metadata") or {}
            yield Page(items, str(metadata.get("resourceVersion") or ""))
            if not metadata.get("continue"):
                return
            resume["continue"] = metadata["continue"]

    async def read_object(self, kind: Kind, namespace: str, name: str) -> Json | None:
        try:
            return await self.connection.request("GET", f"{_collection(kind, namespace)}/{name}")
        except NotFound:
            return None

    async def apply_status(
        self, kind: Kind, namespace: str, name: str, version: int, status: Mapping[str, object]
    ) -> Json:
        """Server-side apply of `/status`, and of nothing else; the object as it is afterwards. Raises
        NotFound when it is gone, Conflict when it is not in the resourceVersion `version` any more: perhaps
        it has been edited, or another object has taken its name.
        """
        body = {
            "apiVersion": API_VERSION,
            "kind": kind.name,
            "metadata": {"namespace": namespace, "name": name, "resourceVersion": str(version)},
            "status": status,
        }
        return await self.connection.request(
            "PATCH",
            f"{_collection(kind, namespace)}/{name}/status",
            query={"fieldManager": FIELD_MANAGER, "force": "true"},
            body=body,
            content_type="application/apply-patch+yaml",
        )

    async def create_event(self, namespace: str, event: Mapping[str, object]) -> None:
        """`event`: a core/v1 Event."""
        await self.connection.request("POST", f"/api/v1/namespaces/{namespace}/events", body=event)

    async def read_secret(self, namespace: str, name: str) -> KubeSecret | None:
        try:
            return parse_secret(await self.connection.request("GET", f"{_secrets(namespace)}/{name}"))
        except NotFound:
            return None

    async def create_secret(
        self, namespace: str, name: str, data: Mapping[str, bytes], labels: Mapping[str, str] | None = None
    ) -> KubeSecret:
        """Raises Conflict when there is one, NotFound when there is no such namespace."""
        body = build_secret(namespace, name, data, labels or {})
        return parse_secret(await self.connection.request("POST", _secrets(namespace), body=body))

    async def ensure_secret(
        self,
        namespace: str,
        name: str,
        make: Callable[[], Mapping[str, bytes]],
        labels: Mapping[str, str] | None = None,
    ) -> KubeSecret:
        """The Secret that is there, else a new one with what `make` returns; of several who try at once,
        all get the same.
        """
        found = await self.read_secret(namespace, name)
        if found is not None:
            return found
        try:
            return await self.create_secret(namespace, name, make(), labels)
        except Conflict:
            winner = await self.read_secret(namespace, name)
            if winner is None:
                raise
            return winner

    async def replace_secret(self, secret: KubeSecret, data: Mapping[str, bytes]) -> KubeSecret:
        """Raises Conflict unless the Secret is still the one that was read."""
        body = build_secret(secret.namespace, secret.name, data, secret.labels, secret.resource_version)
        path = f"{_secrets(secret.namespace)}/{secret.name}"
        return parse_secret(await self.connection.request("PUT", path, body=body))

    async def put_secret(
        self, namespace: str, name: str, data: Mapping[str, bytes], labels: Mapping[str, str] | None = None
    ) -> KubeSecret:
        """Whatever stood there before."""
        body = build_secret(namespace, name, data, labels or {})
        try:
            return parse_secret(
                await self.connection.request("PUT", f"{_secrets(namespace)}/{name}", body=body)
            )
        except NotFound:
            return await self.create_secret(namespace, name, data, labels)

    async def delete_secret(self, namespace: str, name: str) -> None:
        """Fine when it is gone already."""
        try:
            await self.connection.request("DELETE", f"{_secrets(namespace)}/{name}")
        except NotFound:
            return

    async def review_token(self, token: str, audience: str) -> Reviewed | None:
        """None for a token that is not valid, or not meant for `audience`."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        }
        raw = await self.connection.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body=body)
        status = raw.get("status") or {}
        # An authenticator that knows no audiences leaves them out; such a token proves nothing to us.
        if not status.get("authenticated") or audience not in (status.get("audiences") or ()):
            return None
        user = status.get("user") or {}
        pods = (user.get("extra") or {}).get("authentication.kubernetes.io/pod-name") or [None]
        return Reviewed(
            user.get("username", ""), user.get("uid", ""), tuple(user.get("groups") or ()), pods[0]
        )

    async def read_token_issuer(self) -> TokenIssuer:
        """Raises KubeError: 403 where discovery is not allowed, 404 where the issuer is no https URL."""
        discovery = await self.connection.request("GET", _DISCOVERY)
        jwks = await self.connection.request("GET", _JWKS, accept=_ACCEPT_JWKS)
        issuer, keys = discovery.get("issuer"), jwks.get("keys")
        if not isinstance(issuer, str) or not isinstance(keys, list) or not keys:
            raise KubeError(
                f"GET {_JWKS}: the answer names no issuer or no keys", status=None, retryable=True
            )
        return TokenIssuer(issuer, _encode_keys(keys))

    async def read_lease(self, namespace: str, name: str) -> Json | None:
        try:
            return await self.connection.request("GET", f"{_leases(namespace)}/{name}")
        except NotFound:
            return None

    async def create_lease(self, namespace: str, name: str, spec: Mapping[str, object]) -> Json:
        """Raises Conflict when there is one."""
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"namespace": namespace, "name": name},
            "spec": dict(spec),
        }
        return await self.connection.request("POST", _leases(namespace), body=body)

    async def replace_lease(self, lease: Json) -> Json:
        """`lease` as it was read, with another spec. Raises Conflict when it has changed since."""
        metadata = lease["metadata"]
        path = f"{_leases(metadata['namespace'])}/{metadata['name']}"
        return await self.connection.request("PUT", path, body=lease)


def _encode_keys(keys: Sequence[object]) -> str:
    encoded = sorted(msgspec.json.encode(key, order="sorted") for key in keys)
    return f'{{"keys":[{b",".join(encoded).decode()}]}}'


def watch_path(plural: str, namespace: str | None) -> str:
    """Of one of our kinds, or of `secrets`: where Kopf lists and watches it."""
    return (
        _secrets(namespace) if plural == "secrets" else _path(f"/apis/{GROUP}/{VERSION}", plural, namespace)
    )


def _collection(kind: Kind, namespace: str | None) -> str:
    return _path(f"/apis/{GROUP}/{VERSION}", kind.plural, namespace)


def _secrets(namespace: str | None) -> str:
    return _path("/api/v1", "secrets", namespace)


def _leases(namespace: str) -> str:
    return _path("/apis/coordination.k8s.io/v1", "leases", namespace)


def _path(prefix: str, plural: str, namespace: str | None) -> str:
    return f"{prefix}/{plural}" if namespace is None else f"{prefix}/namespaces/{namespace}/{plural}"
