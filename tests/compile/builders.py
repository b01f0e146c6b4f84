"""Manifests and Resources in few words, parsed as the operator parses them."""

from collections.abc import Iterable, Mapping
from typing import Any

from gateway_runtime.contract.secret import Secret
from headgate_operator.api.manifest import BrokenManifest, Manifest, parse_manifest
from headgate_operator.compile.resources import Cluster, Resources, SecretData, SecretId, UnknownCluster

SALT = Secret("the salt of the tests")


def build(
    kind: str,
    identity: str,
    spec: object,
    *,
    generation: int = 1,
    created: str = "2026-01-01T00:00:00Z",
    uid: str | None = None,
) -> Any:
    """`identity`: namespace/name. A Manifest, or a BrokenManifest for a spec that makes no sense."""
    namespace, _, name = identity.partition("/")
    metadata = {
        "namespace": namespace,
        "name": name,
        "uid": uid or f"uid of {kind}/{identity}",
        "generation": generation,
        "creationTimestamp": created,
    }
    return parse_manifest(
        {"apiVersion": "headgate.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
    )


def provider(
    identity: str, *, secret: str | None = None, spec: Mapping[str, Any] | None = None, **meta: Any
) -> Any:
    """One endpoint; with `secret` one credential, the key `api-key` of that Secret."""
    credentials = [{"name": "main", "secretRef": {"name": secret}}] if secret else []
    plain = {"type": "openai-compatible", "baseUrl": "http://vllm:8000/v1", "credentials": credentials}
    return build("LLMProvider", identity, plain | dict(spec or {}), **meta)


def route(
    identity: str,
    models: Iterable[str],
    targets: Iterable[str],
    *,
    fallbacks: Iterable[str] = (),
    strategy: str = "Weighted",
    **meta: Any,
) -> Any:
    """`targets`: `name` or `namespace/name` of providers; `fallbacks`: models."""
    refs = []
    for target in targets:
        namespace, _, name = target.rpartition("/")
        refs.append({"providerRef": {"name": name} | ({"namespace": namespace} if namespace else {})})
    spec = {
        "models": list(models),
        "targets": refs,
        "fallbacks": [{"model": model} for model in fallbacks],
        "strategy": strategy,
    }
    return build("ModelRoute", identity, spec, **meta)


def quota(
    identity: str,
    *secrets: str,
    anonymous: bool = False,
    spec: Mapping[str, Any] | None = None,
    **meta: Any,
) -> Any:
    """One subject for each Secret's `api-key`, and perhaps the anonymous one; ten requests a minute."""
    subjects: list[dict[str, Any]] = [
        {"name": f"subject-{i}", "type": "APIKey", "secretRef": {"name": name}}
        for i, name in enumerate(secrets)
    ]
    if anonymous:
        subjects.append({"name": "anyone", "type": "Anonymous"})
    limits = [{"name": "per-minute", "amount": 10, "window": "1m"}]
    plain = {"subjects": subjects, "limits": limits}
    return build("TenantQuota", identity, plain | dict(spec or {}), **meta)


def broken(manifest: Manifest[Any], generation: int = 2) -> BrokenManifest:
    """The object after an edit to nonsense."""
    meta = manifest.meta
    nonsense = {"models": 1}
    result = build(meta.kind, meta.id, nonsense, generation=generation, created=meta.created, uid=meta.uid)
    assert isinstance(result, BrokenManifest)
    return result


def resources(
    *manifests: Any,
    secrets: Mapping[str, str | None] | None = None,
    salt: Secret = SALT,
    cluster: Cluster | UnknownCluster | None = None,
) -> Resources:
    """`secrets`: namespace/name to the value of its `api-key`; None for a Secret without that key."""
    of_kind: dict[str, list[Any]] = {"LLMProvider": [], "ModelRoute": [], "TenantQuota": []}
    for manifest in manifests:
        of_kind[manifest.meta.kind].append(manifest)
    data = {
        SecretId(*identity.split("/")): SecretData(
            {"api-key": Secret(value)} if value is not None else {}, True
        )
        for identity, value in (secrets or {}).items()
    }
    return Resources(
        providers=tuple(of_kind["LLMProvider"]),
        routes=tuple(of_kind["ModelRoute"]),
        quotas=tuple(of_kind["TenantQuota"]),
        secrets=data,
        key_salt=salt,
        cluster=cluster,
    )
