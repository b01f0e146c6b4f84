"""A folder of manifests, read: objects that know their file and line, Secrets, and what is wrong with the
files.

In: paths of folders or files. Out: `FolderReading`. Called by `validate` once and by `standalone` on each
change. Files are read one by one and a broken one never hides another; kinds that are not ours (a
Kustomization, a Deployment) are counted and left alone, since people keep them side by side.
"""

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from gateway_runtime.contract.secret import Secret
from headgate.yaml_lines import Document, YamlProblem, parse_yaml
from headgate_operator.api.kinds import API_VERSION, GROUP, KINDS
from headgate_operator.compile.resources import SecretData, SecretId

SUFFIXES = (".yaml", ".yml")
DEFAULT_NAMESPACE = "default"


class FileCode(StrEnum):
    NOT_YAML = "HG0001"
    """The text is not YAML as Kubernetes takes it."""
    NOT_AN_OBJECT = "HG0002"
    """A document is not a Kubernetes object, or not of the version that we know."""
    DUPLICATE_OBJECT = "HG0003"
    """An object of the same kind, namespace and name was read before."""
    MALFORMED_SECRET = "HG0004"
    """A Secret's data is not base64, or not text."""
    UNREADABLE = "HG0005"
    """The file cannot be read."""


@dataclass(frozen=True, slots=True)
class Location:
    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class FileProblem:
    location: Location
    code: FileCode
    message: str


@dataclass(frozen=True, slots=True)
class FileObject:
    """An object of ours, as the file has it."""

    raw: Mapping[str, Any]
    document: Document
    file: Path
    prefix: str = ""
    """Path of the object inside its document: empty, or `items[2]` inside a List."""

    @property
    def id(self) -> tuple[str, str, str]:
        """Kind, namespace, name."""
        metadata = self.raw["metadata"]
        return (
            str(self.raw["kind"]),
            str(metadata.get("namespace") or DEFAULT_NAMESPACE),
            str(metadata["name"]),
        )

    def locate(self, path: str) -> Location:
        joined = f"{self.prefix}.{path}" if self.prefix and path else self.prefix or path
        return Location(self.file, self.document.line_of(joined))


@dataclass(frozen=True, slots=True)
class FileReading:
    """One file. With problems of the file as a whole, `objects` is empty."""

    objects: tuple[FileObject, ...] = ()
    secrets: Mapping[SecretId, SecretData] = field(default_factory=dict)
    problems: tuple[FileProblem, ...] = ()
    ignored: int = 0
    """Objects of kinds that are not ours."""


@dataclass(frozen=True, slots=True)
class FolderReading:
    files: int
    objects: tuple[FileObject, ...]
    secrets: Mapping[SecretId, SecretData]
    problems: tuple[FileProblem, ...]
    ignored: int


def find_files(paths: Iterable[Path]) -> Iterator[Path]:
    """YAML files below the given folders, sorted; a path that is a file is taken whatever its name. Hidden
    ones are left out.
    """
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for found in sorted(path.rglob("*")):
            hidden = any(part.startswith(".") for part in found.relative_to(path).parts)
            if found.suffix in SUFFIXES and not hidden and found.is_file():
                yield found


def read_file(path: Path) -> FileReading | None:
    """None when the file is gone by now: a folder may change while it is read."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        problem = FileProblem(Location(path, 1), FileCode.UNREADABLE, f"the file cannot be read: {error}")
        return FileReading(problems=(problem,))
    return parse_file(text, path)


def parse_file(text: str, path: Path) -> FileReading:
    try:
        documents = parse_yaml(text)
    except YamlProblem as error:
        return FileReading(
            problems=(FileProblem(Location(path, error.line), FileCode.NOT_YAML, error.message),)
        )
    objects: list[FileObject] = []
    secrets: dict[SecretId, SecretData] = {}
    problems: list[FileProblem] = []
    ignored = 0
    for item in (item for document in documents for item in _expand_list(document, path)):
        fault = _judge_object(item.raw)
        if fault is not None:
            problems.append(FileProblem(item.locate(fault[0]), FileCode.NOT_AN_OBJECT, fault[1]))
        elif item.raw["kind"] in KINDS:
            objects.append(item)
        elif item.raw["kind"] == "Secret" and item.raw.get("apiVersion") == "v1":
            data, faults = _read_secret(item)
            problems.extend(faults)
            secrets[SecretId(item.id[1], item.id[2])] = data
        else:
            ignored += 1
    return FileReading(tuple(objects), secrets, tuple(problems), ignored)


def join_files(readings: Iterable[FileReading]) -> FolderReading:
    """The files' objects together; of an object that is given twice the first stays."""
    files = ignored = 0
    objects: dict[tuple[str, str, str], FileObject] = {}
    secrets: dict[SecretId, SecretData] = {}
    problems: list[FileProblem] = []
    for reading in readings:
        files += 1
        ignored += reading.ignored
        problems.extend(reading.problems)
        secrets.update(reading.secrets)
        for item in reading.objects:
            first = objects.setdefault(item.id, item)
            if first is not item:
                kind, namespace, name = item.id
                problems.append(
                    FileProblem(
                        item.locate("metadata.name"),
                        FileCode.DUPLICATE_OBJECT,
                        f"{kind} {namespace}/{name} is already defined at {first.locate('metadata.name')}: "
                        "remove one of them or give it another name",
                    )
                )
    return FolderReading(files, tuple(objects.values()), secrets, tuple(problems), ignored)


def read_folder(paths: Iterable[Path]) -> FolderReading:
    return join_files(reading for path in find_files(paths) if (reading := read_file(path)) is not None)


def _expand_list(document: Document, path: Path) -> Iterator[FileObject]:
    value = document.value
    if isinstance(value, Mapping) and value.get("kind") == "List" and isinstance(value.get("items"), list):
        for i, item in enumerate(value["items"]):
            yield FileObject(item if isinstance(item, Mapping) else {}, document, path, f"items[{i}]")
    else:
        yield FileObject(value if isinstance(value, Mapping) else {}, document, path)


def _judge_object(raw: Mapping[str, Any]) -> tuple[str, str] | None:
    """The path at fault and a sentence, or None."""
    kind, version = raw.get("kind"), raw.get("apiVersion")
    if not isinstance(kind, str) or not isinstance(version, str):
        return "", "this is not a Kubernetes object: it needs apiVersion, kind and metadata.name"
    ours = kind in KINDS or version.partition("/")[0] == GROUP
    if ours and kind not in KINDS:
        return "kind", f"{GROUP} has no kind {kind!r}: it has {', '.join(KINDS)}"
    if ours and version != API_VERSION:
        return "apiVersion", f"{kind} has apiVersion {API_VERSION}, not {version!r}: correct it"
    metadata = raw.get("metadata")
    if (ours or kind == "Secret") and not (
        isinstance(metadata, Mapping) and isinstance(metadata.get("name"), str)
    ):
        return "metadata", f"this {kind} has no metadata.name: give it one"
    return None


def _read_secret(item: FileObject) -> tuple[SecretData, list[FileProblem]]:
    values: dict[str, Secret] = {}
    problems: list[FileProblem] = []
    for key, value in _entries(item.raw.get("data")):
        try:
            values[key] = Secret(base64.b64decode(str(value), validate=True).decode())
        except (binascii.Error, UnicodeDecodeError):
            problems.append(
                FileProblem(
                    item.locate(f"data.{key}"),
                    FileCode.MALFORMED_SECRET,
                    f"data.{key} is not base64 of a text: encode it, or move the plain text to stringData",
                )
            )
    for key, value in _entries(item.raw.get("stringData")):
        values[key] = Secret(str(value))
    return SecretData(values=values, watched=True), problems


def _entries(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        yield from ((str(key), entry) for key, entry in value.items())
