"""What a request to the API server is about, read off its method and URL.

In: method, path, query. Out: `ApiRequest`, in the words of RBAC: "watch", "patch", a group, a resource. Pure;
called by `ApiProxy` for every request, and by the rules that tests give it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

COLLECTION_VERBS = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
OBJECT_VERBS = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "POST": "create"}


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """`verb`: as in RBAC rules; for what is no resource, such as /readyz, the method in lower case.

    `group` is "" for the core, and `resource`, `namespace`, `name` and `subresource` are "" where there is
    none.
    """

    verb: str
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def parse_api_request(method: str, path: str, query: Mapping[str, str]) -> ApiRequest:
    """`path`: as in "/apis/apps/v1/namespaces/chat/deployments/web/status"; more parts are ignored."""
    match path.strip("/").split("/"):
        case ["api", _version, *rest] if rest:
            group = ""
        case ["apis", group, _version, *rest] if rest:
            pass
        case _:
            return ApiRequest(method.lower(), method, path, query)
    namespace = ""
    # ["namespaces", x] is the object x itself; with more behind it, it is where that lives.
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        _, namespace, *rest = rest
    resource, name, subresource = (*rest, "", "")[:3]
    verb = (OBJECT_VERBS if name else COLLECTION_VERBS).get(method, method.lower())
    if verb in ("list", "get") and query.get("watch", "").lower() in ("true", "1"):
        verb = "watch"
    return ApiRequest(verb, method, path, query, group, resource, namespace, name, subresource)
