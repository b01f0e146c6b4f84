"""A provider that somebody posts to a gateway of a cluster serves, and is gone when it is deleted."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.manifests import quota
from tests.e2e.processes import wait_until
from tests.e2e.system import Gateway, Provider, System
from tests.kube.commands import API_AUDIENCE

pytestmark = [pytest.mark.kube, pytest.mark.e2e, pytest.mark.timeout(300)]

KEY = "sk-caller-7d20"
PROVIDER_KEY = "sk-posted-41aa"
PLATFORM = """\
apiVersion: v1
kind: ServiceAccount
metadata: {name: platform, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: platform, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: platform}
subjects: [{kind: ServiceAccount, name: platform, namespace: default}]
---
# What `admin` is in a whole Kubernetes, where a controller aggregates it.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: platform}
rules:
  - {apiGroups: [headgate.dev], resources: [llmproviders, modelroutes], verbs: ["*"]}
  - {apiGroups: [""], resources: [secrets], verbs: ["*"]}
"""


def ask(
    gateway: Gateway, method: str, path: str, key: str, body: object = None
) -> tuple[int, dict[str, Any]]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{gateway.url}{path}", data, {"authorization": f"Bearer {key}"}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_posted_provider_serves_until_it_is_deleted(system: System, tmp_path: Path) -> None:
    cluster = system.cluster
    kubernetes_ca = tmp_path / "kubernetes.crt"
    kubernetes_ca.write_text(cluster.access.ca_pem or "")
    options = ("--kubernetes-api", cluster.url, "--kubernetes-ca", str(kubernetes_ca), "--workers", "2")
    cluster.apply(PLATFORM + "---\n" + quota("team", KEY))
    token = cluster.service_account_token("default", "platform", API_AUDIENCE)
    with Provider(system, "fake", "--key", PROVIDER_KEY) as fake, system.operator() as operator:
        operator.wait_leading()
        system.fetch_ca()
        with Gateway(system, "gateway-0", (operator.stream_url,), *options) as gateway:
            gateway.wait_serving()
            body = {"base_url": fake.url, "api_key": PROVIDER_KEY, "model_names": ["new-model-1"]}
            chat = {"model": "new-model-1", "messages": [{"role": "user", "content": "hi"}]}

            posted = ask(gateway, "POST", "/v1/providers", token, {"name": "new", **body})
            with_callers_key = ask(gateway, "POST", "/v1/providers", KEY, {"name": "mine", **body})
            system.wait_condition("llmprovider", "new", "default")
            wait_until(
                lambda: ask(gateway, "POST", "/v1/chat/completions", KEY, chat)[0] == 200,
                "the posted provider answers",
                explain=gateway.tail,
            )
            shown = ask(gateway, "GET", "/v1/providers/new", token)
            deleted = ask(gateway, "DELETE", "/v1/providers/new", token)
            # The route goes by garbage collection, which has no controller here.
            cluster.kubectl("delete", "modelroute", "new", "-n", "default")
            wait_until(
                lambda: ask(gateway, "POST", "/v1/chat/completions", KEY, chat)[0] == 404,
                "the model is gone",
                explain=gateway.tail,
            )

    assert posted[0] == 201
    assert with_callers_key[0] == 401
    assert (shown[1]["ready"], shown[1]["health"]) == (True, "Healthy")
    assert deleted == (200, {"id": "default/new", "object": "provider", "deleted": True})
    assert cluster.kubectl("get", "secret", "new-credential", "-n", "default", check=False).returncode != 0
    told = gateway.log.read_text() + operator.log.read_text() + json.dumps([posted, shown])
    assert PROVIDER_KEY not in told
    assert token not in told
