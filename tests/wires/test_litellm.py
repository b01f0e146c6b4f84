"""The long tail through litellm: golden pairs, and what holds for every provider of the table."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.contract.secret import Secret
from gateway_runtime.providers.answer import Fault
from gateway_runtime.providers.cause import Cause
from gateway_runtime.providers.chat.answer import ChatAnswer, ChatChunk
from gateway_runtime.providers.chat.request import ChatRequest, read_chat
from gateway_runtime.providers.usage import Usage
from gateway_runtime.providers.wire import EmbeddingsRequest, Outgoing, Target
from gateway_runtime.providers.wires.litellm.answer import read_answer
from gateway_runtime.providers.wires.litellm.foreign import open_parser, translate_answer, translate_event
from gateway_runtime.providers.wires.litellm.load import (
    SETTINGS,
    VERSION,
    Litellm,
    LitellmMissing,
    build_litellm,
    check_config,
    check_version,
    find_version,
    load_litellm,
    quieten,
)
from gateway_runtime.providers.wires.litellm.providers import SUPPORTED, UNSUPPORTED
from gateway_runtime.providers.wires.litellm.request import Destination, build_chat, check_url
from gateway_runtime.providers.wires.litellm.wire import LitellmWire, UnsupportedProvider
from tests.wires.golden import check_golden, encode, find_orphans, find_situations

ROOT = Path(__file__).parents[2]
BASE = "http://gateway.test:8443/base/v1"
PROVIDERS = sorted(SUPPORTED)
PNG = "data:image/png;base64,iVBORw0KGgo="
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "city",
        "schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
RICH: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Where is this?", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
            ],
        },
        {
            "role": "assistant",
            "reasoning_content": "I look it up.",
            "tool_calls": [
                {
                    "id": "a",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'},
                },
                {
                    "id": "b",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city":"Rome"}'},
                },
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "4 °C"},
        {"role": "tool", "tool_call_id": "b", "content": "18 °C", "is_error": True},
        {"role": "user", "content": "And now?"},
    ],
    "max_completion_tokens": 100,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 40,
    "n": 2,
    "stop": ["\n"],
    "seed": 3,
    "presence_penalty": 0.1,
    "frequency_penalty": 0.2,
    "logit_bias": {"1": 1},
    "logprobs": True,
    "top_logprobs": 2,
    "user": "u",
    "tools": [TOOL],
    "tool_choice": "required",
    "parallel_tool_calls": False,
    "reasoning_effort": "low",
    "stream": True,
}
IDLE = {"n": 1, "logprobs": False, "top_logprobs": 0, "frequency_penalty": 0, "presence_penalty": 0}
IDLE_TOO = {"logit_bias": {}, "tools": [], "stop": [], "parallel_tool_calls": True, "tool_choice": "auto"}
ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "their-model",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Let me look.",
                "tool_calls": [
                    {
                        "id": "a",
                        "type": "function",
                        "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'},
                    }
                ],
            },
            "finish_reason": "tool_calls",
        }
    ],
    "usage": {
        "prompt_tokens": 12,
        "completion_tokens": 5,
        "total_tokens": 17,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 1},
    },
}


@pytest.fixture(autouse=True, scope="module")
def _own_environment() -> Iterator[None]:
    """Loading litellm clears variables of the process; other tests get theirs back."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test of this module: whoever tries to connect, or to look a host up, fails the test."""

    def refuse(*args: object, **named: object) -> object:
        raise AssertionError(f"the network was asked for: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@cache
def make_wire(provider: str) -> LitellmWire:
    return LitellmWire(provider, BASE)


def build(
    provider: str, body: dict[str, Any], *, drop: bool = True, model: str = "acme/some-model"
) -> Outgoing:
    present = {name for name, value in body.items() if value is not None}
    return make_wire(provider).build_chat(read_chat(encode(body)), present, Target(model, drop=drop))


def ask(**members: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "Hello"}], **members}


def write_stream(*events: dict[str, Any] | str) -> bytes:
    texts = [event if isinstance(event, str) else json.dumps(event) for event in events]
    return "".join(f"data: {text}\n\n" for text in texts).encode()


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **members: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "c1", "created": 1, "model": "their-model", "choices": choices, **members}


# The golden pairs: the provider is the second word of a name.


@pytest.mark.parametrize("path", find_situations("litellm"), ids=lambda path: path.name)
def test_a_situation_is_translated_to_what_is_written(path: Path, update_golden: bool) -> None:
    check_golden(make_wire(path.name.split("-")[1]), path, update=update_golden)


def test_every_file_belongs_to_a_pair() -> None:
    assert find_orphans("litellm") == []


# What holds for every provider.


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_plain_chat_is_said_without_a_loss(provider: str) -> None:
    outgoing = build(provider, ask(max_tokens=50, stream=False), drop=False)

    body = json.loads(outgoing.body)
    assert body["messages"] == [{"role": "user", "content": "Hello"}]
    assert body["model"].endswith("acme/some-model")  # fireworks puts the whole path of it
    assert 50 in (body.get("max_tokens"), body.get("max_completion_tokens"))
    assert outgoing.dropped == ()
    assert outgoing.path.endswith("/chat/completions")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_a_provider_does_not_hear_of_is_told(provider: str) -> None:
    body = json.loads(build(provider, RICH).body)
    dropped = build(provider, RICH).dropped

    for name in RICH.keys() - {"model", "messages", "stream", "max_completion_tokens"}:
        renamed = {"reasoning_effort": ("thinking",), "seed": ("random_seed",)}.get(name, ())
        assert (name in body or any(other in body for other in renamed)) != (name in dropped), name
    images = json.dumps(body).count(PNG)
    assert images == 1 or "messages[1].content[1]" in dropped
    assert "messages[4].is_error" in dropped
    assert body["messages"][0]["role"] == "system"
    assert body.get("stream") is True


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_asks_for_nothing_is_no_loss(provider: str) -> None:
    asked = ask(**IDLE, **IDLE_TOO, response_format={"type": "text"}, thinking={"type": "disabled"})

    assert build(provider, asked, drop=False).dropped == ()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_request_goes_to_the_endpoint_whatever_the_environment_says(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = provider.upper().replace("-", "_")
    words = (
        "API_BASE",
        "BASE_URL",
        "API_URL",
        "ENDPOINT",
        "URL",
        "API_KEY",
        "TOKEN",
        "CLIENT_ID",
        "CLIENT_SECRET",
    )
    planted = [
        f"{prefix}_{word}"
        for prefix in (
            name,
            name.removesuffix("_AI"),
            name.removesuffix("_CHAT"),
            "OPENAI",
            "OPENAI_LIKE",
            "HF",
        )
        for word in words
    ]

    def plant() -> None:
        for variable in (*planted, "USE_LITELLM_PROXY", "MISTRAL_AZURE_API_BASE", "MISTRAL_AZURE_API_KEY"):
            monkeypatch.setenv(variable, "https://evil.test/v1")

    plant()
    wire = LitellmWire(provider, BASE)
    plant()
    chat = read_chat(encode(RICH))
    outgoing = wire.build_chat(chat, set(RICH), Target("acme/some-model", drop=True))
    headers = wire.authorize(Secret("their-key"), outgoing, BASE + outgoing.path, 0.0)

    assert outgoing.path.startswith("/")
    assert "//" not in outgoing.path
    assert "evil" not in repr((outgoing, headers))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_key_goes_into_one_header_and_nowhere_else(provider: str) -> None:
    outgoing = build(provider, RICH)

    headers = make_wire(provider).authorize(Secret("their-key"), outgoing, "", 0.0)

    assert [value for value in headers.values() if "their-key" in value] == ["Bearer their-key"]
    assert all(name == name.lower() for name in headers)
    assert "key" not in repr(outgoing.headers)
    assert make_wire(provider).authorize(None, outgoing, "", 0.0) == {}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_answer_is_read_as_litellm_reads_it(provider: str) -> None:
    wire = make_wire(provider)
    config = load_litellm().find_config(provider, "acme/some-model")
    assert config is not None
    raw = encode(ANSWER | {"service_tier": "default"})  # without it litellm's reader of groq fails

    ours = wire.read_chat(raw, read_chat(encode(ask())))
    translated = translate_answer(load_litellm(), config, raw)
    theirs = None if translated is None else read_answer(translated, "", provider)

    assert isinstance(ours, ChatAnswer)
    assert isinstance(theirs, ChatAnswer)
    assert ours == theirs
    assert ours.usage == Usage(12, 5, 4, 1)
    assert (ours.id, ours.model) == ("c1", "their-model")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_stream_is_read_to_its_end(provider: str) -> None:
    call = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":'}}
    rest = {"index": 0, "function": {"arguments": "1}"}}
    data = write_stream(
        chunk({"role": "assistant", "content": "Hi"}),
        chunk({"tool_calls": [call]}),
        chunk({"tool_calls": [rest]}),
        chunk({}, "tool_calls"),
        chunk(usage=ANSWER["usage"]),
        "[DONE]",
    )

    stream = make_wire(provider).open_chat(read_chat(encode(ask(stream=True))))
    chunks = stream.feed(data)

    assert "".join(item.content or "" for item in chunks) == "Hi"
    calls = [item.tool_call for item in chunks if item.tool_call is not None]
    assert [(call.index, call.id, call.name, call.arguments) for call in calls] == [
        (0, "a", "f", '{"x":'),
        (0, None, None, "1}"),
    ]
    assert chunks[-1] == ChatChunk(finish_reason="tool_calls")
    assert stream.done
    assert stream.usage == Usage(12, 5, 4, 1)
    assert (stream.id, stream.model, stream.fault) == ("c1", "their-model", None)
    assert stream.feed(b"data: {}\n\n") == stream.finish() == []


# Single rules.


def test_the_providers_own_prefix_of_a_model_is_litellms_and_not_the_providers() -> None:
    def name_of(model: str) -> Any:
        return json.loads(build("together_ai", ask(), model=model).body)["model"]

    assert name_of("together_ai/meta-llama/Llama-4") == "meta-llama/Llama-4"
    assert name_of("meta-llama/Llama-4") == "meta-llama/Llama-4"


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("url", ["https://a.test/x.png", "http://a.test/x.png"])
def test_media_by_url_is_refused_since_litellm_might_fetch_it(url: str, drop: bool) -> None:
    for part in (
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "file", "file": {"file_data": url}},
    ):
        with pytest.raises(GatewayError) as caught:
            build("mistral", ask(messages=[{"role": "user", "content": [part]}]), drop=drop)

        assert caught.value.code is ErrorCode.UNSUPPORTED
        assert caught.value.message == (
            "`messages[0].content[0]` has to bring its data along for mistral: write a `data:` URL."
        )


def test_a_loss_is_refused_unless_the_route_says_drop() -> None:
    with pytest.raises(GatewayError) as caught:
        build("mistral", ask(logit_bias={"1": 2}), drop=False)

    assert caught.value.message == (
        "`logit_bias` cannot be said in mistral's API. Leave it out, ask for a model of another provider, or "
        "have the route say `unsupported: Drop`."
    )


def test_an_image_for_a_model_that_takes_text_alone_is_a_loss_and_not_a_silence() -> None:
    content = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": PNG}}]
    asked = ask(messages=[{"role": "user", "content": content}])

    with pytest.raises(GatewayError, match=r"`messages\[0\].content\[1\]` cannot be said in deepseek's API"):
        build("deepseek", asked, drop=False)

    assert build("deepseek", asked).dropped == ("messages[0].content[1]",)


def test_what_litellm_refuses_is_told_in_its_words() -> None:
    with pytest.raises(GatewayError) as caught:
        build("groq", ask(tools=[TOOL], response_format=SCHEMA))

    assert caught.value.code is ErrorCode.UNSUPPORTED
    assert caught.value.message.startswith(
        "litellm cannot say this request in groq's API: Groq model 'acme/some-model' does not support native"
    )


def test_a_schema_that_litellm_makes_a_tool_of_cannot_stand_beside_tools() -> None:
    asked = ask(tools=[TOOL], response_format=SCHEMA)
    outgoing = build("databricks", asked, model="databricks-claude-sonnet-4-5")

    assert outgoing.dropped == ("response_format",)
    assert [tool["function"]["name"] for tool in json.loads(outgoing.body)["tools"]] == ["get_weather"]
    with pytest.raises(GatewayError, match="its models have tools or a schema, not both"):
        build("databricks", asked, drop=False, model="databricks-claude-sonnet-4-5")


def test_the_call_of_a_tool_that_stands_for_a_schema_is_read_as_text() -> None:
    wire = make_wire("databricks")
    chat = read_chat(encode(ask(response_format=SCHEMA)))
    trick = {
        "id": "a",
        "type": "function",
        "function": {"name": "json_tool_call", "arguments": '{"city":"Oslo"}'},
    }
    message = {"role": "assistant", "content": None, "tool_calls": [trick]}
    answer = ANSWER | {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    rest = {"index": 0, "function": {"arguments": ""}}
    data = write_stream(
        chunk({"tool_calls": [{"index": 0, **trick}]}),
        chunk({"tool_calls": [rest]}),
        chunk({}, "tool_calls"),
        "[DONE]",
    )

    read = wire.read_chat(encode(answer), chat)
    stream = wire.open_chat(chat)

    assert isinstance(read, ChatAnswer)
    assert read.choices[0].message.content == '{"city":"Oslo"}'
    assert read.choices[0].message.tool_calls == ()
    assert read.choices[0].finish_reason == "stop"
    assert stream.feed(data) == [ChatChunk(content='{"city":"Oslo"}'), ChatChunk(finish_reason="stop")]


def test_a_programmatic_token_of_snowflake_has_headers_of_its_own() -> None:
    wire = make_wire("snowflake")
    outgoing = Outgoing("/x", b"")

    assert dict(wire.authorize(Secret("pat/secret"), outgoing, "", 0.0)) == {
        "authorization": "Bearer secret",
        "x-snowflake-authorization-token-type": "PROGRAMMATIC_ACCESS_TOKEN",
    }
    assert dict(wire.authorize(Secret("jwt"), outgoing, "", 0.0)) == {
        "authorization": "Bearer jwt",
        "x-snowflake-authorization-token-type": "KEYPAIR_JWT",
    }


def test_claude_on_snowflake_is_refused_with_the_way_that_works() -> None:
    with pytest.raises(GatewayError, match="type openai-compatible with `baseUrl`"):
        build("snowflake", ask(), model="snowflake/claude-sonnet-4-5")


@pytest.mark.parametrize(
    "url",
    [
        "https://api.test.evil.test/v1/x",
        "https://api.test/v10/x",
        "https://api.test/v1@evil.test/x",
        "http://api.test/v1/x",
        "https://api.test:444/v1/x",
        "https://evil.test/https://api.test/v1/x",
    ],
)
def test_a_url_that_leads_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(GatewayError, match="would send this request elsewhere"):
        check_url("https://api.test/v1", url)


def test_a_url_behind_the_endpoints_gives_its_path_and_query() -> None:
    assert check_url("https://api.test/v1", "https://api.test/v1/chat?a=b") == "/chat?a=b"
    assert check_url("https://api.test/v1", "https://api.test/v1?a=b") == "?a=b"
    assert check_url("https://api.test/v1", "https://api.test/v1") == ""


def test_an_endpoint_that_litellm_would_not_send_to_is_refused_when_the_wire_is_made() -> None:
    with pytest.raises(
        UnsupportedProvider, match=r"litellm does not send to http://a\.test/ai/run for cloudflare"
    ):
        LitellmWire("cloudflare", "http://a.test/ai/run")


@pytest.mark.parametrize("provider", sorted(UNSUPPORTED))
def test_a_provider_that_cannot_be_served_purely_says_why(provider: str) -> None:
    assert provider not in SUPPORTED

    with pytest.raises(UnsupportedProvider) as caught:
        LitellmWire(provider, BASE)

    assert str(caught.value) == f"{provider} is not served through litellm: {UNSUPPORTED[provider]}"


def test_a_provider_that_nobody_knows_gets_the_list_of_those_that_are() -> None:
    with pytest.raises(
        UnsupportedProvider, match=r"these are: ai21_chat, baseten, .* use type openai-compatible"
    ):
        LitellmWire("nonesuch", BASE)


def test_embeddings_are_refused_with_the_way_that_works() -> None:
    wire = make_wire("mistral")

    with pytest.raises(GatewayError, match="Use a provider of type openai-compatible"):
        wire.build_embeddings(EmbeddingsRequest(("a",)), Target("mistral-embed"))
    assert isinstance(wire.read_embeddings(b"{}", EmbeddingsRequest(("a",))), Fault)


def test_the_input_is_not_changed() -> None:
    chat = read_chat(encode(RICH))

    for provider in PROVIDERS:
        make_wire(provider).build_chat(chat, set(RICH), Target("acme/some-model", drop=True))

    assert chat == read_chat(encode(RICH))


# Streams and answers that go wrong.


def run(provider: str, data: bytes) -> tuple[list[ChatChunk], Any]:
    stream = make_wire(provider).open_chat(read_chat(encode(ask(stream=True))))
    return [*stream.feed(data), *stream.finish()], stream


def test_a_choice_may_end_without_a_delta() -> None:
    end = {"choices": [{"index": 0, "delta": None, "finish_reason": "length"}]}

    chunks, _ = run("mistral", write_stream(chunk({"content": "Hi"}), end, "[DONE]"))

    assert chunks == [ChatChunk(content="Hi"), ChatChunk(finish_reason="length")]


def test_a_stream_without_its_last_event_is_whole_when_every_choice_ended() -> None:
    chunks, stream = run("mistral", write_stream(chunk({"content": "Hi"}), chunk({}, "stop")))

    assert chunks == [ChatChunk(content="Hi"), ChatChunk(finish_reason="stop")]
    assert stream.done


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (write_stream(chunk({"content": "Hi"})), "torn"),
        (write_stream(chunk({"content": "Hi"}), chunk({}, "stop")) + b"data: {", "torn"),
        (write_stream("[DONE]"), "torn"),
        (b"", "torn"),
        (write_stream("nonsense"), "malformed"),
        (write_stream("[1]"), "malformed"),
        (b"data: \xff\n\n", "malformed"),
        (write_stream({"choices": 1}), "malformed"),
        (write_stream({"choices": [{"delta": {"content": [{"type": "text"}, 7]}}]}), "malformed"),
        (b"data: " + b"x" * (4 * 1024 * 1024 + 1), "malformed"),
    ],
)
def test_a_bad_stream_is_a_fault_and_never_raises(data: bytes, kind: str) -> None:
    _, stream = run("databricks", data)

    assert stream.fault is not None
    assert stream.fault.kind == kind
    assert not stream.done
    assert stream.feed(write_stream(chunk({"content": "more"}))) == stream.finish() == []


@pytest.mark.parametrize(
    "event",
    [
        {"error": {"message": "Overloaded", "code": 503}},
        {"choices": 1, "error": {"message": "Overloaded"}},
        {"choices": [], "error": {"message": "Overloaded"}},
    ],
)
def test_an_error_in_a_stream_is_a_fault_with_the_providers_words(event: dict[str, Any]) -> None:
    chunks, stream = run("mistral", write_stream(chunk({"content": "Hi"}), event, chunk({"content": "no"})))

    assert chunks == [ChatChunk(content="Hi")]
    assert stream.fault.kind == "error"
    assert stream.fault.cause is Cause.OVERLOADED
    assert stream.fault.error.message == "Overloaded"
    assert "Overloaded" not in stream.fault.reason


@pytest.mark.parametrize("body", ["", "<html>", "[]", '{"choices": []}', '{"id": 1}', '{"choices": 1}'])
def test_an_answer_in_nobodys_shape_is_malformed(body: str) -> None:
    fault = make_wire("databricks").read_chat(body.encode(), read_chat(encode(ask())))

    assert fault == Fault("malformed", "its body is not an answer in the provider's shape")


def test_a_config_that_has_no_streams_has_no_parser() -> None:
    class Streamless: ...

    assert open_parser(Streamless()) is None  # type: ignore[arg-type]


def test_an_event_that_litellm_chokes_on_is_nothing() -> None:
    class Choking:
        def chunk_parser(self, chunk: dict[str, object]) -> dict[str, object]:
            raise RuntimeError("a bug")

    assert translate_event(Choking(), b"{}") is None


# litellm itself: there or not, and kept still.


def test_without_litellm_the_error_says_how_to_get_it() -> None:
    code = (
        "import sys; from gateway_runtime.providers.wires.litellm.wire import LitellmWire\n"
        "sys.path[:] = [path for path in sys.path if 'site-packages' not in path]\n"
        "try: LitellmWire('mistral', 'http://a')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)

    assert done.stdout == (
        "LitellmMissing providers of type litellm need litellm, which is not installed: pip install "
        "'headgate[litellm]'\n"
    ), done.stderr


def test_a_package_that_is_not_there_has_no_version() -> None:
    assert find_version("nonesuch-package") is None
    assert find_version("litellm") == VERSION
    with pytest.raises(LitellmMissing, match="which is not installed"):
        check_version(None)


def test_another_version_is_refused() -> None:
    with pytest.raises(LitellmMissing) as caught:
        check_version("1.0.0")

    assert str(caught.value) == (
        f"providers of type litellm need litellm {VERSION}, and 1.0.0 is installed: "
        "pip install 'headgate[litellm]'"
    )


def test_the_pinned_version_is_the_one_of_the_extra() -> None:
    assert f'"litellm=={VERSION}"' in (ROOT / "pyproject.toml").read_text()


def test_importing_the_wire_imports_no_litellm() -> None:
    code = (
        "import sys, gateway_runtime.providers.wires.litellm.wire\n"
        "assert not any(name.split('.')[0] == 'litellm' for name in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)

    assert done.returncode == 0, done.stderr


def test_a_function_that_is_not_as_it_was_is_found_when_the_wire_is_made() -> None:
    class Older:
        def get_supported_openai_params(self) -> list[str]:
            return []

    class Oldest: ...

    with pytest.raises(
        LitellmMissing, match=r"litellm's Older.get_supported_openai_params is not as in version"
    ):
        check_config(Older())  # type: ignore[arg-type]
    with pytest.raises(LitellmMissing, match=r"litellm's Oldest.get_supported_openai_params is not there"):
        check_config(Oldest())  # type: ignore[arg-type]


def test_the_environment_is_set_before_the_import_and_cleared_of_what_overrides() -> None:
    environ = {
        "AWS_BEARER_TOKEN_BEDROCK": "x",
        "DATABRICKS_CLIENT_SECRET": "x",
        "GROQ_API_KEY": "x",
        "LITELLM_RUST": "1",
        "MISTRAL_AZURE_API_BASE": "x",
        "OPENAI_API_KEY": "x",
        "USE_LITELLM_PROXY": "true",
        "PATH": "/bin",
        "HEADGATE_TOKEN": "x",
    }

    quieten(environ)

    assert environ == {"PATH": "/bin", "HEADGATE_TOKEN": "x", **SETTINGS}


def test_loading_reaches_no_network_and_reads_no_dotenv_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PLANTED=1\n")
    code = (
        "import os, socket\n"
        "def refuse(*a, **k): raise SystemExit('the network was asked for')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from gateway_runtime.providers.wires.litellm.load import load_litellm\n"
        "load_litellm(); assert 'PLANTED' not in os.environ; assert 'OPENAI_API_KEY' not in os.environ\n"
    )
    environ = {**os.environ, "OPENAI_API_KEY": "x", "PYTHONPATH": str(ROOT)}

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environ
    )

    assert done.returncode == 0, done.stderr


class Wrong:
    """A config of litellm's that does what none may: it loses something, goes elsewhere, or cannot."""

    supports_stream_param_in_request_body = True

    def __init__(self, url: str = BASE + "/x", body: dict[str, object] | None = None) -> None:
        self.url = url
        self.body = body

    def map_openai_params(self, **named: object) -> dict[str, object]:
        return {}

    def get_complete_url(self, **named: object) -> str:
        return self.url

    def transform_request(self, **named: object) -> dict[str, object]:
        if self.body is None:
            raise NotImplementedError
        return self.body


def build_wrong(config: Any, chat: ChatRequest, *, drop: bool = False) -> Outgoing:
    to = Destination("wrong", BASE, config, "m", frozenset({"stop"}))
    present = {name for name in ChatRequest.__struct_fields__ if getattr(chat, name) is not None}
    return build_chat(to, chat, present, Target("m", drop=drop), {})


def test_a_config_that_cannot_do_it_purely_is_refused_when_the_request_is_built() -> None:
    with pytest.raises(GatewayError) as caught:
        build_wrong(Wrong(), read_chat(encode(ask())))

    assert caught.value.message == (
        "litellm cannot say this request in wrong's API: NotImplementedError. Change it, or ask for a model "
        "of another provider."
    )


def test_a_config_that_sends_elsewhere_is_refused_when_the_request_is_built() -> None:
    with pytest.raises(GatewayError, match="would send this request elsewhere"):
        build_wrong(Wrong("https://evil.test/x", {}), read_chat(encode(ask())))


def test_what_a_config_loses_by_itself_is_found() -> None:
    named = [{"role": "user", "name": "ann", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    other = [{"role": "user", "content": "Hi"}, {"role": "model"}]

    lost = build_wrong(
        Wrong(body={"messages": other}), read_chat(encode(ask(messages=named, stop="x"))), drop=True
    )
    fewer = build_wrong(
        Wrong(body={"messages": other[:1]}), read_chat(encode(ask(messages=named))), drop=True
    )

    assert lost.dropped == ("stop", "messages[0].name")
    assert fewer.dropped == ("messages[0].name",)


def test_messages_that_became_others_are_not_compared() -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "user", "content": "Ho"}]
    split = [
        {"role": "user", "content": "Hi"},
        {"role": "user", "content": "H"},
        {"role": "user", "content": "o"},
    ]

    assert (
        build_wrong(Wrong(body={"messages": split}), read_chat(encode(ask(messages=messages)))).dropped == ()
    )
    assert build_wrong(Wrong(body={"contents": []}), read_chat(encode(ask(messages=messages)))).dropped == ()


def test_a_part_that_was_changed_in_place_is_looked_into() -> None:
    image = {"type": "image_url", "image_url": {"url": PNG}, "cache_control": {"type": "ephemeral"}}
    plain = {"type": "image_url", "image_url": {"url": PNG}}
    config = Wrong(body={"messages": [{"role": "user", "content": [plain]}]})

    def count_lost(*parts: dict[str, Any]) -> tuple[str, ...]:
        asked = ask(messages=[{"role": "user", "content": list(parts)}])
        return build_wrong(config, read_chat(encode(asked))).dropped

    assert count_lost(image) == ("cache_control",)
    assert count_lost(image, image) == ()


def test_a_tools_name_in_its_result_is_no_loss() -> None:
    messages = [{"role": "tool", "tool_call_id": "a", "name": "f", "content": "1"}]
    body = {"messages": [{"role": "tool", "tool_call_id": "a", "content": "1"}]}

    assert build_wrong(Wrong(body=body), read_chat(encode(ask(messages=messages)))).dropped == ()


def test_the_providers_own_tools_are_left_as_they_are() -> None:
    to = Destination("wrong", BASE, Tooled(), "m", frozenset({"tools"}))
    asked = ask(tools=[{"type": "web_search", "cache_control": {"type": "ephemeral"}}])

    built = build_chat(to, read_chat(encode(asked)), {"tools"}, Target("m"), {})

    assert built.dropped == ("cache_control",)


class Tooled(Wrong):
    def transform_request(self, **named: object) -> dict[str, object]:
        return {"messages": [], "tools": [{"type": "web_search"}]}


def test_signatures_of_another_provider_are_left_out() -> None:
    call = {
        "id": "a",
        "type": "function",
        "function": {"name": "f", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": "c2ln"}},
    }
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [call]}]

    assert b"thought_signature" not in build("mistral", ask(messages=messages)).body


def test_a_litellm_that_does_not_load_is_as_good_as_none() -> None:
    def load(name: str) -> Any:
        raise ImportError("No module named 'nonesuch'")

    with pytest.raises(LitellmMissing) as caught:
        build_litellm(load)

    assert str(caught.value) == (
        f"litellm {VERSION} does not load: No module named 'nonesuch'. Install it anew: "
        "pip install 'headgate[litellm]'"
    )


def test_a_litellm_that_knows_nothing_of_a_provider_makes_no_wire() -> None:
    knows_nothing = Litellm(lambda provider, model: None, load_litellm().make_answer, "")

    with pytest.raises(LitellmMissing, match="litellm has nothing for chats with mistral"):
        LitellmWire("mistral", BASE, knows_nothing)


def test_a_provider_whose_requests_carry_no_key_makes_no_wire() -> None:
    loaded = load_litellm()
    keyless = Litellm(lambda provider, model: loaded.find_config("triton", model), loaded.make_answer, "")

    with pytest.raises(
        UnsupportedProvider, match="litellm puts no key into the headers of a request to mistral"
    ):
        LitellmWire("mistral", BASE, keyless)
