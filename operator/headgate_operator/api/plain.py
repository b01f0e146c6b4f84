"""A spec as the API server sees it, from whatever a YAML or JSON parser gave.

In: any value. Out: dicts with text keys, tuples, text, numbers, booleans; no null inside an object. Called by
`manifest` before it parses. The subtle rule is null: in an object it is as if the field were absent, since
the API server prunes it and then puts the default in; in a list it stays, and is refused as an item.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

_DEEPEST: Final = 32
"""Our models end at 5. YAML anchors can make a list that contains itself."""


class TooDeep(ValueError):
    """The value has no end, or none that anyone could have meant."""


def to_plain(value: Any, depth: int = 0) -> Any:
    """Raises TooDeep."""
    if depth > _DEEPEST:
        raise TooDeep
    if isinstance(value, Mapping):
        return {str(k): to_plain(v, depth + 1) for k, v in value.items() if v is not None}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return tuple(to_plain(item, depth + 1) for item in value)  # strict pydantic takes no list for a tuple
    if isinstance(value, float) and value.is_integer():
        return int(value)  # JSON knows one kind of number, so 1.0 is 1
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)  # dates, which YAML makes of text like 2026-01-01
