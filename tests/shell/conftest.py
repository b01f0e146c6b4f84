"""The API server with Headgate's CRDs, and a namespace's objects."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headgate_operator.kube import Kube
from tests.kube.cluster import Cluster
from tests.shell.operators import Objects

CRDS = Path(__file__).parents[2] / "crds"


@pytest.fixture(scope="session")
def cluster_with_crds(running_cluster: Cluster) -> Cluster:
    running_cluster.install_crds(CRDS)
    return running_cluster


@pytest.fixture
def objects(cluster: Cluster, cluster_with_crds: Cluster, namespace: str) -> Objects:
    return Objects(cluster, namespace)


@pytest.fixture
async def kube(cluster: Cluster) -> AsyncIterator[Kube]:
    connected = await Kube.connect(str(cluster.kubeconfig))
    yield connected
    await connected.close()
