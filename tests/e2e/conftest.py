"""An API server of their own for the end-to-end tests: the operator watches the whole cluster."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.system import System
from tests.kube.assets import find_kube_assets
from tests.kube.cluster import Cluster


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A fresh cluster for each file."""
    with Cluster(find_kube_assets()) as cluster:
        folder: Path = tmp_path_factory.mktemp("system")
        yield System(cluster, folder)
