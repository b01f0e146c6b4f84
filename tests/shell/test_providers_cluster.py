"""`/v1/providers` in a cluster: a gateway before a real API server, and callers with rights of their own."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway_runtime.server.settings import GatewaySettings, ProvidersSource
from tests.kube.apiproxy import ApiProxy
from tests.kube.apirules import INTERNAL_ERROR, TOO_MANY_REQUESTS, Refusal
from tests.kube.cluster import Cluster
from tests.kube.commands import API_AUDIENCE
from tests.server.rig import Answer, Rig, serving, settings
from tests.shell.operators import Objects

pytestmark = pytest.mark.kube

PATH = "/v1/providers"
KEY = "sk-planted-provider-key"
GROQ = {"name": "groq", "type": "groq", "apiKey": KEY, "models": ["llama"]}
PLATFORM = [
    {"apiGroups": ["headgate.dev"], "resources": ["llmproviders", "modelroutes"], "verbs": ["*"]},
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "get", "delete"]},
]
ONLY_CREATE = [
    {"apiGroups": ["headgate.dev"], "resources": ["llmproviders"], "verbs": ["create", "delete"]},
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
]
NO_SECRETS = [{"apiGroups": ["headgate.dev"], "resources": ["llmproviders"], "verbs": ["*"]}]
READER = [{"apiGroups": ["headgate.dev"], "resources": ["llmproviders"], "verbs": ["get", "list"]}]


class Team:
    """A namespace with a gateway before its API server."""

    def __init__(self, cluster: Cluster, objects: Objects, rig: Rig) -> None:
        self._cluster = cluster
        self.objects = objects
        self.rig = rig

    @property
    def namespace(self) -> str:
        return self.objects.namespace

    async def token(self, name: str, rules: list[dict[str, Any]]) -> str:
        """Of a new service account that may do just this."""
        return await asyncio.to_thread(self._make_account, name, rules)

    async def ask(
        self, token: str | None, method: str = "GET", path: str = "", body: object = None
    ) -> Answer:
        return await self.rig.ask(body, method=method, path=PATH + path, key=token)

    async def list_names(self, resource: str) -> list[str]:
        prefix = "/api/v1" if resource == "secrets" else "/apis/headgate.dev/v1alpha1"
        listed = await self.objects.request("GET", f"{prefix}/namespaces/{self.namespace}/{resource}")
        return [item["metadata"]["name"] for item in listed["items"]]

    def _make_account(self, name: str, rules: list[dict[str, Any]]) -> str:
        rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{self.namespace}"
        request, metadata = self._cluster.request, {"name": name}
        request("POST", f"/api/v1/namespaces/{self.namespace}/serviceaccounts", {"metadata": metadata})
        request("POST", f"{rbac}/roles", {"metadata": metadata, "rules": rules})
        request(
            "POST",
            f"{rbac}/rolebindings",
            {
                "metadata": metadata,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self.namespace}],
            },
        )
        return self._cluster.service_account_token(self.namespace, name, API_AUDIENCE)


def before(server: str, ca_file: str = "") -> GatewaySettings:
    """Of a gateway before this API server."""
    source = ProvidersSource("headgate.providers_cluster:make_cluster_providers", (server, ca_file))
    return replace(settings(), providers_api=source)


@pytest.fixture
async def team(cluster: Cluster, objects: Objects, tmp_path: Path) -> AsyncIterator[Team]:
    ca_file = tmp_path / "ca.crt"
    ca_file.write_text(cluster.access.ca_pem or "")
    async with serving(chosen=before(cluster.url, str(ca_file))) as rig:
        yield Team(cluster, objects, rig)


async def test_a_provider_is_added_with_its_secret_listed_and_removed(team: Team) -> None:
    token = await team.token("platform", PLATFORM)

    added = await team.ask(token, "POST", body=GROQ)
    listed, read = await team.ask(token), await team.ask(token, path="/groq")
    made = await team.objects.get("LLMProvider", "groq")
    secret = await team.objects.request("GET", f"/api/v1/namespaces/{team.namespace}/secrets/groq-credential")
    removed = await team.ask(token, "DELETE", "/groq")

    assert added.status == 201
    assert (added.json["id"], added.json["ready"]) == (f"{team.namespace}/groq", None)
    assert added.json["created"] > 1_700_000_000
    assert listed.json["data"] == [read.json]
    assert (read.json["credentials"], read.json["models"]) == (["main"], ["llama"])
    assert KEY not in json.dumps([added.json, listed.json])
    assert {field["manager"] for field in made["metadata"]["managedFields"]} == {"headgate-gateway"}
    assert secret["metadata"]["labels"] == {"headgate.dev/watched": "true"}
    assert [owner["uid"] for owner in secret["metadata"]["ownerReferences"]] == [made["metadata"]["uid"]]
    assert removed.json == {"id": f"{team.namespace}/groq", "object": "provider", "deleted": True}
    assert await team.list_names("llmproviders") == await team.list_names("secrets") == []


async def test_the_older_form_makes_a_route_that_belongs_to_the_provider(team: Team) -> None:
    token = await team.token("platform", PLATFORM)

    await team.ask(
        token,
        "POST",
        body={"base_url": "https://api.new.example", "api_key": KEY, "model_names": ["new-model-1"]},
    )
    route = await team.objects.get("ModelRoute", "new")
    made = await team.objects.get("LLMProvider", "new")

    assert route["spec"]["models"] == ["new-model-1"]
    assert route["spec"]["targets"][0]["providerRef"]["name"] == "new"
    assert [owner["uid"] for owner in route["metadata"]["ownerReferences"]] == [made["metadata"]["uid"]]


async def test_who_may_only_create_can_do_so_and_leaves_the_secret_to_garbage_collection(team: Team) -> None:
    token = await team.token("creator", ONLY_CREATE)

    added = await team.ask(token, "POST", body=GROQ)
    removed = await team.ask(token, "DELETE", "/groq")

    assert (added.status, removed.status) == (201, 200)
    assert await team.list_names("llmproviders") == []
    assert await team.list_names("secrets") == ["groq-credential"]


@pytest.mark.parametrize(
    ("rules", "who", "what"),
    [
        (READER, "reader", "llmproviders.headgate.dev is forbidden"),
        (NO_SECRETS, "half", "secrets is forbidden"),
    ],
)
async def test_without_the_right_to_all_of_it_nothing_is_made(
    team: Team, rules: list[dict[str, Any]], who: str, what: str
) -> None:
    token = await team.token(who, rules)

    refused = await team.ask(token, "POST", body=GROQ)
    listed = await team.ask(token)

    assert (refused.status, refused.error["code"]) == (403, "not_permitted")
    assert refused.error["message"].startswith(
        f'{what}: User "system:serviceaccount:{team.namespace}:{who}" cannot create resource '
    )
    assert refused.error["message"].endswith(". Have yourself bound to a role that may, such as admin.")
    assert (listed.status, listed.json["data"]) == (200, [])
    assert await team.list_names("secrets") == []


async def test_a_token_that_the_api_server_does_not_know_is_refused(team: Team) -> None:
    refused = await team.ask("the-teams-key")

    assert (refused.status, refused.error["code"]) == (401, "invalid_api_key")
    assert refused.error["message"].startswith("The Kubernetes API does not know this token.")


async def test_a_user_names_the_namespace_and_a_service_account_may(team: Team, cluster: Cluster) -> None:
    admin = cluster.access.token
    reader = await team.token("reader", READER)

    unnamed = await team.ask(admin, "POST", body=GROQ)
    named = await team.ask(admin, "POST", f"?namespace={team.namespace}", GROQ)
    by_path = await team.ask(reader, path=f"/{team.namespace}/groq")
    elsewhere = await team.ask(reader, path="?namespace=default")

    assert (unnamed.status, unnamed.error["code"]) == (400, "missing_namespace")
    assert unnamed.error["message"].endswith(
        "is no service account, which would have one of its own. Add ?namespace=NAME to the URL."
    )
    assert (named.status, named.json["namespace"]) == (201, team.namespace)
    assert by_path.json["name"] == "groq"
    assert elsewhere.status == 403


async def test_what_is_there_is_not_overwritten(team: Team) -> None:
    token = await team.token("platform", PLATFORM)
    await team.ask(token, "POST", body=GROQ)
    secret = {"metadata": {"name": "xai-credential"}, "stringData": {"api-key": "older"}}
    await team.objects.request("POST", f"/api/v1/namespaces/{team.namespace}/secrets", secret)

    same_provider = await team.ask(token, "POST", body=GROQ)
    same_secret = await team.ask(token, "POST", body={"name": "xai", "apiKey": KEY})
    missing = await team.ask(token, "DELETE", "/xai")

    assert (same_provider.status, same_provider.error["code"]) == (409, "provider_conflict")
    assert same_provider.error["message"] == (
        'llmproviders.headgate.dev "groq" already exists. Choose another name, or delete that one first.'
    )
    assert same_secret.error["message"].startswith('secrets "xai-credential" already exists.')
    assert (missing.status, missing.error["code"]) == (404, "provider_not_found")
    assert await team.list_names("llmproviders") == ["groq"]


async def test_a_secret_that_somebody_else_made_stays_when_the_provider_goes(team: Team) -> None:
    token = await team.token("platform", PLATFORM)
    secret = {"metadata": {"name": "groq-credential"}, "stringData": {"api-key": "older"}}
    await team.objects.request("POST", f"/api/v1/namespaces/{team.namespace}/secrets", secret)
    credentials = [{"name": "main", "secretRef": {"name": "groq-credential"}}]

    added = await team.ask(token, "POST", body={"name": "groq", "credentials": credentials})
    await team.ask(token, "DELETE", "/groq")

    assert added.status == 201
    assert await team.list_names("secrets") == ["groq-credential"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"name": "x", "type": "opnai"}, 'spec.type: Unsupported value: "opnai": supported values: '),
        ({"name": "x", "type": "vllm", "baseURL": "http://x/v1"}, 'unknown field "spec.baseURL"'),
        ({"name": "x", "type": "groq"}, "need an API key: add credentials with a secretRef"),
    ],
)
async def test_what_the_crd_refuses_is_told_field_by_field(
    team: Team, body: dict[str, Any], said: str
) -> None:
    token = await team.token("platform", PLATFORM)

    refused = await team.ask(token, "POST", body=body)

    assert (refused.status, refused.error["code"]) == (422, "invalid_provider")
    assert said in refused.error["message"]
    assert await team.list_names("llmproviders") == []


async def test_an_api_server_that_is_away_is_told_and_comes_back(team: Team, cluster: Cluster) -> None:
    token = await team.token("reader", READER)

    await asyncio.to_thread(cluster.stop_apiserver)
    away = await team.ask(token)
    await asyncio.to_thread(cluster.start_apiserver)
    back = await team.ask(token)

    assert (away.status, away.error["code"]) == (503, "providers_unavailable")
    assert away.headers["retry-after"] == "1"
    assert back.status == 200


@pytest.mark.parametrize("can_be_undone", [True, False])
async def test_a_provider_is_taken_back_when_its_secret_cannot_follow(
    team: Team, apiproxy: ApiProxy, can_be_undone: bool
) -> None:
    token = await team.token("platform", PLATFORM)
    apiproxy.on(
        lambda r: r.resource == "secrets" and r.verb == "create" and "dryRun" not in r.query,
        Refusal(403, "Forbidden", "exceeded quota: no-secrets"),
    )
    if not can_be_undone:
        apiproxy.on(lambda r: r.verb == "delete", Refusal(403, "Forbidden", "you may not"))

    async with serving(chosen=before(apiproxy.access.server)) as rig:
        refused = await rig.ask(GROQ, path=PATH, key=token)

    assert refused.error["message"] == (
        "exceeded quota: no-secrets. Have yourself bound to a role that may, such as admin."
        if can_be_undone
        else f"LLMProvider {team.namespace}/groq was created, but not all that belongs to it, and it cannot "
        "be deleted again: you may not. Have yourself bound to a role that may, such as admin."
    )
    assert await team.list_names("llmproviders") == ([] if can_be_undone else ["groq"])


@pytest.mark.parametrize("refusal", [TOO_MANY_REQUESTS, INTERNAL_ERROR])
async def test_a_busy_or_broken_api_server_may_be_asked_again(
    team: Team, apiproxy: ApiProxy, refusal: Refusal
) -> None:
    token = await team.token("reader", READER)
    apiproxy.on(lambda r: r.resource == "llmproviders", refusal, times=1)

    async with serving(chosen=before(apiproxy.access.server)) as rig:
        refused = await rig.ask(method="GET", path=PATH, key=token)
        then = await rig.ask(method="GET", path=PATH, key=token)

    assert (refused.status, refused.error["code"]) == (503, "providers_unavailable")
    assert refused.error["message"] == f"The Kubernetes API refused: {refusal.message}. Try again."
    assert then.status == 200


async def test_an_authority_that_cannot_be_read_is_told() -> None:
    async with serving(chosen=before("https://127.0.0.1:1", "/nowhere")) as rig:
        refused = await rig.ask(method="GET", path=PATH, key="a-token")

    assert refused.error["message"] == (
        "The authority of the Kubernetes API cannot be read from /nowhere: No such file or directory. "
        "Correct --kubernetes-ca of the gateway."
    )
