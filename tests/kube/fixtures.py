"""The fixtures of tests that want a real Kubernetes API server. `tests/conftest.py` imports them.

One cluster serves the whole test session and starts with the first test that asks for it. Tests keep apart by
namespaces; what has none (CRDs, ClusterRoles) they share and leave.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kube.apiproxy import ApiProxy
from tests.kube.assets import find_kube_assets
from tests.kube.cluster import Cluster
from tests.kube.faultproxy import FaultProxy

__all__ = ["apiproxy", "cluster", "faultproxy", "namespace", "running_cluster"]


@pytest.fixture(scope="session")
def running_cluster() -> Iterator[Cluster]:
    """For `cluster`, which tests take instead."""
    with Cluster(find_kube_assets()) as running:
        yield running


@pytest.fixture
def cluster(running_cluster: Cluster) -> Iterator[Cluster]:
    """The session's cluster, running; a test that stopped its API server leaves it running to the next."""
    yield running_cluster
    running_cluster.start_apiserver()


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """The name of a new namespace, which is gone, with all within, when the next test starts."""
    name = cluster.create_namespace()
    yield name
    cluster.start_apiserver()
    cluster.remove_namespace(name)


@pytest.fixture
def faultproxy(cluster: Cluster) -> Iterator[FaultProxy]:
    """Before the API server: `cluster.access.through(f"https://{faultproxy.address}")` leads through."""
    with FaultProxy(cluster.port) as proxy:
        yield proxy


@pytest.fixture
def apiproxy(cluster: Cluster) -> Iterator[ApiProxy]:
    """Before the API server: `apiproxy.access` leads through."""
    with ApiProxy(cluster.access) as proxy:
        yield proxy
