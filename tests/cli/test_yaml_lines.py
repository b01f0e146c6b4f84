"""YAML text: every field knows its line, and what Kubernetes would not take is refused with the line."""

import pytest

from headgate.yaml_lines import YamlProblem, parse_yaml

TEXT = """\
# a comment
kind: A
spec:
  targets:
    - name: one
      weight: 3
    - name: two
---
---
kind: B
"""


def test_each_field_knows_its_line() -> None:
    first, second = parse_yaml(TEXT)

    assert first.value == {"kind": "A", "spec": {"targets": [{"name": "one", "weight": 3}, {"name": "two"}]}}
    assert first.line_of("kind") == 2
    assert first.line_of("spec.targets[0].weight") == 6
    assert first.line_of("spec.targets[1]") == 7
    assert second.line_of("kind") == 10


def test_a_missing_field_is_told_at_the_nearest_thing_around_it() -> None:
    (document, _) = parse_yaml(TEXT)

    assert document.line_of("spec.targets[1].weight") == 7
    assert document.line_of("spec.targets[9].weight") == 4
    assert document.line_of("nothing") == 2


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("kind: A\nspec:\n\tname: x\n", 3, "a tab cannot indent YAML: use spaces"),
        ("kind: A\nkind: B\n", 2, "'kind' stands here and on line 1: keep one of them"),
        (
            "kind: [A\nspec: {}\n",
            2,
            "not YAML: expected ',' or ']', but got ':' (while parsing a flow sequence)",
        ),
        ("kind: A\non: [x]\n", 2, "the key on is true or false to YAML: put it in quotes, or mend it"),
        ("kind: A\n1: x\n", 2, "the key 1 is no text to YAML: put it in quotes, or mend it"),
        ("kind: A\nname: x\x07\n", 2, "the character 0x07 is not allowed: remove it"),
        ("a: &a [*a]\n", 1, "anchors make this too large or endless: write it out"),
        (
            "kind: !!python/object:os.system {}\n",
            1,
            "not YAML: could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/object:os.system'",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(YamlProblem) as caught:
        parse_yaml(text)

    assert (caught.value.line, caught.value.message) == (line, message)


def test_a_date_stays_text_as_it_does_in_kubernetes() -> None:
    (document,) = parse_yaml("created: 2026-11-21\n")

    assert document.value == {"created": "2026-11-21"}
