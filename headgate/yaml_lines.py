"""YAML text to plain objects that know their lines.

In: the text of one file. Out: documents, each with the line of every field, or the first thing that is wrong
with the text. Called by `folder`. What Kubernetes would not take is refused here too: tabs, a key given
twice, values that JSON has no form for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

_MAX_DEPTH: Final = 100
_MAX_FIELDS: Final = 200_000
"""A file of a few kilobytes can say billions of fields by anchors; the API server refuses such files too."""

_KEY_TAGS: Final = frozenset({"tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"})
"""YAML 1.1 reads `on`, `yes`, `no` and `off` as truth, also before a colon."""


@dataclass(frozen=True, slots=True)
class Document:
    value: Any
    lines: Mapping[str, int]
    """Path such as `spec.targets[0].weight` to its line, counted from 1. The document itself has the empty
    path.
    """

    def line_of(self, path: str) -> int:
        """The line of `path`, or of the nearest thing around it that is there."""
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get(path, 1)


class YamlProblem(ValueError):
    """`line` counts from 1; the message names the remedy."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


class _Loader(yaml.SafeLoader):
    """Like the API server, it knows no dates: `2026-01-01` stays text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse_yaml(text: str) -> tuple[Document, ...]:
    """Empty documents are left out. Raises YamlProblem for text that is not YAML as Kubernetes takes it."""
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlProblem(line, f"the character {error.character:#04x} is not allowed: remove it") from error
    documents: list[Document] = []
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                break
            lines: dict[str, int] = {}
            _note_lines(node, "", lines)
            value = loader.construct_document(node)
            if value is not None:
                documents.append(Document(value, lines))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlProblem(mark.line + 1 if mark else 1, _teach(error)) from error
    finally:
        loader.dispose()
    return tuple(documents)


def _note_lines(node: yaml.Node, path: str, lines: dict[str, int], depth: int = 0) -> None:
    if depth > _MAX_DEPTH or len(lines) > _MAX_FIELDS:
        raise YamlProblem(node.start_mark.line + 1, "anchors make this too large or endless: write it out")
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            _note_lines(item, f"{path}[{i}]", lines, depth + 1)
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            name = str(key.value)
            if key.tag not in _KEY_TAGS:
                what = "true or false" if key.tag.endswith(":bool") else "no text"
                raise YamlProblem(line, f"the key {name} is {what} to YAML: put it in quotes, or mend it")
            if name in seen and name != "<<":
                raise YamlProblem(line, f"{name!r} stands here and on line {seen[name]}: keep one of them")
            seen[name] = line
            child = f"{path}.{name}" if path else name
            _note_lines(value, child, lines, depth + 1)
            lines[child] = line


def _teach(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "this is not YAML"
    if "'\\t'" in problem:
        return "a tab cannot indent YAML: use spaces"
    where = f" ({error.context})" if error.context else ""
    return f"not YAML: {problem}{where}"
