"""What compile reads: every custom resource, parsed, and the Secrets that they name.

The watch side (`reconcile`) and `headgate up` build `Resources`; both ask `referenced_secrets` which Secrets
they must bring. Objects that did not change should be the same Python objects as last time: that makes a
compile fast; equal ones are recognised too, only slower.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias, TypeVar

from gateway_runtime.contract.secret import Secret
from headgate_operator.api.fields import SecretKeyRef
from headgate_operator.api.manifest import (
    BrokenManifest,
    Manifest,
    ProviderManifest,
    QuotaManifest,
    RouteManifest,
)
from headgate_operator.api.model import ApiModel
from headgate_operator.api.provider import LLMProviderSpec, ProviderTls
from headgate_operator.api.quota import TenantQuotaSpec

CERTIFICATE_KEY: Final = "tls.crt"
PRIVATE_KEY_KEY: Final = "tls.key"
"""As Secrets of type kubernetes.io/tls have them."""


class SecretId(NamedTuple):
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class SecretData:
    values: Mapping[str, Secret]
    """By key, as text: bytes that are no UTF-8 come as replacement characters, and are refused like any other
    text that cannot be an API key.
    """
    watched: bool
    """A change of it is seen at once; False: it is read again every few minutes."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Who signs the tokens of the cluster's service accounts."""

    issuer: str
    keys: str
    """Its JWKS: JSON, the same text for the same keys."""


@dataclass(frozen=True, slots=True)
class UnknownCluster:
    """There is a cluster, and it has not said yet who signs."""

    problem: str
    """Why, as half a sentence; it stays the same while the trouble does."""


@dataclass(frozen=True, slots=True)
class Resources:
    """In any order. `secrets` may hold more than is referenced; a Secret that does not exist is absent."""

    providers: tuple[ProviderManifest | BrokenManifest, ...]
    routes: tuple[RouteManifest | BrokenManifest, ...]
    quotas: tuple[QuotaManifest | BrokenManifest, ...]
    secrets: Mapping[SecretId, SecretData]
    key_salt: Secret
    cluster: Cluster | UnknownCluster | None = None
    """None: there is none, as over a folder."""


AnyManifest: TypeAlias = Manifest[ApiModel] | BrokenManifest
SomeManifest = TypeVar("SomeManifest", bound=AnyManifest)


def referenced_secrets(manifest: AnyManifest) -> frozenset[SecretId]:
    """The Secrets that the manifest's verdict depends on; none for a broken one: its last good version keeps
    what it had.
    """
    return frozenset(SecretId(manifest.meta.namespace, ref.name) for ref in secret_refs(manifest))


def secret_refs(manifest: AnyManifest) -> tuple[SecretKeyRef, ...]:
    """In the order of the spec."""
    if isinstance(manifest, BrokenManifest):
        return ()
    match manifest.spec:
        case LLMProviderSpec(credentials=credentials, tls=tls):
            return (*(credential.secret_ref for credential in credentials), *_tls_refs(tls))
        case TenantQuotaSpec(subjects=subjects):
            return tuple(subject.secret_ref for subject in subjects if subject.secret_ref is not None)
        case _:
            return ()


def _tls_refs(tls: ProviderTls | None) -> Iterator[SecretKeyRef]:
    if tls is not None and tls.ca_secret_ref is not None:
        yield tls.ca_secret_ref
    if tls is not None and tls.client_certificate_secret_ref is not None:
        name = tls.client_certificate_secret_ref.name
        yield SecretKeyRef(name=name, key=CERTIFICATE_KEY)
        yield SecretKeyRef(name=name, key=PRIVATE_KEY_KEY)


def index_by_id(manifests: Iterable[SomeManifest]) -> dict[str, SomeManifest]:
    """By `<namespace>/<name>`, sorted. Of two with one name the younger stays: the other was deleted, and its
    deletion has not come through yet.
    """
    found: dict[str, SomeManifest] = {}
    for manifest in manifests:
        identity = manifest.meta.id
        other = found.setdefault(identity, manifest)
        if other is not manifest:
            found[identity] = max(other, manifest, key=_age)
    return {identity: found[identity] for identity in sorted(found)}


def _age(manifest: AnyManifest) -> tuple[str, int, str, str]:
    # The repr decides only between objects that are the same to Kubernetes, so that their order never does.
    meta = manifest.meta
    return (meta.created, meta.generation, meta.uid, repr(manifest))
