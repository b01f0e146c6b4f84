"""`Store`: objects and Secrets together. See the package's docstring."""

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, cast

import structlog

from gateway_runtime.contract.secret import Secret
from headgate_operator.api.kinds import PROVIDER, QUOTA, ROUTE
from headgate_operator.api.manifest import BrokenManifest, ProviderManifest, QuotaManifest, RouteManifest
from headgate_operator.compile.resources import Cluster, Resources, SecretId, UnknownCluster, secret_refs
from headgate_operator.store.objects import (
    Change,
    Ghosts,
    Listed,
    Objects,
    StoredObject,
    object_key,
    parse_version,
)
from headgate_operator.store.secrets import SecretCache

log = structlog.get_logger()


def _ignore() -> None:
    pass


def _ignore_key(key: str) -> None:
    pass


class Store:
    def __init__(self, on_object_error: Callable[[], None] = _ignore) -> None:
        self._on_object_error = on_object_error
        self.objects = Objects(self._note_error)
        self.secrets = SecretCache()
        self.cluster: Cluster | UnknownCluster = UnknownCluster("the operator has not asked it yet")
        """Who signs the tokens of its service accounts."""
        self.synced = False
        """Every kind has been listed once. Before that nothing may be published."""
        self.on_dirty: Callable[[], None] = _ignore
        """There is something to compile, or a Secret to read first."""
        self.on_rest: Callable[[str], None] = _ignore_key
        """Somebody else wrote the status, labels or the like of the object with this key."""

    def __repr__(self) -> str:
        return f"<Store {self.statistics()}>"

    def statistics(self) -> Mapping[str, int]:
        kinds = {
            kind.name: sum(1 for _ in self.objects.of_kind(kind.name)) for kind in (PROVIDER, ROUTE, QUOTA)
        }
        return {**kinds, "secrets": len(self.secrets.data), "unread": len(self.secrets.unread)}

    def count(self, kind: str) -> int:
        return sum(1 for _ in self.objects.of_kind(kind))

    def get(self, key: str) -> StoredObject | None:
        return self.objects.get(key)

    def upsert(self, raw: Mapping[str, Any]) -> None:
        """A custom resource as the API server gives it."""
        key = object_key(raw)
        change = self.objects.upsert(raw)
        if change is Change.SPEC:
            self._follow(key)
        elif change is Change.REST:
            self.on_rest(key)

    def remove(self, raw: Mapping[str, Any]) -> None:
        """A custom resource as it was when it was deleted; its resourceVersion is the deletion's."""
        self.remove_key(object_key(raw), parse_version(raw["metadata"]["resourceVersion"]))

    def remove_key(self, key: str, version: int) -> None:
        if self.objects.remove(key, version) is Change.SPEC:
            self._follow(key)

    def compare(
        self, kind: str, namespace: str | None, listed: Mapping[str, Listed], list_version: int
    ) -> Ghosts:
        return self.objects.compare(kind, namespace, listed, list_version)

    def note_written(self, raw: Mapping[str, Any]) -> None:
        """The API server's answer to a status that we wrote: the whole object. Its spec may be one that the
        watch has not told of yet; taking the resourceVersion alone would make that event look old, and lose
        the edit.
        """
        if self.objects.upsert(raw) is Change.SPEC:
            self._follow(object_key(raw))

    def upsert_secret(self, raw: Mapping[str, Any], *, watched: bool) -> None:
        """A Secret as the API server gives it."""
        metadata = raw["metadata"]
        values = {key: _decode(value) for key, value in (raw.get("data") or {}).items()}
        self.put_secret(
            SecretId(metadata["namespace"], metadata["name"]),
            values,
            parse_version(metadata["resourceVersion"]),
            watched=watched,
        )

    def put_secret(
        self, secret: SecretId, values: Mapping[str, bytes], version: int, *, watched: bool
    ) -> None:
        if self.secrets.put(secret, values, version, watched=watched):
            self.on_dirty()

    def put_missing_secret(self, secret: SecretId) -> None:
        if self.secrets.put_missing(secret):
            self.on_dirty()

    def remove_secret(self, raw: Mapping[str, Any]) -> None:
        """The watch of labelled Secrets says that this one is gone."""
        if self.secrets.doubt(SecretId(raw["metadata"]["namespace"], raw["metadata"]["name"])):
            self.on_dirty()

    def compare_secrets(self, listed: Mapping[SecretId, int], namespace: str | None) -> None:
        """`listed`: the resourceVersions of all labelled Secrets, in the namespace or everywhere. Where
        that is news, the Secret is to be read by name.
        """
        if self.secrets.compare(listed, namespace):
            self.on_dirty()

    def put_cluster(self, cluster: Cluster | UnknownCluster) -> None:
        """What is known is not forgotten for an answer that did not come."""
        forgets = isinstance(cluster, UnknownCluster) and isinstance(self.cluster, Cluster)
        if not forgets and cluster != self.cluster:
            self.cluster = cluster
            self.on_dirty()

    def resources(self, key_salt: Secret) -> Resources:
        """For compile; unchanged manifests are the same objects as last time."""
        manifests = {
            kind.name: tuple(stored.manifest for stored in self.objects.of_kind(kind.name))
            for kind in (PROVIDER, ROUTE, QUOTA)
        }
        # `parse_manifest` chose the spec's model by the kind.
        return Resources(
            providers=cast("tuple[ProviderManifest | BrokenManifest, ...]", manifests[PROVIDER.name]),
            routes=cast("tuple[RouteManifest | BrokenManifest, ...]", manifests[ROUTE.name]),
            quotas=cast("tuple[QuotaManifest | BrokenManifest, ...]", manifests[QUOTA.name]),
            secrets=self.secrets.data,
            key_salt=key_salt,
            cluster=self.cluster,
        )

    def _follow(self, key: str) -> None:
        """The object's spec has changed, or it is gone."""
        stored = self.objects.get(key)
        namespace = key.split("/")[1]
        self.secrets.reference(key, namespace, secret_refs(stored.manifest) if stored else ())
        self.on_dirty()

    def _note_error(self, key: str, error: Exception) -> None:
        log.error("object could not be parsed", object=key, exc_info=error)
        self._on_object_error()


def _decode(value: str) -> bytes:
    try:
        return base64.b64decode(value)
    except (
        binascii.Error
    ):  # the API server refuses these; an empty value is refused by compile with a finding
        return b""
