"""The manifests are taken by a real API server without a warning, and what they run takes its arguments."""

from pathlib import Path

import click
import pytest
import yaml

from headgate.cli import main
from headgate.validate import validate_paths
from tests.kube.assets import find_kube_assets
from tests.kube.cluster import Cluster

MANIFESTS = Path("manifests")
BASE = MANIFESTS / "base"


@pytest.mark.kube
def test_the_base_is_taken_without_a_warning() -> None:
    """Warnings would tell of pod security, of unknown fields and of deprecated versions. The cluster is new:
    where others had applied the base before, kubectl would warn of their field managers.
    """
    with Cluster(find_kube_assets()) as cluster:
        cluster.apply(BASE / "namespace.yaml")
        applied = cluster.kubectl(
            "apply", "--server-side", "--dry-run=server", "--validate=strict", "-k", BASE
        )

    assert applied.stderr == ""
    assert "deployment.apps/headgate-gateway serverside-applied (server dry run)" in applied.stdout


@pytest.mark.parametrize("file", ["operator.yaml", "gateway.yaml"])
def test_the_containers_arguments_are_understood(file: str) -> None:
    deployment = next(yaml.safe_load_all((BASE / file).read_text()))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    program, name, *arguments = container["args"]

    command = main.commands[name]
    context = command.make_context(name, list(arguments))

    assert program == "headgate"
    assert isinstance(context, click.Context)


def test_the_samples_have_no_problems() -> None:
    validation = validate_paths([MANIFESTS / "samples"], secrets=False)

    assert validation.findings == ()
    assert validation.objects == 18


def test_the_quickstart_has_no_problems_and_needs_nothing_else() -> None:
    validation = validate_paths([Path("examples/quickstart")], secrets=True)

    assert validation.findings == ()
    assert validation.objects == 3
