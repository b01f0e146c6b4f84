"""From `kubectl apply` to a routed completion, and back to status: the whole path, as a user walks it."""

import json
from collections.abc import Iterator

import openai
import pytest

from tests.e2e.processes import wait_until
from tests.e2e.system import REPOSITORY, Gateway, Operator, Provider, System

pytestmark = [pytest.mark.kube, pytest.mark.e2e]

KEY = "sk-story-7f3a"
OPENAI_KEY = "sk-openai-upstream-1"
HOURLY = "requests-per-hour"
SAMPLES = REPOSITORY / "manifests" / "samples"
OBJECTS = (
    ("llmprovider", "openai"),
    ("llmprovider", "vllm"),
    ("modelroute", "assistant"),
    ("modelroute", "canary"),
    ("tenantquota", "team"),
)


@pytest.fixture(scope="module")
def gateways(system: System) -> Iterator[tuple[Gateway, Gateway]]:
    """Two gateways, an operator, two fake providers; the samples are applied with kubectl and are Ready."""
    vllm = Provider(system, "fake-vllm")
    openai_com = Provider(system, "fake-openai", "--key", OPENAI_KEY)
    operator = Operator(system, "operator-0")
    with vllm, openai_com, operator:
        vllm.wait_listening()
        openai_com.wait_listening()
        operator.wait_leading()
        system.fetch_ca()
        urls = (operator.stream_url,)
        with Gateway(system, "gateway-0", urls) as first, Gateway(system, "gateway-1", urls) as second:
            make_secret(system, "openai", OPENAI_KEY)
            make_secret(system, "team-key", KEY)
            for sample in sorted(SAMPLES.glob("*.yaml")):
                text = point_at(sample.read_text(), vllm, openai_com)
                system.cluster.kubectl("apply", "-n", "default", "-f", "-", stdin=text)
            for kind, name in OBJECTS:
                system.wait_condition(kind, name, "default")
                system.wait_gateways(kind, name, "default", "2/2")
            yield first, second


def make_secret(system: System, name: str, key: str) -> None:
    """As the samples' comments say."""
    system.cluster.kubectl(
        "create", "secret", "generic", name, "-n", "default", f"--from-literal=api-key={key}"
    )
    system.cluster.kubectl("label", "secret", name, "-n", "default", "headgate.dev/watched=true")


def point_at(sample: str, vllm: Provider, openai_com: Provider) -> str:
    """The sample with this machine's addresses; nothing else changes."""
    for replica in ("vllm-0", "vllm-1"):
        sample = sample.replace(f"http://{replica}.vllm:8000/v1", vllm.url)
    return sample.replace("type: openai\n", f"type: openai\n  baseUrl: {openai_com.url}\n")


def test_the_openai_sdk_gets_a_completion_from_each_gateway(gateways: tuple[Gateway, Gateway]) -> None:
    for gateway in gateways:
        with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY) as client:
            answer = client.chat.completions.create(
                model="assistant", messages=[{"role": "user", "content": "Say hello"}]
            )

        assert "Say hello" in (answer.choices[0].message.content or "")
        assert answer.usage is not None
        assert answer.usage.total_tokens > 0


def test_the_openai_sdk_gets_a_stream_token_by_token(gateways: tuple[Gateway, Gateway]) -> None:
    with openai.OpenAI(base_url=f"{gateways[0].url}/v1", api_key=KEY) as client:
        chunks = list(
            client.chat.completions.create(
                model="assistant", messages=[{"role": "user", "content": "Say hello"}], stream=True
            )
        )

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "Say hello" in text
    assert len(chunks) > 5


def test_the_openai_sdk_lists_the_models_of_the_caller(gateways: tuple[Gateway, Gateway]) -> None:
    with openai.OpenAI(base_url=f"{gateways[1].url}/v1", api_key=KEY) as client:
        models = [model.id for model in client.models.list()]

    assert models == ["assistant"]


def test_a_wrong_key_gets_the_error_that_the_sdk_knows(gateways: tuple[Gateway, Gateway]) -> None:
    with (
        openai.OpenAI(base_url=f"{gateways[0].url}/v1", api_key="sk-wrong") as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.models.list()

    assert caught.value.code == "invalid_api_key"


def test_kubectl_get_headgate_shows_what_is_true(system: System, gateways: tuple[Gateway, Gateway]) -> None:
    rows = [line.split() for line in system.cluster.kubectl("get", "headgate").stdout.splitlines()]
    shown = {row[0]: row[1:] for row in rows if row}

    assert shown["llmprovider.headgate.dev/openai"][:6] == [
        "openai",
        "True",
        "Ready",
        "Healthy",
        "Closed",
        "2/2",
    ]
    assert shown["llmprovider.headgate.dev/vllm"][1:6] == ["True", "Ready", "Healthy", "Closed", "2/2"]
    assert shown["modelroute.headgate.dev/assistant"][:5] == ['["assistant"]', "True", "Ready", "2/2", "2/2"]
    quota = shown["tenantquota.headgate.dev/team"]
    assert (*quota[:3], quota[6]) == ("True", "Ready", "1/1", "2/2")
    assert quota[3].endswith("/5.00")
    assert quota[5].endswith("%")


def test_what_callers_used_at_each_gateway_comes_back_added_up(
    system: System, gateways: tuple[Gateway, Gateway]
) -> None:
    def find_told() -> int | None:
        limits = system.get("tenantquota", "team", "default")["status"]["limits"]
        return next(limit.get("used") for limit in limits if limit["name"] == HOURLY)

    def find_used(gateway: Gateway) -> int:
        tenant = next(one for one in gateway.table()["tenants"] if one["id"] == "default/team")
        used: int = next(limit["used_here"] for limit in tenant["limits"] if limit["name"] == HOURLY)
        return used

    for gateway in gateways:
        with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY) as client:
            for _ in range(2):
                client.chat.completions.create(
                    model="assistant", messages=[{"role": "user", "content": "Say hello"}]
                )
    used = [find_used(gateway) for gateway in gateways]
    wait_until(
        lambda: find_told() == sum(used), f"{sum(used)} requests are told of", 30, lambda: str(find_told())
    )

    assert min(used) >= 2
    assert system.condition("tenantquota", "team", "default", "WithinLimits")["reason"] == "WithinLimits"


def test_every_condition_says_which_generation_it_is_about(
    system: System, gateways: tuple[Gateway, Gateway]
) -> None:
    found = system.get("llmprovider", "vllm", "default")

    assert [c["type"] for c in found["status"]["conditions"]] == [
        "Accepted",
        "ResolvedRefs",
        "Programmed",
        "Healthy",
        "Ready",
    ]
    assert {c["observedGeneration"] for c in found["status"]["conditions"]} == {
        found["metadata"]["generation"]
    }
    assert system.condition("llmprovider", "vllm", "default", "Programmed")["message"] == (
        f"2 of 2 gateways run generation {found['metadata']['generation']}"
    )


def test_nothing_but_status_is_ever_written_to_a_users_object(
    system: System, gateways: tuple[Gateway, Gateway]
) -> None:
    for kind, name in OBJECTS:
        metadata = system.cluster.kubectl(
            "get", kind, name, "-n", "default", "--show-managed-fields", "-o", "json"
        ).stdout
        parsed = json.loads(metadata)["metadata"]

        assert set(parsed.get("annotations", {})) == {"kubectl.kubernetes.io/last-applied-configuration"}
        assert "finalizers" not in parsed
        others = [m for m in parsed["managedFields"] if not m["manager"].startswith("kubectl")]
        assert [(m["manager"], m["subresource"]) for m in others] == [("headgate-operator", "status")]
