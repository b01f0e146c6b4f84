"""Objects that nobody would write: a full example with a few places replaced by whatever JSON can hold."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate_operator.api.kinds import KINDS
from headgate_operator.api.manifest import BrokenManifest, Manifest, parse_manifest
from tests.api.judges import ApiServer, ask_python

CORPUS = Path(__file__).parent / "corpus"
FULL = [
    [*yaml.safe_load_all(file.read_text())][1]
    for kind in KINDS.values()
    for file in sorted(CORPUS.glob(f"{kind.singular}-full*.yaml"))
]
Steps = tuple[str | int, ...]

texts = st.sampled_from(
    ["", "a", "A", "5m", "5", "*", "http://a", "true", "null", "\u00a0", "ä", "/", "a" * 300]
)
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(-1e9, 1e9) | texts
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, steps: Steps = ()) -> Iterator[Steps]:
    """Every place below the value, outermost first."""
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for step, child in children:
        yield (*steps, step)
        yield from places(child, (*steps, step))


@st.composite
def chance_objects(draw: st.DrawFn) -> dict[str, Any]:
    changed: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(FULL)))
    for _ in range(draw(st.integers(1, 3))):
        here = list(places(changed["spec"], ("spec",)))
        if not here:
            break  # all of it is gone
        *outer, last = draw(st.sampled_from(here))
        owner: Any = changed
        for step in outer:
            owner = owner[step]
        if draw(st.booleans()):
            owner[last] = draw(anything)
        elif isinstance(owner, dict):
            del owner[last]
        else:
            owner.append(draw(anything))
    return changed


@pytest.mark.kube
@settings(max_examples=300, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(raw=chance_objects())
def test_the_judges_agree_whether_a_chance_object_is_fine(api_server: ApiServer, raw: dict[str, Any]) -> None:
    python, server = ask_python(raw), api_server.ask(raw)

    assert (python == {}) == (server == {}), (python, server)


@settings(max_examples=300)
@given(raw=st.dictionaries(st.sampled_from(["apiVersion", "kind", "metadata", "spec", "x"]), anything))
def test_whatever_the_object_looks_like_parsing_never_raises(raw: dict[str, Any]) -> None:
    parsed = parse_manifest(raw, refuse_unknown_fields=True)

    assert isinstance(parsed, Manifest | BrokenManifest)


@settings(max_examples=300)
@given(raw=chance_objects())
def test_parsing_is_deterministic_and_a_broken_object_has_a_problem(raw: dict[str, Any]) -> None:
    once, again = (parse_manifest(copy.deepcopy(raw), refuse_unknown_fields=True) for _ in range(2))

    assert once == again
    assert isinstance(once, Manifest) or once.problems


@settings(max_examples=300)
@given(raw=chance_objects())
def test_parsing_leaves_its_input_alone(raw: dict[str, Any]) -> None:
    before = copy.deepcopy(raw)
    parse_manifest(raw)

    assert raw == before
