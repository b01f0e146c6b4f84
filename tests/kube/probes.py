"""Small things that the tests of these tools ask an API server: ConfigMaps, because every server has them.

Called by `tests/test_kube_tools.py` and `tests/kube/test_proxies.py`.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.kube.access import Access
from tests.kube.cluster import Cluster


def config_maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def make_config_map(cluster: Cluster, namespace: str, name: str) -> str:
    """Its resourceVersion."""
    made = cluster.request("POST", config_maps(namespace), {"metadata": {"name": name}})
    version: str = made["metadata"]["resourceVersion"]
    return version


@contextmanager
def watch(access: Access, namespace: str, version: str) -> Iterator[http.client.HTTPResponse]:
    """A watch of the namespace's ConfigMaps; its lines are events."""
    path = f"{config_maps(namespace)}?watch=1&resourceVersion={version}"
    with access.connect() as api:
        api.http.request("GET", path, headers={"Authorization": f"Bearer {access.token}"})
        yield api.http.getresponse()


def next_event(stream: http.client.HTTPResponse) -> tuple[str, str]:
    """(type, name) of an object, (ERROR, reason) of a failure."""
    event = json.loads(stream.readline())
    return event["type"], event["object"].get("reason") or event["object"]["metadata"]["name"]


def connections_are_served(access: Access) -> bool:
    with access.connect() as api:
        return api.text("GET", "/readyz") == "ok"
