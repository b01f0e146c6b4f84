"""An LLMProvider as the API server or `headgate up` shows it, in the form of `/v1/providers`. Pure.

In: the raw object, perhaps one that makes no sense, since a folder holds what people write. Out: a
`ListedProvider`. Called by `providers_cluster` and `providers_folder`.

The one subtle rule: only known fields come out, and a URL only without a user part. Somebody may have written
a key in the wrong place.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from gateway_runtime.server.providers_api import ListedCondition, ListedEndpoint, ListedProvider

_READINESS: Final = {"True": True, "False": False}


def describe_provider(raw: Mapping[str, Any]) -> ListedProvider:
    metadata, spec, status = (_mapping(raw.get(part)) for part in ("metadata", "spec", "status"))
    namespace, name = _text(metadata.get("namespace")) or "default", _text(metadata.get("name"))
    conditions = tuple(_list_conditions(status))
    ready = next((_READINESS.get(c.status) for c in conditions if c.type == "Ready"), None)
    return ListedProvider(
        id=f"{namespace}/{name}",
        created=_read_time(metadata.get("creationTimestamp")),
        name=name,
        namespace=namespace,
        type=_text(spec.get("type")),
        base_url=_find_url(spec.get("baseUrl")),
        endpoints=tuple(
            ListedEndpoint(name=_text(item.get("name")), url=_find_url(item.get("url")) or "")
            for item in _items(spec.get("endpoints"))
        ),
        models=tuple(_text(item.get("name")) for item in _items(spec.get("models"))),
        credentials=tuple(_text(item.get("name")) for item in _items(spec.get("credentials"))),
        ready=ready,
        health=_text(status.get("health")) or None,
        circuit=_text(status.get("circuit")) or None,
        conditions=conditions,
    )


def _list_conditions(status: Mapping[str, Any]) -> Iterator[ListedCondition]:
    for item in _items(status.get("conditions")):
        yield ListedCondition(
            type=_text(item.get("type")),
            status=_text(item.get("status")),
            reason=_text(item.get("reason")),
            message=_text(item.get("message")),
        )


def _read_time(text: object) -> int:
    try:
        return int(datetime.fromisoformat(_text(text)).timestamp())
    except ValueError:
        return 0


def _find_url(value: object) -> str | None:
    try:
        return _text(value) or None if "@" not in urlsplit(_text(value)).netloc else None
    except ValueError:
        return None


def _items(value: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list | tuple):
        yield from (item for item in value if isinstance(item, Mapping))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
