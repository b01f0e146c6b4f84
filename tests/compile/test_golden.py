"""Golden pairs: `testdata/<kind>-<situation>.in.yaml` against `.out.yaml`, which `--update-golden` writes."""

from pathlib import Path

import pytest
import yaml

from headgate_operator.api.reasons import Code
from tests.compile.situations import compile_situation, show_compiled

TESTDATA = Path(__file__).parent / "testdata"
SITUATIONS = sorted(path.name.removesuffix(".in.yaml") for path in TESTDATA.glob("*.in.yaml"))


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_situation_compiles_to_what_is_written(situation: str, update_golden: bool) -> None:
    shown = show_compiled(compile_situation((TESTDATA / f"{situation}.in.yaml").read_text()))
    expected = TESTDATA / f"{situation}.out.yaml"
    if update_golden:
        expected.write_text(shown)

    assert shown == expected.read_text()


def test_every_file_belongs_to_a_pair() -> None:
    names = {path.name for path in TESTDATA.iterdir()}
    pairs = {f"{situation}{half}" for situation in SITUATIONS for half in (".in.yaml", ".out.yaml")}

    assert names == pairs
    assert all(situation.startswith(("provider-", "route-", "quota-")) for situation in SITUATIONS)


def test_every_code_is_provoked_by_some_situation() -> None:
    shown = "".join(path.read_text() for path in TESTDATA.glob("*.out.yaml"))

    assert {code.id for code in Code if f"| {code.id} " in shown} == {code.id for code in Code}


def test_no_secret_value_is_shown_anywhere() -> None:
    for situation in SITUATIONS:
        text = (TESTDATA / f"{situation}.in.yaml").read_text()
        shown = (TESTDATA / f"{situation}.out.yaml").read_text()
        secrets = [d for d in yaml.safe_load_all(text) if d.get("kind") == "Secret"]
        values = {value.strip() for secret in secrets for value in secret["stringData"].values()} - {""}

        assert not [value for value in values if value in shown]


@pytest.mark.parametrize(
    "text",
    [
        "kind: Deployment",
        "step: forget",
        "step: edit\nremoved: []",
        "step: edit\nstep: edit",
        "cluster: {issuer: https://a}",
        "cluster: {problem: away, keys: none}",
        "apiVersion: headgate.dev/v1\nkind: LLMProvider\nmetadata: {}\nspec: {}",
        "apiVersion: headgate.dev/v1alpha1\nkind: LLMProvider\nmetadata: {}\nspec: {}\nstatus: {}",
    ],
)
def test_a_situation_is_parsed_strictly(text: str) -> None:
    with pytest.raises((ValueError, yaml.YAMLError)):
        compile_situation(text)
