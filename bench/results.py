"""`bench/RESULTS.md`: one section per program, replaced as a whole by each run.

In: a section's name, the command that makes it, its lines. Figures hold within one run on one machine ("2
cores"), so every section says when it was made.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
_HEAD = """\
# Results

Measured on 2 cores, with everything (API server, operator, gateways, providers, callers) on the same two.
Each section says the command that gives it; figures of different runs do not compare.
"""


def write_section(name: str, command: str, lines: Sequence[str]) -> None:
    sections = _read_sections()
    day = datetime.now(UTC).date().isoformat()
    sections[name] = "\n".join((f"## {name}", "", f"`{command}`, {day}", "", *lines, ""))
    RESULTS.write_text("\n".join((_HEAD, *(sections[key] for key in sorted(sections)))))


def _read_sections() -> dict[str, str]:
    if not RESULTS.exists():
        return {}
    parts = RESULTS.read_text().split("\n## ")[1:]
    return {part.partition("\n")[0]: f"## {part.rstrip()}\n" for part in parts}
