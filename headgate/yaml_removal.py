"""Takes documents out of a YAML file and leaves every other byte as it was. Pure.

In: the text, and which documents are meant. Out: the text without them, or None when no document is left.
`providers_folder` calls it.

A document reaches from its `---` to the next one, its comments included; what stands before the first `---`
is the file's, and so is a block of comments at the top that a blank line parts from the first document. The
one subtle rule: where a cut could change what the rest means (a directive needs the end mark before it, a
List is one document), nothing is cut.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import yaml

from headgate.yaml_lines import parse_yaml


class CannotRemove(ValueError):
    """The message says why, and ends a sentence that begins with the file."""


def remove_documents(text: str, is_meant: Callable[[Mapping[str, Any]], bool]) -> str | None:
    """Raises CannotRemove, and YamlProblem for text that is not YAML."""
    parse_yaml(text)  # what is wrong, in good words
    parts = [(part, _read_part(part)) for part in _split(text)]
    kept: list[str] = []
    remain = 0
    for part, value in parts:
        if value is None:
            kept.append(part)
        elif isinstance(value, Mapping) and is_meant(value):
            kept.append(_find_heading(part))
        else:
            _refuse_list(value, is_meant)
            kept.append(part)
            remain += 1
    return "".join(kept) if remain else None


def find_documents(text: str) -> Iterator[Mapping[str, Any]]:
    """Objects, those in a List too. Raises YamlProblem."""
    for document in parse_yaml(text):
        if isinstance(document.value, Mapping):
            yield document.value
            yield from _list_items(document.value)


def _split(text: str) -> list[str]:
    """Together they are the text. Each holds one document at most. Raises CannotRemove."""
    bounds = [0]
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        if isinstance(token, yaml.DirectiveToken):
            raise CannotRemove("it has YAML directives: take it out by hand")
        if isinstance(token, yaml.DocumentStartToken):
            bounds.append(token.start_mark.index)
    bounds.append(len(text))
    return [text[begin:end] for begin, end in pairwise(bounds) if begin < end]


def _read_part(part: str) -> Any:
    """None where it holds comments alone."""
    documents = parse_yaml(part)
    return documents[0].value if documents else None


def _find_heading(part: str) -> str:
    """Of a document that begins without `---`: the comments above it that are not about it."""
    lines = part.splitlines(keepends=True)
    heading = 0
    for number, line in enumerate(lines):
        stripped = line.lstrip("\ufeff").strip()
        if not stripped:
            heading = number + 1
        elif not stripped.startswith("#"):
            break
    return "".join(lines[:heading])


def _refuse_list(value: Any, is_meant: Callable[[Mapping[str, Any]], bool]) -> None:
    if isinstance(value, Mapping) and any(is_meant(item) for item in _list_items(value)):
        raise CannotRemove("it stands in a List there: take it out by hand")


def _list_items(value: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    items = value.get("items")
    if value.get("kind") == "List" and isinstance(items, list):
        yield from (item for item in items if isinstance(item, Mapping))
