"""`headgate validate`: the operator's own compile over files, with file and line. Talks to nothing.

In: paths. Out: findings on stdout (text or JSON), and whether there were any. A Secret that the files do not
hold is not a finding here, since Secrets are kept out of Git for good reasons; `--secrets` asks for them too.
Nor is it one that a service account has no cluster: the files may be meant for one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from headgate.findings import LocatedFinding
from headgate.standalone import Standalone
from headgate_operator.api.reasons import Code

_ABOUT_SECRETS: Final = frozenset({Code.SECRET_NOT_FOUND.id})
_ABOUT_CLUSTERS: Final = frozenset({Code.ACCOUNTS_UNKNOWN.id})


@dataclass(frozen=True, slots=True)
class Validation:
    findings: tuple[LocatedFinding, ...]
    objects: int
    files: int
    ignored: int

    @property
    def summary(self) -> str:
        """One line for people; success is said aloud with its count."""
        found = (
            f"{len(self.findings)} problem{'' if len(self.findings) == 1 else 's'}"
            if self.findings
            else "no problems"
        )
        ignored = f" ({self.ignored} of other kinds ignored)" if self.ignored else ""
        return (
            f"{self.objects} object{'' if self.objects == 1 else 's'} in {self.files} "
            f"file{'' if self.files == 1 else 's'}{ignored}: {found}"
        )


def validate_paths(paths: Sequence[Path], *, secrets: bool) -> Validation:
    """`secrets`: a missing Secret counts as a problem."""
    reload = Standalone(paths, environment={}, created="").reload()
    unasked = _ABOUT_CLUSTERS if secrets else _ABOUT_CLUSTERS | _ABOUT_SECRETS
    return Validation(
        findings=tuple(f for f in reload.findings if f.code not in unasked),
        objects=len(reload.reading.objects),
        files=reload.reading.files,
        ignored=reload.reading.ignored,
    )


def build_json(validation: Validation) -> str:
    """`{"findings": [{file, line, code, object, field, message}], "objects": n, "files": n, "ignored": n}`"""
    findings = [
        {
            "file": str(f.location.file),
            "line": f.location.line,
            "code": f.code,
            "object": f.object,
            "field": f.field,
            "message": f.message,
        }
        for f in validation.findings
    ]
    document = {
        "findings": findings,
        "objects": validation.objects,
        "files": validation.files,
        "ignored": validation.ignored,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
