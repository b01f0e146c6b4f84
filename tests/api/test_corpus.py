"""One corpus of objects, and two judges asked about each: the Python models and the CRD on a real API server.

A file is `corpus/<kind>-<situation>.yaml`: first what is expected (`accepted: true`, or `refused` with each
field and our whole message), then the object.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from headgate_operator.api.fields import FORMS
from headgate_operator.api.kinds import KINDS
from headgate_operator.api.structural import build_structure
from tests.api.boundaries import find_patterns, walk_schema
from tests.api.judges import ApiServer, ask_python, find_disagreement

FOLDER = Path(__file__).parent / "corpus"
FILES = sorted(FOLDER.iterdir())
SPECS = {name: build_structure(kind.spec, name) for name, kind in KINDS.items()}
RULES = sorted(
    {
        rule["message"]
        for spec in SPECS.values()
        for node in walk_schema(spec)
        for rule in node.get("x-kubernetes-validations", ())
    }
)


def read(file: Path) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Expectation and object."""
    expectation, raw = yaml.safe_load_all(file.read_text(encoding="utf-8"))
    return expectation, raw


def refusals() -> list[tuple[str, str]]:
    """Every (path, message) that the corpus expects."""
    return [entry for file in FILES for entry in read(file)[0].get("refused", {}).items()]


def is_in_corpus(message: str) -> bool:
    return any(expected.startswith(message) for _, expected in refusals())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_python_says_what_the_corpus_expects(file: Path) -> None:
    expectation, raw = read(file)

    assert ask_python(raw) == {path: (message,) for path, message in expectation.get("refused", {}).items()}
    assert bool(expectation.get("accepted")) != bool(expectation.get("refused"))


@pytest.mark.kube
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_api_server_finds_fault_with_the_same_fields(file: Path, api_server: ApiServer) -> None:
    _, raw = read(file)

    assert find_disagreement(ask_python(raw), api_server.ask(raw)) == ""


@pytest.mark.kube
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_rule_speaks_the_same_words_on_both_sides(file: Path, api_server: ApiServer) -> None:
    expectation, raw = read(file)
    server = api_server.ask(raw)
    rules_broken = {path: said for path, said in expectation.get("refused", {}).items() if said in RULES}

    assert all(message in server[path] for path, message in rules_broken.items())


def test_a_file_is_named_after_its_kind_and_situation() -> None:
    kinds = {file.stem.partition("-")[0]: read(file)[1]["kind"] for file in FILES}

    assert kinds == {kind.singular: kind.name for kind in KINDS.values()}
    assert all(file.suffix == ".yaml" for file in FILES)


@pytest.mark.parametrize("message", RULES)
def test_every_rule_is_broken_by_a_file(message: str) -> None:
    assert is_in_corpus(message)


@pytest.mark.parametrize(
    "words", sorted({FORMS[pattern].words for spec in SPECS.values() for pattern in find_patterns(spec)})
)
def test_every_pattern_is_missed_by_a_file(words: str) -> None:
    assert is_in_corpus(f"must be {words}")


@pytest.mark.parametrize("kind", SPECS)
def test_every_enum_is_missed_by_a_file(kind: str) -> None:
    enums = [node["enum"] for node in walk_schema(SPECS[kind]) if "enum" in node]

    assert all(is_in_corpus(f"must be {'one of ' if len(e) > 1 else ''}{', '.join(e)}, not") for e in enums)


@pytest.mark.parametrize("kind", SPECS)
def test_every_field_is_in_a_full_example(kind: str) -> None:
    """Of a provider there are several, since what one type needs excludes what another one does."""
    files = FOLDER.glob(f"{KINDS[kind].singular}-full*.yaml")
    missing = [set(_missing_fields(SPECS[kind], read(file)[1]["spec"], "spec")) for file in files]

    assert set.intersection(*missing) == set()


def _missing_fields(schema: Mapping[str, Any], value: Any, path: str) -> list[str]:
    if schema.get("type") == "array":
        return _missing_fields(schema["items"], value[0], f"{path}[0]")
    missing = []
    for field, child in schema.get("properties", {}).items():
        if field not in value:
            missing.append(f"{path}.{field}")
        else:
            missing += _missing_fields(child, value[field], f"{path}.{field}")
    return missing
