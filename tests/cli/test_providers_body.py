"""What is posted to `/v1/providers`, and the manifests that it stands for."""

from typing import Any

import pytest

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from headgate.providers_body import read_wanted
from headgate.providers_object import describe_provider


def test_the_older_form_becomes_a_provider_its_secret_and_a_route() -> None:
    wanted = read_wanted(
        {
            "base_url": "https://api.newprovider.com",
            "api_key": "new-provider-key",
            "model_names": ["new-model-1", "new-model-2"],
        }
    )

    assert wanted.build_provider("team-a") == {
        "apiVersion": "headgate.dev/v1alpha1",
        "kind": "LLMProvider",
        "metadata": {"name": "newprovider", "namespace": "team-a"},
        "spec": {
            "type": "openai-compatible",
            "baseUrl": "https://api.newprovider.com/v1",
            "models": [{"name": "new-model-1"}, {"name": "new-model-2"}],
            "credentials": [{"name": "main", "secretRef": {"name": "newprovider-credential"}}],
        },
    }
    assert wanted.build_secret("team-a") == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "newprovider-credential",
            "namespace": "team-a",
            "annotations": {"headgate.dev/created-with": "newprovider"},
            "labels": {"headgate.dev/watched": "true"},
        },
        "stringData": {"api-key": "new-provider-key"},
    }
    assert wanted.build_route("team-a") == {
        "apiVersion": "headgate.dev/v1alpha1",
        "kind": "ModelRoute",
        "metadata": {
            "name": "newprovider",
            "namespace": "team-a",
            "annotations": {"headgate.dev/created-with": "newprovider"},
        },
        "spec": {
            "models": ["new-model-1", "new-model-2"],
            "targets": [{"providerRef": {"name": "newprovider"}}],
        },
    }
    assert "new-provider-key" not in repr(wanted)


def test_every_field_of_the_spec_may_be_given_and_models_bring_no_route() -> None:
    wanted = read_wanted(
        {
            "name": "vllm",
            "type": "vllm",
            "endpoints": [{"name": "a", "url": "http://vllm-0:8000/v1"}],
            "stream_usage": False,
            "models": ["llama", {"name": "qwen", "upstreamName": "Qwen/Qwen3"}],
            "tls": None,
        }
    )

    assert wanted.spec == {
        "type": "vllm",
        "endpoints": [{"name": "a", "url": "http://vllm-0:8000/v1"}],
        "streamUsage": False,
        "models": [{"name": "llama"}, {"name": "qwen", "upstreamName": "Qwen/Qwen3"}],
    }
    assert wanted.build_secret("default") is None
    assert wanted.build_route("default") is None


def test_a_route_comes_where_it_is_asked_for_and_not_where_it_is_declined() -> None:
    asked = read_wanted({"name": "groq", "models": ["llama", {"name": "qwen"}], "route": True})
    declined = read_wanted({"name": "groq", "model_names": ["llama"], "route": False})

    assert asked.models == ("llama", "qwen")
    assert declined.models is None


@pytest.mark.parametrize(
    ("body", "name", "spec"),
    [
        ({"name": "groq"}, "groq", {"type": "groq"}),
        ({"type": "anthropic"}, "anthropic", {"type": "anthropic"}),
        ({"base_url": "https://api.openai.com"}, "openai", {"type": "openai"}),
        ({"base_url": "https://api.x.ai"}, "xai", {"type": "xai"}),
        (
            {"base_url": "https://api.groq.com/openai/v1"},
            "groq",
            {"type": "groq", "baseUrl": "https://api.groq.com/openai/v1"},
        ),
        (
            {"type": "vllm", "base_url": "http://vllm:8000"},
            "vllm",
            {"type": "vllm", "baseUrl": "http://vllm:8000/v1"},
        ),
        (
            {"type": "ollama", "base_url": "http://ollama:11434"},
            "ollama",
            {"type": "ollama", "baseUrl": "http://ollama:11434"},
        ),
        (
            {"base_url": "http://10.0.0.7:8000/"},
            "10-0-0-7",
            {"type": "openai-compatible", "baseUrl": "http://10.0.0.7:8000/"},
        ),
        (
            {"base_url": "http://[fd00::1]:8000/v1"},
            "fd00--1",
            {"type": "openai-compatible", "baseUrl": "http://[fd00::1]:8000/v1"},
        ),
        ({"name": "mine"}, "mine", {}),
    ],
)
def test_what_is_left_out_is_found_where_it_can_mean_one_thing(
    body: dict[str, Any], name: str, spec: dict[str, Any]
) -> None:
    wanted = read_wanted(body)

    assert (wanted.name, wanted.spec) == (name, spec)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({}, "name: is required: write what the provider is to be called, such as groq"),
        (
            {"base_url": "http://[::1"},
            "name: is required: write what the provider is to be called, such as groq",
        ),
        ({"name": 7}, "name: must be text"),
        ({"name": "a", "apiKey": ""}, "apiKey: must be the provider's API key, as text"),
        ({"name": "a", "apiKey": ["sk-planted"]}, "apiKey: must be the provider's API key, as text"),
        (
            {"name": "a", "baseUrl": "x", "base_url": "y"},
            "baseUrl is given twice, in two spellings: keep one of them",
        ),
        (
            {"name": "a", "apiKey": "sk-planted", "credentials": []},
            "apiKey and credentials are both given: keep one of them",
        ),
        ({"name": "a", "models": "gpt"}, "models: must be a list of names, or of objects with a name"),
        (
            {"name": "a", "models": [], "model_names": []},
            "models and model_names are both given: keep one of them",
        ),
        ({"name": "a", "route": "yes"}, "route: must be true or false"),
        ({"name": "a", "route": True}, "route: needs models: name those that callers may ask for"),
    ],
)
def test_what_cannot_be_a_manifest_is_refused_with_the_remedy(body: dict[str, Any], problem: str) -> None:
    with pytest.raises(GatewayError) as refused:
        read_wanted(body)

    assert refused.value.code is ErrorCode.INVALID_PROVIDER
    assert refused.value.message == (
        f"The body is no provider: {problem}. It has the fields of an LLMProvider's spec, and beside them "
        "name, apiKey and route."
    )


def test_an_object_that_makes_no_sense_is_shown_without_what_may_be_a_key() -> None:
    shown = describe_provider(
        {
            "metadata": {"name": "odd", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {
                "type": ["x"],
                "apiKey": "sk-planted",
                "baseUrl": "https://user:sk-planted@host/v1",
                "endpoints": [{"name": "a", "url": "http://sk-planted@a"}, 5],
                "credentials": [{"name": "main", "value": "sk-planted"}],
                "models": {"name": "x"},
            },
            "status": None,
        }
    )

    assert "sk-planted" not in repr(shown)
    assert (shown.id, shown.type, shown.base_url, shown.models) == ("default/odd", "", None, ())
    assert (shown.credentials, shown.created) == (("main",), 1767225600)
