"""Documents are taken out of YAML files, and every other byte stays."""

from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headgate.yaml_lines import YamlProblem
from headgate.yaml_removal import CannotRemove, find_documents, remove_documents

FILE = """\
# Licence of the file

# About A
kind: A
---
# About B
kind: B   # beside it
list:
  - "---"
  - |
    ---
    kind: A
---

# About C
kind: C
"""


def without(text: str, *kinds: str) -> str | None:
    return remove_documents(text, lambda item: item.get("kind") in kinds)


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        ("A", "# Licence of the file\n\n" + FILE[FILE.index("---") :]),
        ("B", FILE[: FILE.index("---")] + FILE[FILE.rindex("---") :]),
        ("C", FILE[: FILE.rindex("---")]),
        ("D", FILE),
    ],
)
def test_the_other_documents_keep_every_byte(kind: str, left: str) -> None:
    assert without(FILE, kind) == left


def test_nothing_is_left_of_a_file_without_documents() -> None:
    assert without(FILE, "A", "B", "C") is None
    assert without("---\nkind: A\n---\n# nothing\n", "A") is None


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("kind: A\r\n---\r\nkind: B # two\r\n", "---\r\nkind: B # two\r\n"),
        ("\ufeff# head\n\nkind: A\n---\nkind: B", "\ufeff# head\n\n---\nkind: B"),
        ("--- {kind: A}\n--- {kind: B}\n", "--- {kind: B}\n"),
        ("kind: A\n...\n---\nkind: B\n", "---\nkind: B\n"),
    ],
    ids=["line ends", "byte order mark", "flow", "end mark"],
)
def test_files_may_be_written_in_many_ways(text: str, left: str) -> None:
    assert without(text, "A") == left


def test_a_file_with_directives_is_left_alone() -> None:
    with pytest.raises(CannotRemove) as refused:
        without("kind: A\n---\nkind: B\n...\n%YAML 1.1\n---\nkind: C\n", "B")

    assert str(refused.value) == "it has YAML directives: take it out by hand"


def test_an_item_of_a_list_is_left_alone() -> None:
    text = "kind: List\nitems:\n  - kind: A\n  - kind: B\n"

    with pytest.raises(CannotRemove) as refused:
        without(text, "B")

    assert str(refused.value) == "it stands in a List there: take it out by hand"
    assert [item["kind"] for item in find_documents(text)] == ["List", "A", "B"]
    assert without(text, "C") == text


def test_text_that_is_not_yaml_is_left_alone() -> None:
    with pytest.raises(YamlProblem):
        without("kind: A\n---\n\tkind: B\n", "A")


_WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12)
_VALUES = st.recursive(
    _WORDS | st.integers() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(_VALUES, min_size=1, max_size=5), st.sets(st.integers(0, 4)), st.booleans())
def test_what_is_left_says_what_it_said(values: list[Any], meant: set[int], ends: bool) -> None:
    documents = [{"number": number, "value": value} for number, value in enumerate(values)]
    text = yaml.safe_dump_all(documents, allow_unicode=True, explicit_start=True, explicit_end=ends)

    def is_meant(item: Mapping[str, Any]) -> bool:
        return item["number"] in meant

    left = remove_documents(text, is_meant)

    kept = [document for document in documents if document["number"] not in meant]
    assert (left is None) == (not kept)
    assert list(yaml.safe_load_all(left or "")) == kept
