"""What is wrong in a folder, each finding with its file and line: the common output of `validate` and `up`.

In: what `folder` read and `compile` judged. Out: `LocatedFinding`s in the order of files and lines.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from headgate.folder import FileObject, FolderReading, Location
from headgate_operator.compile import Compiled


@dataclass(frozen=True, slots=True)
class LocatedFinding:
    location: Location
    code: str
    """`HGnnnn`."""
    object: str
    """`ModelRoute team-a/chat`, or empty for a finding about a file."""
    field: str
    message: str

    def __str__(self) -> str:
        subject = f"{self.object}: " if self.object else ""
        return f"{self.location}: {self.code} {subject}{self.message}"


def locate_findings(reading: FolderReading, compiled: Compiled) -> tuple[LocatedFinding, ...]:
    found = [LocatedFinding(p.location, p.code, "", "", p.message) for p in reading.problems]
    found += _locate_verdicts(reading.objects, compiled)
    return tuple(sorted(found, key=lambda f: (str(f.location.file), f.location.line, f.code, f.message)))


def _locate_verdicts(objects: Iterable[FileObject], compiled: Compiled) -> Iterator[LocatedFinding]:
    by_id: Mapping[tuple[str, str, str], FileObject] = {item.id: item for item in objects}
    for verdict in compiled.verdicts.values():
        meta = verdict.meta
        item = by_id.get((meta.kind, meta.namespace, meta.name))
        if item is None:
            continue
        for finding in verdict.findings:
            yield LocatedFinding(
                item.locate(finding.field), finding.code.id, str(meta), finding.field, finding.message
            )
