"""The three CRDs as users meet them: on a real API server and through kubectl."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import Field

from headgate_operator.api.kinds import API_VERSION, KINDS, Kind
from headgate_operator.api.model import ApiModel
from headgate_operator.api.schema import MAX_BYTES, build_crd, main, render_crd
from headgate_operator.api.structural import UntranslatableModel
from tests.e2e.processes import wait_until
from tests.kube.access import ApiError
from tests.kube.cluster import Cluster
from tests.kube.kubectl import KubectlError

ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"
EACH_KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
APPLY = {"Content-Type": "application/apply-patch+yaml"}
NAME = "sample"
"""Of every object in the corpus."""


def manifest(situation: str) -> dict[str, Any]:
    """The object of a file of the corpus."""
    _, raw = yaml.safe_load_all((CORPUS / f"{situation}.yaml").read_text())
    assert isinstance(raw, dict)
    return raw


def path_of(kind: Kind, namespace: str) -> str:
    return f"/apis/{API_VERSION}/namespaces/{namespace}/{kind.plural}/{NAME}"


def apply(
    cluster: Cluster,
    kind: Kind,
    namespace: str,
    body: dict[str, Any],
    manager: str = "git",
    below: str = "",
) -> dict[str, Any]:
    """Server-side apply; the stored object. `below`: `/status`, or nothing for the rest."""
    whole: dict[str, Any] = {"apiVersion": API_VERSION, "kind": kind.name, "metadata": {"name": NAME}} | body
    with cluster.access.connect() as api:
        return api.json("PATCH", f"{path_of(kind, namespace)}{below}?fieldManager={manager}", whole, APPLY)


def status_of(kind: Kind) -> dict[str, Any]:
    """As the operator writes it."""
    condition = {
        "type": "Ready",
        "status": "False",
        "reason": "Degraded",
        "message": "1 of 2 is in service",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    own = {
        "LLMProvider": {"health": "Degraded", "circuit": "Open"},
        "ModelRoute": {"targets": "1/2"},
        "TenantQuota": {
            "subjects": "1/2",
            "spend": "12.40/50.00",
            "tightest": "tokens-per-minute 83%",
            "limits": [
                {"name": "dollars", "resource": "USD", "scope": "Tenant", "mode": "Enforce", "amount": "50"}
                | {"used": "12.400000000001", "held": "0", "remaining": "37.599999999999"}
                | {"utilization": 24, "resetsAt": "2026-01-01T01:00:00Z"},
                {"name": "tokens-per-minute", "amount": 200000, "used": 166000, "held": 0},
            ],
            "keys": [{"id": "0123456789ab", "lastUsed": "2026-01-01T00:00:00Z"}],
            "observedAt": "2026-01-01T00:00:00Z",
        },
    }
    return {"observedGeneration": 1, "conditions": [condition], "gateways": "2/2"} | own[kind.name]


@EACH_KIND
def test_the_files_are_what_the_models_say(kind: Kind) -> None:
    assert (ROOT / "crds" / f"{kind.plural}.yaml").read_text() == render_crd(kind), "run `make crds`"


def test_there_is_one_file_per_kind_and_no_other() -> None:
    assert {file.name for file in (ROOT / "crds").iterdir()} == {f"{k.plural}.yaml" for k in KINDS.values()}


def test_the_command_writes_them(tmp_path: Path) -> None:
    main([str(tmp_path / "new")])

    written = {file.name: file.read_text() for file in (tmp_path / "new").iterdir()}
    assert written == {f"{kind.plural}.yaml": render_crd(kind) for kind in KINDS.values()}


def test_a_crd_that_kubectl_could_not_apply_is_refused() -> None:
    class Chatty(ApiModel):
        """A spec."""

        field: Annotated[bool, Field(description="word " * 60_000)]

    with pytest.raises(UntranslatableModel, match="LLMProvider: the CRD is too large for `kubectl apply`"):
        render_crd(KINDS["LLMProvider"]._replace(spec=Chatty))


@EACH_KIND
def test_a_file_reads_back_as_the_crd(kind: Kind) -> None:
    assert yaml.safe_load(render_crd(kind)) == build_crd(kind)


@EACH_KIND
def test_a_file_has_no_status_and_fits_into_an_annotation(kind: Kind) -> None:
    assert "status" not in build_crd(kind)
    assert len(json.dumps(build_crd(kind))) < MAX_BYTES


@pytest.mark.kube
@EACH_KIND
def test_the_api_server_serves_it_and_finds_its_schema_structural(kinds: Cluster, kind: Kind) -> None:
    crd = kinds.request(
        "GET", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{kind.plural}.headgate.dev"
    )

    assert {c["type"]: c["status"] for c in crd["status"]["conditions"]} == {
        "NamesAccepted": "True",
        "Established": "True",
    }


@pytest.mark.kube
@EACH_KIND
def test_the_api_server_stores_the_crd_as_it_is_in_git(kinds: Cluster, kind: Kind) -> None:
    crd = kinds.request(
        "GET", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{kind.plural}.headgate.dev"
    )
    stored = crd["spec"]["versions"][0]["schema"]

    assert stored == build_crd(kind)["spec"]["versions"][0]["schema"]


@pytest.mark.kube
def test_explain_teaches_what_a_circuit_is(kinds: Cluster) -> None:
    def explain() -> str:
        """Empty until the API server has published the schema, some time after it serves the kind."""
        return " ".join(kinds.kubectl("explain", "llmprovider.spec.circuit", check=False).stdout.split())

    wait_until(lambda: bool(explain()), "the schema is published")
    said = explain()

    assert (
        "When to stop sending, and when to try again. The circuit breaker of each endpoint. Closed: requests"
        " pass. Open: none do, they go to other targets."
    ) in said
    assert "openFor <string> How long an open circuit refuses before a trial. Default: 15s." in said


@pytest.mark.kube
@EACH_KIND
def test_the_short_name_and_the_category_find_it(kinds: Cluster, namespace: str, kind: Kind) -> None:
    apply(kinds, kind, namespace, manifest(f"{kind.singular}-minimal"))
    by_short_name = kinds.kubectl("get", kind.short, "-n", namespace, "-o", "name").stdout
    by_category = kinds.kubectl("get", "headgate", "-n", namespace, "-o", "name").stdout

    assert by_short_name == f"{kind.singular}.headgate.dev/{NAME}\n"
    assert by_category == by_short_name


@pytest.mark.kube
@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("LLMProvider", "sample openai False Degraded Degraded Open 2/2"),
        ("ModelRoute", 'sample ["gpt-4o"] False Degraded 1/2 2/2'),
        ("TenantQuota", "sample False Degraded 1/2 12.40/50.00 tokens-per-minute 83% 2/2"),
    ],
)
def test_get_shows_whether_it_is_healthy_and_where(
    kinds: Cluster, namespace: str, kind: str, row: str
) -> None:
    apply(kinds, KINDS[kind], namespace, manifest(f"{KINDS[kind].singular}-minimal"))
    apply(kinds, KINDS[kind], namespace, {"status": status_of(KINDS[kind])}, "operator", "/status")
    header, line = kinds.kubectl("get", KINDS[kind].short, "-n", namespace).stdout.splitlines()

    narrow = [column.name.upper() for column in KINDS[kind].columns if not column.priority]
    assert header.split() == ["NAME", *narrow]
    assert line.split()[:-1] == row.split()


@pytest.mark.kube
@EACH_KIND
def test_wide_output_adds_the_message(kinds: Cluster, namespace: str, kind: Kind) -> None:
    apply(kinds, kind, namespace, manifest(f"{kind.singular}-minimal"))
    apply(kinds, kind, namespace, {"status": status_of(kind)}, "operator", "/status")

    assert (
        kinds.kubectl("get", kind.short, "-n", namespace, "-o", "wide")
        .stdout.rstrip()
        .endswith("1 of 2 is in service")
    )


@pytest.mark.kube
@EACH_KIND
@pytest.mark.parametrize("situation", ["minimal", "full"])
def test_applying_twice_changes_nothing(kinds: Cluster, namespace: str, kind: Kind, situation: str) -> None:
    raw = manifest(f"{kind.singular}-{situation}")
    once, again = (apply(kinds, kind, namespace, raw)["metadata"] for _ in range(2))

    assert (again["resourceVersion"], again["generation"]) == (once["resourceVersion"], 1)


@pytest.mark.kube
@EACH_KIND
def test_kubectl_sees_no_difference_after_applying(kinds: Cluster, namespace: str, kind: Kind) -> None:
    raw = yaml.safe_dump(manifest(f"{kind.singular}-full"))
    kinds.kubectl("apply", "-n", namespace, "-f", "-", stdin=raw)

    assert "unchanged" in kinds.kubectl("apply", "-n", namespace, "-f", "-", stdin=raw).stdout


@pytest.mark.kube
@EACH_KIND
def test_what_is_stored_adds_nothing_inside_a_list(kinds: Cluster, namespace: str, kind: Kind) -> None:
    raw = manifest(f"{kind.singular}-minimal")
    stored = apply(kinds, kind, namespace, raw)["spec"]
    lists = {field: value for field, value in raw["spec"].items() if isinstance(value, list)}

    assert lists
    assert {field: stored[field] for field in lists} == lists


@pytest.mark.kube
def test_what_is_stored_shows_the_defaults_in_force(kinds: Cluster, namespace: str) -> None:
    kind = KINDS["LLMProvider"]
    stored = apply(kinds, kind, namespace, manifest("llmprovider-minimal"))["spec"]

    assert stored["circuit"] == {
        "consecutiveFailures": 5,
        "failurePercent": 50,
        "maxOpenPercent": 100,
        "minRequests": 20,
        "openFor": "15s",
        "slowCallDuration": "60s",
        "slowCallPercent": 0,
        "window": "30s",
    }
    assert stored["health"]["active"]["interval"] == "30s"
    assert stored["allowedRoutes"] == {"namespaces": {"from": "Same", "names": []}}
    assert (stored["endpoints"], stored["models"]) == ([], [])


@pytest.mark.kube
@EACH_KIND
def test_the_defaults_of_the_server_are_those_of_the_models(
    kinds: Cluster, namespace: str, kind: Kind
) -> None:
    raw = manifest(f"{kind.singular}-minimal")
    stored = apply(kinds, kind, namespace, raw)

    assert kind.spec.model_validate_json(json.dumps(stored["spec"])) == kind.spec.model_validate_json(
        json.dumps(raw["spec"])
    )


@pytest.mark.kube
@EACH_KIND
def test_writing_the_status_leaves_the_spec_and_its_generation_alone(
    kinds: Cluster, namespace: str, kind: Kind
) -> None:
    before = apply(kinds, kind, namespace, manifest(f"{kind.singular}-minimal"))
    after = apply(kinds, kind, namespace, {"status": status_of(kind)}, "operator", "/status")

    assert after["status"] == status_of(kind)
    assert (after["spec"], after["metadata"]["generation"]) == (before["spec"], 1)


@pytest.mark.kube
@EACH_KIND
def test_a_status_in_a_users_manifest_is_not_stored(kinds: Cluster, namespace: str, kind: Kind) -> None:
    raw = manifest(f"{kind.singular}-minimal") | {"status": status_of(kind)}

    assert "status" not in apply(kinds, kind, namespace, raw)


@pytest.mark.kube
@EACH_KIND
def test_two_writers_of_conditions_do_not_overwrite_each_other(
    kinds: Cluster, namespace: str, kind: Kind
) -> None:
    apply(kinds, kind, namespace, manifest(f"{kind.singular}-minimal"))
    for manager, condition in (("operator", "Ready"), ("policy", "Approved")):
        status = {"conditions": [{"type": condition, "status": "True"}]}
        written = apply(kinds, kind, namespace, {"status": status}, manager, "/status")

    assert [condition["type"] for condition in written["status"]["conditions"]] == ["Ready", "Approved"]


@pytest.mark.kube
@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("LLMProvider", "endpoints"),
        ("LLMProvider", "credentials"),
        ("LLMProvider", "models"),
        ("TenantQuota", "subjects"),
        ("TenantQuota", "limits"),
        ("TenantQuota", "overrides"),
    ],
)
def test_two_writers_share_a_list_by_the_names_of_its_items(
    kinds: Cluster, namespace: str, kind: str, field: str
) -> None:
    full = manifest(f"{KINDS[kind].singular}-full")
    first, second = full["spec"][field]
    apply(kinds, KINDS[kind], namespace, full | {"spec": full["spec"] | {field: [first]}})
    written = apply(
        kinds, KINDS[kind], namespace, {"spec": _identify(full, field) | {field: [second]}}, "other"
    )

    assert written["spec"][field] == [first, second]


def _identify(full: Mapping[str, Any], field: str) -> dict[str, Any]:
    """The required fields of a spec, which every applied manifest has, less the one under test."""
    required = {"LLMProvider": ("type",), "TenantQuota": ()}[full["kind"]]
    return {name: full["spec"][name] for name in required if name != field}


@pytest.mark.kube
def test_a_typo_is_refused_by_kubectl_with_its_path(kinds: Cluster, namespace: str) -> None:
    raw = yaml.safe_dump(manifest("modelroute-nested-field-misspelt"))

    with pytest.raises(KubectlError, match=r'unknown field "spec\.targets\[0\]\.wieght"'):
        kinds.kubectl("apply", "-n", namespace, "-f", "-", stdin=raw)


@pytest.mark.kube
def test_a_malformed_url_is_refused_with_words_instead_of_a_pattern(kinds: Cluster, namespace: str) -> None:
    with pytest.raises(
        ApiError, match="must be an http:// or https:// URL of a host and perhaps a port and a path"
    ):
        apply(kinds, KINDS["LLMProvider"], namespace, manifest("llmprovider-url-without-scheme"))


@pytest.mark.kube
def test_a_whole_number_with_a_point_goes_through_kubectl(kinds: Cluster, namespace: str) -> None:
    # JSON has one kind of number; our own parser takes 2.0 for 2 because kubectl does.
    raw = "\n".join(
        (CORPUS / "modelroute-whole-number-with-a-point.yaml").read_text().partition("---\n")[2].splitlines()
    )

    assert "weight: 2.0" in raw
    assert "created" in kinds.kubectl("create", "-n", namespace, "-f", "-", stdin=raw).stdout


@pytest.mark.kube
def test_kubectl_applies_every_sample(kinds: Cluster, namespace: str) -> None:
    samples = ROOT / "manifests" / "samples"

    applied = kinds.kubectl(
        "apply",
        "-n",
        namespace,
        "--server-side",
        "--dry-run=server",
        "--validate=strict",
        "-R",
        "-f",
        samples,
    )

    wanted = sum(len(list(yaml.safe_load_all(file.read_text()))) for file in samples.rglob("*.yaml"))
    assert applied.stdout.count("serverside-applied (server dry run)") == wanted
    assert applied.stderr == ""
