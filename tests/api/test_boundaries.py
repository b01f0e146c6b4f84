"""Every bound, enum value, pattern, required field and type of every field, put to both judges."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from headgate_operator.api.fields import FORMS
from headgate_operator.api.kinds import KINDS
from headgate_operator.api.structural import build_structure
from tests.api.boundaries import SAMPLES, Case, build_cases
from tests.api.judges import ApiServer, ask_python, find_disagreement

CORPUS = Path(__file__).parent / "corpus"
FULL = {
    # The second document; the first one is what the corpus expects.
    name: [*yaml.safe_load_all((CORPUS / f"{kind.singular}-full.yaml").read_text())][1]
    for name, kind in KINDS.items()
}
# Not in the full example of its kind, since it and the endpoints exclude each other.
WITH_BASE_URL = {**FULL["LLMProvider"], "spec": {"type": "openai-compatible", "baseUrl": "http://a"}}
CASES = [
    case
    for kind, full in (*FULL.items(), ("LLMProvider", WITH_BASE_URL))
    for case in build_cases(build_structure(KINDS[kind].spec, kind), full)
]


def name(case: Case) -> str:
    return f"{case.value['kind']}-{case.name}"


@pytest.mark.parametrize("case", CASES, ids=name)
def test_python_refuses_what_is_beyond_a_bound_and_nothing_else(case: Case) -> None:
    inside = (f"{case.path}.", f"{case.path}[")
    at_fault = [path for path in ask_python(case.value) if path == case.path or path.startswith(inside)]

    assert (at_fault == []) == case.good


@pytest.mark.kube
@pytest.mark.parametrize("case", CASES, ids=name)
def test_both_judges_agree_on_it(case: Case, api_server: ApiServer) -> None:
    assert find_disagreement(ask_python(case.value), api_server.ask(case.value)) == ""


def test_every_pattern_has_samples() -> None:
    assert SAMPLES.keys() == FORMS.keys()
