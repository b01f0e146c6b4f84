"""Every bound, enum value, pattern, required field and type of every field, put to both judges."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from headgate_operator.api.fields import FORMS
from headgate_operator.api.kinds import KINDS
from headgate_operator.api.structural import build_structure
from tests.api.boundaries import SAMPLES, Case, build_cases, find_patterns
from tests.api.judges import ApiServer, ask_python, find_disagreement

CORPUS = Path(__file__).parent / "corpus"
# Of a provider there are several: what one type needs excludes what another one does.
FULL = [
    # The second document; the first one is what the corpus expects.
    [*yaml.safe_load_all(file.read_text())][1]
    for kind in KINDS.values()
    for file in sorted(CORPUS.glob(f"{kind.singular}-full*.yaml"))
]
CASES = [
    case
    for full in FULL
    for case in build_cases(build_structure(KINDS[full["kind"]].spec, full["kind"]), full)
]


def name(case: Case) -> str:
    kind, spec = case.value["kind"], case.value["spec"]
    provider_type = spec.get("type", "") if isinstance(spec, dict) and kind == "LLMProvider" else ""
    return f"{kind}-{provider_type}-{case.name}"


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
    used = {
        pattern for name, kind in KINDS.items() for pattern in find_patterns(build_structure(kind.spec, name))
    }

    assert SAMPLES.keys() == used
    assert used <= FORMS.keys()
