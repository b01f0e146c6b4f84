"""Every provider's API behind every caller's: the official SDKs as callers, providers on real sockets."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import openai
import pytest

from tests.contract.tables import build_target
from tests.server.nativeupstream import KEYS, PLANTED, WIRES, NativeUpstream, native_upstream, speaking
from tests.server.rig import KEY, Rig, route, serving, table

ASKED: Any = [{"role": "user", "content": "Hello"}]
TOOLS: Any = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]
TOOLS_OF_ANTHROPIC: Any = [{"name": "get_weather", "input_schema": {"type": "object"}}]


@asynccontextmanager
async def behind(wire: str) -> AsyncIterator[tuple[Rig, NativeUpstream]]:
    async with native_upstream(wire) as upstream:
        routed = route("some-model", targets=[build_target(wire)])
        async with serving(table(speaking(wire, upstream.url), routes=[routed])) as rig:
            yield rig, upstream


def openai_client(rig: Rig) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key=KEY, max_retries=0)


def anthropic_client(rig: Rig) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=rig.url, api_key=KEY, max_retries=0)


@pytest.mark.parametrize("wire", WIRES)
async def test_openais_client_gets_the_text_of_any_provider(wire: str) -> None:
    async with behind(wire) as (rig, upstream), openai_client(rig) as client:
        answer = await client.chat.completions.create(model="some-model", messages=ASKED)
        said = upstream.said

    message = said["choices"][0]["message"]
    assert answer.choices[0].message.content == message["content"]
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == said["usage"]["input_tokens"]
    assert answer.usage.completion_tokens == said["usage"]["output_tokens"]


@pytest.mark.parametrize("wire", WIRES)
async def test_openais_client_streams_from_any_provider(wire: str) -> None:
    async with behind(wire) as (rig, upstream), openai_client(rig) as client:
        stream = await client.chat.completions.create(
            model="some-model", messages=ASKED, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        streamed = upstream.streamed

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "".join(chunk.get("content", "") for chunk in streamed["chunks"])
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == [
        "stop"
    ]
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == streamed["usage"]["output_tokens"]


@pytest.mark.parametrize("wire", WIRES)
async def test_openais_client_gets_the_tool_calls_of_any_provider(wire: str) -> None:
    async with behind(wire) as (rig, upstream), openai_client(rig) as client:
        upstream.situation = "tools"
        answer = await client.chat.completions.create(model="some-model", messages=ASKED, tools=TOOLS)
        said = upstream.said["choices"][0]["message"]["tool_calls"]

    assert answer.choices[0].finish_reason == "tool_calls"
    called = [call.model_dump()["function"] for call in answer.choices[0].message.tool_calls or []]
    assert [call["name"] for call in called] == [call["function"]["name"] for call in said]
    assert [json.loads(call["arguments"]) for call in called] == [
        json.loads(call["function"]["arguments"]) for call in said
    ]


@pytest.mark.parametrize("wire", WIRES)
async def test_anthropics_client_gets_the_text_of_any_provider(wire: str) -> None:
    async with behind(wire) as (rig, upstream), anthropic_client(rig) as client:
        answer = await client.messages.create(model="some-model", max_tokens=100, messages=ASKED)
        said = upstream.said

    texts = "".join(block.text for block in answer.content if block.type == "text")
    assert texts == said["choices"][0]["message"]["content"]
    assert answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens == said["usage"]["output_tokens"]


@pytest.mark.parametrize("wire", WIRES)
async def test_anthropics_client_streams_from_any_provider(wire: str) -> None:
    async with (
        behind(wire) as (rig, upstream),
        anthropic_client(rig) as client,
        client.messages.stream(model="some-model", max_tokens=100, messages=ASKED) as stream,
    ):
        text = "".join([piece async for piece in stream.text_stream])
        whole = await stream.get_final_message()
        streamed = upstream.streamed

    assert text == "".join(chunk.get("content", "") for chunk in streamed["chunks"])
    assert whole.stop_reason == "end_turn"
    assert whole.usage.output_tokens == streamed["usage"]["output_tokens"]


@pytest.mark.parametrize("wire", WIRES)
async def test_anthropics_client_streams_tool_calls_from_any_provider(wire: str) -> None:
    async with behind(wire) as (rig, upstream), anthropic_client(rig) as client:
        upstream.situation = "tools"
        async with client.messages.stream(
            model="some-model", max_tokens=100, messages=ASKED, tools=TOOLS_OF_ANTHROPIC
        ) as stream:
            whole = await stream.get_final_message()
        pieces = [chunk["tool_call"] for chunk in upstream.streamed["chunks"] if "tool_call" in chunk]

    arguments: dict[int, str] = {}
    for piece in pieces:
        arguments[piece["index"]] = arguments.get(piece["index"], "") + piece.get("arguments", "")
    calls = [block for block in whole.content if block.type == "tool_use"]
    assert whole.stop_reason == "tool_use"
    assert [call.name for call in calls] == [piece["name"] for piece in pieces if "name" in piece]
    assert [call.input for call in calls] == [json.loads(text or "{}") for text in arguments.values()]


@pytest.mark.parametrize("wire", WIRES)
async def test_a_key_goes_to_the_configured_host_and_nowhere_else(
    wire: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async with behind(wire) as (rig, upstream), openai_client(rig) as client:
        await client.chat.completions.create(model="some-model", messages=ASKED)
        refused = {"error": {"message": f"bad key {PLANTED}", "type": "invalid_request_error"}}
        upstream.refusal = 400, json.dumps(refused).encode()
        with pytest.raises(openai.BadRequestError) as error:
            await client.chat.completions.create(model="some-model", messages=ASKED)
        metrics = (await rig.look("/metrics")).body.decode()

    assert {came.host for came in upstream.seen} == {upstream.url.split("/")[2]}
    assert all(KEY not in str(came) for came in upstream.seen)
    secrets = [PLANTED, "AKIDPLANTED12345678", "planted/secret+key"]
    written = "".join(capfd.readouterr())
    assert not [s for s in secrets if s in str(error.value) or s in metrics or s in written]
    if wire not in KEYS:
        assert PLANTED in str(upstream.seen[0].headers)
