"""Makes and ends namespaces.

In a whole Kubernetes the namespace controller empties a deleted namespace and then lets it go. Here nobody
does, so `remove_namespace` does the same by hand: it deletes what is inside, takes off finalizers whose
operator has left, and finalizes the namespace. Called by `Cluster`.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.kube.access import ApiConnection, ApiError, Json

DISCOVERY = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
"""All resources of all groups in two requests (KEP-3352)."""


def create_namespace(api: ApiConnection, name: str) -> None:
    api.json("POST", "/api/v1/namespaces", {"metadata": {"name": name}})


def remove_namespace(api: ApiConnection, name: str) -> None:
    """Until it and all within are gone. Nothing happens when it does not exist."""
    try:
        namespace = api.json(
            "DELETE", f"/api/v1/namespaces/{name}"
        )  # from here on nothing new can be made in it
    except ApiError as error:
        if error.status == 404:
            return
        raise
    for prefix, resource in _deletable_resources(api):
        collection = f"{prefix}/namespaces/{name}/{resource}"
        # The answer lists what was marked, including what only finalizers keep.
        for item in api.json("DELETE", collection).get("items", []):
            if item["metadata"].get("finalizers"):
                _drop_finalizers(api, f"{collection}/{item['metadata']['name']}")
    namespace["spec"] = {"finalizers": []}
    del namespace["metadata"]["resourceVersion"]
    api.json("PUT", f"/api/v1/namespaces/{name}/finalize", namespace)


def _drop_finalizers(api: ApiConnection, path: str) -> None:
    patch = {"metadata": {"finalizers": None}}
    try:
        api.json("PATCH", path, patch, {"Content-Type": "application/merge-patch+json"})
    except ApiError as error:
        if error.status != 404:  # an operator that still runs was quicker
            raise


def _deletable_resources(api: ApiConnection) -> Iterator[tuple[str, str]]:
    """(prefix, resource) of all that lives in namespaces and can be deleted as a collection."""
    for root in ("/api", "/apis"):
        groups: list[Json] = api.json("GET", root, headers=DISCOVERY)["items"]
        for group in groups:
            group_name = group["metadata"].get("name", "")
            seen: set[str] = set()
            for version in group["versions"]:
                prefix = (
                    f"/apis/{group_name}/{version['version']}" if group_name else f"/api/{version['version']}"
                )
                for resource in version.get("resources", []):
                    name = resource["resource"]
                    if name in seen or resource["scope"] != "Namespaced":
                        continue
                    seen.add(name)
                    if "deletecollection" in resource["verbs"]:
                        yield prefix, name
