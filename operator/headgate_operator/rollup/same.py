"""Whether two statuses say the same, so that there is nothing to write.

In: raw statuses, ours or what the API server gave back. `observedAt` and `lastTransitionTime` do not count:
the one moves by itself, the other only together with a status. Nor does the order of lists that have keys.
"""

from collections.abc import Mapping
from typing import Final

_TIMES: Final = frozenset({"observedAt", "lastTransitionTime"})
_LIST_KEYS: Final = {"conditions": "type", "endpoints": "name", "limits": "name", "keys": "id"}


def same_status(a: Mapping[str, object] | None, b: Mapping[str, object] | None) -> bool:
    """None, for an object without a status, is the same as an empty one."""
    return _normalise(a or {}) == _normalise(b or {})


def _normalise(value: object, name: str = "") -> object:
    if isinstance(value, Mapping):
        return {key: _normalise(child, key) for key, child in value.items() if key not in _TIMES}
    if isinstance(value, list | tuple):
        items = [_normalise(child) for child in value]
        list_key = _LIST_KEYS.get(name)
        return items if list_key is None else sorted(items, key=lambda item: _key_of(item, list_key))
    return value


def _key_of(item: object, list_key: str) -> str:
    return str(item.get(list_key)) if isinstance(item, Mapping) else ""
