"""Providers whose credential is exchanged for a token first, through a whole gateway."""

import json

import openai
import pytest
from msgspec.structs import replace

from gateway_runtime.contract.table import AzureOptions
from tests.contract.tables import build_target
from tests.server.nativeupstream import native_upstream, speaking
from tests.server.rig import route, serving, table
from tests.server.test_providers import ASKED, openai_client
from tests.tokens.rig import issuing, saying, service_account, token


async def test_vertex_is_asked_with_a_token_that_its_key_was_exchanged_for(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with issuing() as issuer, native_upstream("vertex") as upstream:
        issuer.answers = [token("minted-for-vertex")]
        key = service_account(f"{issuer.url}/token")
        made = table(
            speaking("vertex", upstream.url, keys=[key]),
            routes=[route("some-model", targets=[build_target("vertex")])],
        )
        async with serving(made) as rig, openai_client(rig) as client:
            for _ in range(3):
                answer = await client.chat.completions.create(model="some-model", messages=ASKED)
            said = upstream.said

    assert answer.choices[0].message.content == said["choices"][0]["message"]["content"]
    assert len(issuer.asked) == 1
    assert {came.headers["authorization"] for came in upstream.seen} == {"Bearer minted-for-vertex"}
    assert {came.path for came in upstream.seen} == {
        "/v1/projects/p/locations/europe-west1/publishers/google/models/some-model:generateContent"
    }
    private = json.loads(key)["private_key"].splitlines()[1]
    written = "".join(capfd.readouterr())
    assert private not in str(upstream.seen) + written
    assert "minted-for-vertex" not in written


async def test_azure_is_asked_with_entras_token(capfd: pytest.CaptureFixture[str]) -> None:
    """Entra's address is the pod's environment's; what is refused there is the provider's fault."""
    async with native_upstream("azure") as upstream:
        spoken = replace(
            speaking("azure", upstream.url),
            azure=AzureOptions(tenant="a-tenant", client="a-client", workload=True),
            credentials=(),
        )
        made = table(spoken, routes=[route("some-model", targets=[build_target("azure")], max_attempts=1)])
        async with serving(made) as rig, openai_client(rig) as client:
            with pytest.raises(openai.InternalServerError) as error:
                await client.chat.completions.create(model="some-model", messages=ASKED)

    assert "Your own key is fine" in str(error.value)
    assert upstream.seen == []


async def test_a_key_that_its_issuer_refuses_is_the_providers_fault_not_the_callers() -> None:
    async with issuing() as issuer, native_upstream("vertex") as upstream:
        issuer.answers = [saying({"error": "invalid_grant"}, 400)]
        made = table(
            speaking("vertex", upstream.url, keys=[service_account(f"{issuer.url}/token")]),
            routes=[route("some-model", targets=[build_target("vertex")], max_attempts=1)],
        )
        async with serving(made) as rig, openai_client(rig) as client:
            with pytest.raises(openai.InternalServerError) as error:
                await client.chat.completions.create(model="some-model", messages=ASKED)

    assert "Your own key is fine" in str(error.value)
    assert upstream.seen == []
