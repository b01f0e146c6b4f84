"""Requests are read in the words of RBAC."""

from __future__ import annotations

import pytest

from tests.kube.apirequest import ApiRequest, parse_api_request


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/v1/pods", {"verb": "list", "resource": "pods"}),
        ("GET", "/api/v1/namespaces", {"verb": "list", "resource": "namespaces"}),
        ("GET", "/api/v1/namespaces/chat", {"verb": "get", "resource": "namespaces", "name": "chat"}),
        (
            "PUT",
            "/api/v1/namespaces/chat/finalize",
            {"verb": "update", "resource": "namespaces", "name": "chat", "subresource": "finalize"},
        ),
        (
            "DELETE",
            "/api/v1/namespaces/chat/secrets",
            {"verb": "deletecollection", "resource": "secrets", "namespace": "chat"},
        ),
        (
            "PATCH",
            "/apis/headgate.dev/v1/namespaces/chat/modelroutes/gpt/status",
            {
                "verb": "patch",
                "group": "headgate.dev",
                "resource": "modelroutes",
                "namespace": "chat",
                "name": "gpt",
                "subresource": "status",
            },
        ),
        (
            "POST",
            "/apis/authentication.k8s.io/v1/tokenreviews",
            {"verb": "create", "group": "authentication.k8s.io", "resource": "tokenreviews"},
        ),
        (
            "POST",
            "/api/v1/namespaces/chat/serviceaccounts/gateway/token",
            {
                "verb": "create",
                "resource": "serviceaccounts",
                "namespace": "chat",
                "name": "gateway",
                "subresource": "token",
            },
        ),
        ("GET", "/readyz", {"verb": "get"}),
        ("GET", "/apis", {"verb": "get"}),
        ("GET", "/api/v1", {"verb": "get"}),
    ],
)
def test_a_path_tells_the_verb_and_the_object(method: str, path: str, expected: dict[str, str]) -> None:
    assert parse_api_request(method, path, {}) == ApiRequest(method=method, path=path, query={}, **expected)


@pytest.mark.parametrize("watch", ["1", "true", "True"])
def test_a_list_with_watch_is_a_watch(watch: str) -> None:
    query = {"watch": watch, "resourceVersion": "7"}

    request = parse_api_request("GET", "/api/v1/secrets", query)

    assert (request.verb, request.query["resourceVersion"]) == ("watch", "7")


def test_a_list_with_watch_off_is_a_list() -> None:
    assert parse_api_request("GET", "/api/v1/secrets", {"watch": "0"}).verb == "list"
