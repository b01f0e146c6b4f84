"""A real API server that knows our kinds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.judges import ApiServer
from tests.kube.cluster import Cluster

CRDS = Path(__file__).parents[2] / "crds"


@pytest.fixture(scope="session")
def cluster_with_crds(running_cluster: Cluster) -> Cluster:
    """For `kinds`, which tests take instead."""
    running_cluster.install_crds(CRDS)
    return running_cluster


@pytest.fixture
def kinds(cluster: Cluster, cluster_with_crds: Cluster) -> Cluster:
    """A running cluster in which our three kinds are served."""
    assert cluster is cluster_with_crds
    return cluster


@pytest.fixture(scope="module")
def api_server(cluster_with_crds: Cluster) -> Iterator[ApiServer]:
    """Asked a thousand times, so one connection serves a whole module."""
    with cluster_with_crds.access.connect() as api:
        yield ApiServer(api, "default")
