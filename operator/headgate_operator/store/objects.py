"""The custom resources by key, newest version each.

In: raw objects. Out: parsed manifests with the status last seen. Called by `Store`.

Rules. The newest resourceVersion wins, so an event that comes late never undoes a newer one. A deleted
object leaves a tombstone, so a list that began before the deletion does not bring it back. An object that
is being deleted but kept by somebody's finalizer counts as deleted: its owner wants it gone. The spec is
parsed again only for another uid or generation, never because a status was written.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NamedTuple

from headgate_operator.api.manifest import BrokenManifest, FieldProblem, Manifest, parse_manifest, parse_meta
from headgate_operator.api.model import ApiModel

AnyManifest = Manifest[ApiModel] | BrokenManifest

_TOMBSTONES: Final = 10_000
"""How many are kept. They matter for the seconds that a list takes; a guess at who deletes more meanwhile."""


class Change(Enum):
    NOTHING = "Nothing"
    REST = "Rest"
    """Its status, labels or the like; the spec is the same."""
    SPEC = "Spec"


class Listed(NamedTuple):
    """What a metadata-only list says of one object."""

    uid: str
    generation: int
    resource_version: int


class Ghosts(NamedTuple):
    """Where a list and the store differ, by key."""

    gone: tuple[str, ...]
    """In the store, but not in the cluster."""
    stale: tuple[str, ...]
    """In the cluster in a newer generation, or not in the store at all."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    manifest: AnyManifest
    resource_version: int
    status: Mapping[str, object] | None
    """As it was read."""


class Objects:
    def __init__(self, on_error: Callable[[str, Exception], None]) -> None:
        """`on_error(key, error)`: parsing raised, which is a bug; the object counts as broken."""
        self._on_error = on_error
        self._objects: dict[str, StoredObject] = {}
        self._tombstones: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[str]:
        return iter(self._objects)

    def get(self, key: str) -> StoredObject | None:
        return self._objects.get(key)

    def of_kind(self, kind: str) -> Iterator[StoredObject]:
        return (stored for stored in self._objects.values() if stored.manifest.meta.kind == kind)

    def upsert(self, raw: Mapping[str, Any]) -> Change:
        """`raw` as the API server gives it, apiVersion and kind included."""
        metadata = raw["metadata"]
        key = object_key(raw)
        version = parse_version(metadata["resourceVersion"])
        before = self._objects.get(key)
        if version <= max(before.resource_version if before else 0, self._tombstones.get(key, 0)):
            return Change.NOTHING
        if metadata.get("deletionTimestamp"):
            return self.remove(key, version)
        status = raw.get("status") or None
        if before is not None and (before.manifest.meta.uid, before.manifest.meta.generation) == (
            metadata.get("uid"),
            metadata.get("generation"),
        ):
            self._objects[key] = StoredObject(before.manifest, version, status)
            return Change.REST
        self._objects[key] = StoredObject(self._parse(key, raw), version, status)
        return Change.SPEC

    def remove(self, key: str, version: int) -> Change:
        """`version`: of the deletion; what is newer in the store stays, another object has taken the name."""
        self._bury(key, version)
        before = self._objects.get(key)
        if before is None or before.resource_version > version:
            return Change.NOTHING
        del self._objects[key]
        return Change.SPEC

    def compare(
        self, kind: str, namespace: str | None, listed: Mapping[str, Listed], list_version: int
    ) -> Ghosts:
        """`listed`: all of the kind, in the namespace or everywhere, as of `list_version`."""
        gone = tuple(
            key
            for key, stored in self._objects.items()
            if stored.manifest.meta.kind == kind
            and namespace in (None, stored.manifest.meta.namespace)
            and key not in listed
            and stored.resource_version <= list_version
        )
        return Ghosts(gone, tuple(key for key, seen in listed.items() if self._lacks(key, seen)))

    def _lacks(self, key: str, seen: Listed) -> bool:
        stored = self._objects.get(key)
        if stored is None:
            return seen.resource_version > self._tombstones.get(key, 0)
        meta = stored.manifest.meta
        return seen.resource_version > stored.resource_version and (seen.uid, seen.generation) != (
            meta.uid,
            meta.generation,
        )

    def _parse(self, key: str, raw: Mapping[str, Any]) -> AnyManifest:
        try:
            return parse_manifest(raw)
        except Exception as error:  # one object must not stop the others, whatever is wrong with our parser
            self._on_error(key, error)
            problem = FieldProblem(
                "spec",
                f"cannot be read by this version of the operator ({type(error).__name__}); its log says more",
            )
            return BrokenManifest(parse_meta(raw), (problem,))

    def _bury(self, key: str, version: int) -> None:
        self._tombstones[key] = max(version, self._tombstones.pop(key, 0))
        if len(self._tombstones) > _TOMBSTONES:
            self._tombstones.popitem(last=False)


def object_key(raw: Mapping[str, Any]) -> str:
    """`<Kind>/<namespace>/<name>`, as verdicts have it."""
    metadata = raw["metadata"]
    return f"{raw['kind']}/{metadata['namespace']}/{metadata['name']}"


def parse_version(text: str) -> int:
    """A resourceVersion: by KEP-5504 a decimal number that grows, and all API servers have always done so."""
    return int(text)
