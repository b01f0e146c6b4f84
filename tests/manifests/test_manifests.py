"""The manifests are taken by a real API server without a warning, and what they run takes its arguments."""

from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from headgate.cli import main
from headgate.validate import validate_paths
from tests.kube.assets import find_kube_assets
from tests.kube.cluster import Cluster

MANIFESTS = Path("manifests")
BASE = MANIFESTS / "base"
SHARED_LIMITS = MANIFESTS / "overlays" / "shared-limits"


@pytest.mark.kube
def test_base_and_overlay_are_taken_without_a_warning() -> None:
    """Warnings would tell of pod security, of unknown fields and of deprecated versions. The cluster is new:
    where others had applied the base before, kubectl would warn of their field managers.
    """
    with Cluster(find_kube_assets()) as cluster:
        cluster.apply(BASE / "namespace.yaml")
        applied = cluster.kubectl(
            "apply", "--server-side", "--dry-run=server", "--validate=strict", "-k", BASE
        )

        shared = cluster.kubectl(
            "apply", "--server-side", "--dry-run=server", "--validate=strict", "-k", SHARED_LIMITS
        )
        built = cluster.kubectl("kustomize", SHARED_LIMITS)

    assert applied.stderr == ""
    assert "deployment.apps/headgate-gateway serverside-applied (server dry run)" in applied.stdout
    assert shared.stderr == ""
    assert "statefulset.apps/headgate-valkey serverside-applied (server dry run)" in shared.stdout
    assert understands_arguments(find_deployment(built.stdout, "headgate-gateway"))


def find_deployment(manifests: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        one
        for one in yaml.safe_load_all(manifests)
        if one["kind"] == "Deployment" and one["metadata"]["name"] == name
    )
    return found


def understands_arguments(deployment: dict[str, Any]) -> bool:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    program, name, *arguments = container["args"]
    return program == "headgate" and isinstance(
        main.commands[name].make_context(name, list(arguments)), click.Context
    )


@pytest.mark.parametrize("file", ["operator.yaml", "gateway.yaml"])
def test_the_containers_arguments_are_understood(file: str) -> None:
    deployment = next(yaml.safe_load_all((BASE / file).read_text()))

    assert understands_arguments(deployment)


def test_the_samples_have_no_problems() -> None:
    validation = validate_paths([MANIFESTS / "samples"], secrets=False)

    assert validation.findings == ()
    assert validation.objects == 20


def test_the_quickstart_has_no_problems_and_needs_nothing_else() -> None:
    validation = validate_paths([Path("examples/quickstart")], secrets=True)

    assert validation.findings == ()
    assert validation.objects == 3
