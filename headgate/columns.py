"""Objects as `kubectl get` shows them: the same columns, from the same table (`api.kinds`), for `headgate
status`.

In: raw objects with their status. Out: lines of text. JSONPath is the small part that our own columns use:
fields, and one filter on a list of conditions.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from headgate_operator.api.kinds import Column, Kind

_STEP: Final = re.compile(r'\.(\w+)(?:\[\?\(@\.(\w+)=="([^"]*)"\)\])?')
_GAP: Final = "   "


def build_table(
    kind: Kind, objects: Sequence[Mapping[str, Any]], now: datetime, *, wide: bool, namespaces: bool
) -> list[str]:
    """Header and one line an object, padded. `namespaces` adds the column that `kubectl get -A` has."""
    columns = [c for c in kind.columns if wide or c.priority == 0]
    header = [*(["NAMESPACE"] if namespaces else []), "NAME", *(c.name.upper() for c in columns)]
    rows = [header]
    for item in objects:
        metadata = item["metadata"]
        row = [
            *([metadata["namespace"]] if namespaces else []),
            f"{kind.singular}.headgate.dev/{metadata['name']}",
        ]
        row += [_show(column, find_path(item, column.path), now) for column in columns]
        rows.append(row)
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    return [
        _GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def find_path(item: object, path: str) -> object:
    """What a column's path leads to, or None."""
    for field, key, wanted in _STEP.findall(path):
        item = item.get(field) if isinstance(item, Mapping) else None
        if key:
            entries = item if isinstance(item, Sequence) else ()
            item = next((e for e in entries if isinstance(e, Mapping) and e.get(key) == wanted), None)
    return item


def _show(column: Column, value: object, now: datetime) -> str:
    if value is None or value == "":
        return ""
    if column.type == "date":
        return _show_age((now - datetime.fromisoformat(str(value)).astimezone(UTC)).total_seconds())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(f'"{entry}"' for entry in value) + "]"
    return str(value)


def _show_age(seconds: float) -> str:
    """As kubectl does: the two largest units while they are few, then one."""
    whole = max(int(seconds), 0)
    if whole < 120:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours = minutes // 60
    return f"{hours}h" if hours < 48 else f"{hours // 24}d"
