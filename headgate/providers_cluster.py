"""`/v1/providers` in a cluster: LLMProviders, created and deleted under the caller's own permissions.

    POST   -> all is tried without effect -> LLMProvider -> Secret and ModelRoute, owned by it
    DELETE -> LLMProvider -> its Secret, where the caller may; whatever is left goes by garbage collection

In: callers with a Kubernetes token. Out: objects, as `kubectl apply` would make them; the operator sees to
the rest, so nobody has said yet whether it is ready when the answer comes.

The one subtle rule is the order. The provider comes first, since nothing has to be undone when it is refused;
what belongs to it names it as its owner from birth, so that a caller needs no right but `create`, and no key
is ever left alone. What could fail behind the provider has been tried before as a dry run.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.server.providers_api import Caller, ListedProvider
from headgate.kubernetes_api import (
    Json,
    KubernetesAddress,
    KubernetesApi,
    open_kubernetes_api,
    refuse_unknown_token,
)
from headgate.providers_body import read_wanted
from headgate.providers_object import describe_provider
from headgate_operator.api.kinds import API_VERSION, GROUP, PROVIDER, ROUTE, VERSION

_FIELD_MANAGER: Final = "headgate-gateway"
_SERVICE_ACCOUNT: Final = "system:serviceaccount:"


class _Companion(NamedTuple):
    """What is created beside a provider."""

    path: str
    manifest: dict[str, Any]


def make_cluster_providers(server: str, ca_file: str) -> "ClusterProviders":
    """For `settings.ProvidersSource`. ca_file: empty trusts the system's authorities."""
    return ClusterProviders(KubernetesAddress(server, Path(ca_file) if ca_file else None))


class ClusterProviders:
    """See `providers_api.ProvidersApi`."""

    def __init__(self, address: KubernetesAddress) -> None:
        self._address = address

    def admit(self, caller: Caller) -> None:
        if caller.key is None:
            raise GatewayError(
                ErrorCode.MISSING_KEY,
                "No token was sent. Providers are managed with a Kubernetes token in the header "
                "`Authorization: Bearer <token>`, such as `kubectl create token NAME` gives.",
            )
        if not caller.key.isascii():
            raise refuse_unknown_token()

    async def list_providers(self, caller: Caller) -> Sequence[ListedProvider]:
        async with self._open(caller) as api:
            listed = await api.request("GET", _providers(await _find_namespace(api, caller)))
        return [describe_provider(item) for item in listed.get("items") or ()]

    async def read_provider(self, caller: Caller, name: str) -> ListedProvider:
        async with self._open(caller) as api:
            path = f"{_providers(await _find_namespace(api, caller))}/{name}"
            return describe_provider(await api.request("GET", path))

    async def create_provider(self, caller: Caller, wanted: Mapping[str, object]) -> ListedProvider:
        made = read_wanted(wanted)
        async with self._open(caller) as api:
            namespace = await _find_namespace(api, caller)
            companions = [
                _Companion(path, manifest)
                for path, manifest in (
                    (_secrets(namespace), made.build_secret(namespace)),
                    (_routes(namespace), made.build_route(namespace)),
                )
                if manifest is not None
            ]
            provider = made.build_provider(namespace)
            if companions:
                await _create(api, _providers(namespace), provider, dry_run=True)
                for companion in companions:
                    await _create(api, *companion, dry_run=True)
            created = await _create(api, _providers(namespace), provider)
            try:
                for companion in companions:
                    _own(companion.manifest, created)
                    await _create(api, *companion)
            except GatewayError:
                await _undo(api, created)
                raise
        return describe_provider(created)

    async def delete_provider(self, caller: Caller, name: str) -> str:
        async with self._open(caller) as api:
            namespace = await _find_namespace(api, caller)
            options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
            answer = await api.request("DELETE", f"{_providers(namespace)}/{name}", options)
            # With a finalizer on it, the answer is the object instead of a Status.
            uid = (answer.get("details") or answer.get("metadata") or {}).get("uid")
            with suppress(GatewayError):  # garbage collection has rights of its own
                await _delete_owned(api, f"{_secrets(namespace)}/{name}-credential", uid)
        return f"{namespace}/{name}"

    def _open(self, caller: Caller) -> AbstractAsyncContextManager[KubernetesApi]:
        return open_kubernetes_api(self._address, caller.key or "", caller.peer)


async def _find_namespace(api: KubernetesApi, caller: Caller) -> str:
    """The one that was named, else that of the service account whose token it is."""
    if caller.namespace is not None:
        return caller.namespace
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = await api.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
    username = str(((answer.get("status") or {}).get("userInfo") or {}).get("username"))
    if username.startswith(_SERVICE_ACCOUNT):
        return username.removeprefix(_SERVICE_ACCOUNT).partition(":")[0]
    raise GatewayError(
        ErrorCode.MISSING_NAMESPACE,
        f"Which namespace? {username} is no service account, which would have one of its own. Add "
        "?namespace=NAME to the URL.",
    )


async def _create(
    api: KubernetesApi, path: str, manifest: Mapping[str, Any], *, dry_run: bool = False
) -> Json:
    query = {"fieldManager": _FIELD_MANAGER, "fieldValidation": "Strict"}
    return await api.request("POST", path, manifest, **query, **({"dryRun": "All"} if dry_run else {}))


def _own(manifest: dict[str, Any], provider: Json) -> None:
    metadata = provider["metadata"]
    manifest["metadata"]["ownerReferences"] = [
        {"apiVersion": API_VERSION, "kind": PROVIDER.name, "name": metadata["name"], "uid": metadata["uid"]}
    ]


async def _undo(api: KubernetesApi, provider: Json) -> None:
    """What the provider owns goes with it."""
    metadata = provider["metadata"]
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": metadata["uid"]}}
    try:
        await api.request("DELETE", f"{_providers(metadata['namespace'])}/{metadata['name']}", options)
    except GatewayError as error:
        raise GatewayError(
            ErrorCode.PROVIDER_CONFLICT,
            f"LLMProvider {metadata['namespace']}/{metadata['name']} was created, but not all that belongs "
            f"to it, and it cannot be deleted again: {error.message}",
        ) from error


async def _delete_owned(api: KubernetesApi, path: str, owner: str | None) -> None:
    metadata = (await api.request("GET", path))["metadata"]
    if any(reference.get("uid") == owner for reference in metadata.get("ownerReferences") or ()):
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": metadata["uid"]}}
        await api.request("DELETE", path, options)


def _providers(namespace: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PROVIDER.plural}"


def _routes(namespace: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{ROUTE.plural}"


def _secrets(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets"
