"""`headgate validate`: the operator's findings with file and line, and exit codes that a pipeline can use."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from headgate.cli import main
from tests.upstream.certificates import Authority

PROVIDER = """\
apiVersion: headgate.dev/v1alpha1
kind: LLMProvider
metadata: {name: local}
spec:
  type: openai-compatible
  baseUrl: http://127.0.0.1:9901/v1
"""
ROUTE = """\
apiVersion: headgate.dev/v1alpha1
kind: ModelRoute
metadata:
  name: chat
spec:
  models: [gpt]
  targets:
    - providerRef:
        name: locl
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "provider.yaml").write_text(PROVIDER)
    return tmp_path


def test_good_manifests_are_said_to_be_good_with_their_count(folder: Path) -> None:
    (folder / "route.yaml").write_text(ROUTE.replace("locl", "local"))

    done = CliRunner().invoke(main, ["validate", "."])

    assert (done.exit_code, done.stdout) == (0, "2 objects in 2 files: no problems\n")


def test_a_dangling_reference_is_told_with_file_line_and_the_likely_name(folder: Path) -> None:
    (folder / "route.yaml").write_text(ROUTE)

    done = CliRunner().invoke(main, ["validate", "."])

    assert done.exit_code == 1
    assert done.stdout.startswith(
        'route.yaml:9: HG0203 ModelRoute default/chat: target provider "locl" not found'
    )
    assert 'Did you mean "local"?' in done.stdout
    assert done.stderr == "2 objects in 2 files: 1 problem\n"


def test_an_unknown_field_is_told_at_its_own_line(folder: Path) -> None:
    (folder / "provider.yaml").write_text(PROVIDER + "  circuit:\n    openfor: 5s\n")

    done = CliRunner().invoke(main, ["validate", "."])

    assert done.exit_code == 1
    assert done.stdout.startswith("provider.yaml:8: HG0101 LLMProvider default/local: spec.circuit.openfor")


def test_json_has_the_same_findings_and_the_same_exit_code(folder: Path) -> None:
    (folder / "route.yaml").write_text(ROUTE)

    done = CliRunner().invoke(main, ["validate", ".", "-o", "json"])

    document = json.loads(done.stdout)
    (finding,) = document.pop("findings")
    assert done.exit_code == 1
    assert document == {"objects": 2, "files": 2, "ignored": 0}
    assert (finding["file"], finding["line"], finding["code"]) == ("route.yaml", 9, "HG0203")
    assert finding["object"] == "ModelRoute default/chat"
    assert finding["field"] == "spec.targets[0].providerRef.name"


def test_a_missing_secret_is_a_problem_only_when_asked_for(folder: Path) -> None:
    credentials = "  credentials: [{name: main, secretRef: {name: key}}]\n"
    (folder / "provider.yaml").write_text(PROVIDER + credentials)

    lenient, strict = (CliRunner().invoke(main, ["validate", ".", *more]) for more in ((), ("--secrets",)))

    assert lenient.exit_code == 0
    assert strict.exit_code == 1
    assert "HG0201" in strict.stdout


def test_a_service_account_needs_no_cluster_to_be_judged(folder: Path) -> None:
    (folder / "quota.yaml").write_text(
        "apiVersion: headgate.dev/v1alpha1\nkind: TenantQuota\nmetadata: {name: team}\nspec:\n  subjects:\n"
        "    - {name: nightly, type: ServiceAccount, serviceAccount: {name: nightly}}\n"
    )

    done = CliRunner().invoke(main, ["validate", ".", "--secrets"])

    assert (done.exit_code, done.stdout) == (0, "2 objects in 2 files: no problems\n")


def test_tls_is_read_out_of_the_secrets_of_the_folder(folder: Path) -> None:
    spec = {
        "type": "openai-compatible",
        "baseUrl": "https://vllm.example/v1",
        "tls": {"caSecretRef": {"name": "authority"}},
    }
    metadata = {"name": "vllm", "namespace": "default"}
    kind = {"apiVersion": "headgate.dev/v1alpha1", "kind": "LLMProvider"}
    (folder / "provider.yaml").write_text(json.dumps({**kind, "metadata": metadata, "spec": spec}))
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "authority", "namespace": "default"}}

    codes = []
    for data in ({"ca.crt": Authority().pem.decode()}, {"ca.crt": "no certificate"}):
        (folder / "secret.yaml").write_text(json.dumps({**secret, "stringData": data}))
        done = CliRunner().invoke(main, ["validate", ".", "--secrets", "-o", "json"])
        codes.append([finding["code"] for finding in json.loads(done.stdout)["findings"]])

    assert codes == [[], ["HG0206"]]


def test_a_path_that_is_not_there_is_wrong_usage(folder: Path) -> None:
    done = CliRunner().invoke(main, ["validate", "nowhere"])

    assert done.exit_code == 2
    assert "'nowhere' does not exist" in done.stderr
