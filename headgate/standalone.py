"""The control plane without a cluster: a folder instead of the API server, the same compile, the same
statuses.

    files -> FolderReading -> Resources -> compile -> table (for the gateway), findings (for the terminal),
    statuses (for `status`)

Called by `up` on each change and by `validate` once. A file that does not parse keeps its last good content
serving; an object that does not make sense keeps its last good version (`compile` sees to that). Generations
count up per object as its spec changes, so that statuses mean the same as in a cluster.
"""

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from gateway_runtime.contract.secret import Secret
from headgate.environment import find_secrets
from headgate.findings import LocatedFinding, locate_findings
from headgate.folder import (
    FileObject,
    FileReading,
    FolderReading,
    find_files,
    join_files,
    parse_file,
    read_file,
)
from headgate_operator.api.manifest import BrokenManifest, Manifest, Meta, parse_manifest
from headgate_operator.api.model import ApiModel
from headgate_operator.compile import Compiled, compile_resources
from headgate_operator.compile.resources import Resources

NO_FILE: Final = Path("environment")
"""Where findings say that manifests without a file stand."""


@dataclass(frozen=True, slots=True)
class Reload:
    """What one look at the folder came to."""

    reading: FolderReading
    compiled: Compiled
    findings: tuple[LocatedFinding, ...]

    @property
    def summary(self) -> str:
        table = self.compiled.table
        counts = (
            (len(table.providers), "provider"),
            (len(table.routes), "route"),
            (len(table.tenants), "tenant"),
        )
        return ", ".join(f"{n} {noun}{'' if n == 1 else 's'}" for n, noun in counts)


class Standalone:
    def __init__(
        self, paths: Sequence[Path], environment: Mapping[str, str], created: str, manifests: str = ""
    ) -> None:
        """`created` stands for the objects' creation time (RFC 3339): files have none that means anything.
        `manifests`: YAML that comes from no file, beside the paths.
        """
        self._paths = tuple(paths)
        self._manifests = manifests
        self._environment = environment
        self._created = created
        self._salt = Secret(secrets.token_hex(32))
        self._good: dict[Path, FileReading] = {}
        self._generations: dict[tuple[str, str, str], tuple[str, int]] = {}
        self._compiled: Compiled | None = None

    def reload(self) -> Reload:
        """Reads everything anew. Never raises for what stands in the files."""
        reading = join_files(self._read_files())
        compiled = compile_resources(self._build_resources(reading), self._compiled)
        self._compiled = compiled
        return Reload(reading, compiled, locate_findings(reading, compiled))

    def _read_files(self) -> Iterable[FileReading]:
        readings: dict[Path, FileReading] = {}
        for path in find_files(self._paths):
            reading = read_file(path)
            if reading is None:
                continue
            before = self._good.get(path)
            if reading.problems and not reading.objects and before is not None:
                # The file as a whole is broken: say so, and serve what it said last.
                reading = replace(before, problems=reading.problems)
            readings[path] = reading
        self._good = {path: replace(reading, problems=()) for path, reading in readings.items()}
        return [*readings.values(), *([parse_file(self._manifests, NO_FILE)] if self._manifests else [])]

    def _build_resources(self, reading: FolderReading) -> Resources:
        manifests = [self._parse(item) for item in reading.objects]
        by_kind: dict[str, list[Any]] = {"LLMProvider": [], "ModelRoute": [], "TenantQuota": []}
        for manifest in manifests:
            by_kind[manifest.meta.kind].append(manifest)
        sound = [p for p in by_kind["LLMProvider"] if isinstance(p, Manifest)]
        return Resources(
            providers=tuple(by_kind["LLMProvider"]),
            routes=tuple(by_kind["ModelRoute"]),
            quotas=tuple(by_kind["TenantQuota"]),
            secrets=find_secrets(sound, reading.secrets, self._environment),
            key_salt=self._salt,
        )

    def _parse(self, item: FileObject) -> Manifest[ApiModel] | BrokenManifest:
        parsed = parse_manifest(item.raw, refuse_unknown_fields=True)
        spec = json.dumps(item.raw.get("spec"), sort_keys=True, default=str)
        before, generation = self._generations.get(item.id, ("", 0))
        if spec != before:
            generation += 1
            self._generations[item.id] = (spec, generation)
        kind, namespace, name = item.id
        meta = Meta(
            created=self._created,
            namespace=namespace,
            name=name,
            kind=kind,
            uid=f"file:{kind}/{namespace}/{name}",
            generation=generation,
        )
        return replace(parsed, meta=meta)
