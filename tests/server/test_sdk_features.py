"""What the official SDKs and LangChain do beyond plain text, through the gateway, behind several APIs."""

import json
from typing import Any

import anthropic
import httpx
import openai
import pydantic
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from tests.contract.tables import build_target
from tests.server.nativeupstream import native_upstream, speaking
from tests.server.rig import KEY, route, serving, table
from tests.server.test_providers import ASKED, anthropic_client, behind, openai_client

NATIVE = ("anthropic", "google", "bedrock", "cohere", "ollama")


class Weather(pydantic.BaseModel):
    city: str


@pytest.mark.parametrize("wire", ["anthropic", "google", "cohere", "ollama"])
async def test_a_schema_is_asked_of_the_provider_in_its_own_words(wire: str) -> None:
    async with behind(wire) as (rig, upstream), openai_client(rig) as client:
        # The scripted answer is prose; what counts is what the provider was asked.
        with pytest.raises(pydantic.ValidationError):
            await client.chat.completions.parse(model="some-model", messages=ASKED, response_format=Weather)
        asked = upstream.seen[0].json

    where: dict[str, Any] = {
        "anthropic": lambda: asked["output_config"]["format"]["schema"],
        "google": lambda: asked["generationConfig"]["responseJsonSchema"],
        "cohere": lambda: asked["response_format"]["json_schema"],
        "ollama": lambda: asked["format"],
    }
    assert where[wire]()["properties"] == {"city": {"title": "City", "type": "string"}}


@pytest.mark.parametrize("wire", NATIVE)
async def test_a_conversation_with_tools_goes_round(wire: str) -> None:
    tools: Any = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]
    async with behind(wire) as (rig, upstream), openai_client(rig) as client:
        upstream.situation = "tools"
        first = await client.chat.completions.create(model="some-model", messages=ASKED, tools=tools)
        said = first.choices[0].message
        results: Any = [
            {"role": "tool", "tool_call_id": call.id, "content": '{"degrees": 21}'}
            for call in said.tool_calls or []
        ]
        upstream.situation = "text"
        second = await client.chat.completions.create(
            model="some-model", messages=[*ASKED, said.to_dict(), *results], tools=tools
        )

    assert len(results) >= 1
    assert second.choices[0].finish_reason == "stop"
    assert "21" in upstream.seen[1].body.decode()


@pytest.mark.parametrize("wire", ["anthropic", "bedrock"])
async def test_thinking_and_its_signature_come_back_in_the_next_turn(wire: str) -> None:
    async with behind(wire) as (rig, upstream), anthropic_client(rig) as client:
        upstream.situation = "thinking" if wire == "anthropic" else "reasoning"
        first = await client.messages.create(
            model="some-model",
            max_tokens=5000,
            messages=ASKED,
            thinking={"type": "enabled", "budget_tokens": 2000},
        )
        blocks = [block for block in first.content if block.type == "thinking"]
        turns: Any = [
            *ASKED,
            {"role": "assistant", "content": [block.to_dict() for block in first.content]},
            {"role": "user", "content": "And now?"},
        ]
        await client.messages.create(
            model="some-model",
            max_tokens=5000,
            messages=turns,
            thinking={"type": "enabled", "budget_tokens": 2000},
        )

    assert blocks[0].signature
    assert blocks[0].signature in upstream.seen[1].body.decode()


async def test_anthropics_client_counts_tokens_at_anthropic_and_gets_an_estimate_elsewhere() -> None:
    async with behind("ollama") as (rig, upstream), anthropic_client(rig) as client:
        raw = await client.messages.with_raw_response.count_tokens(model="some-model", messages=ASKED)
        counted = await raw.parse()

    assert raw.headers["x-headgate-estimated"] == "true"
    assert 1 <= counted.input_tokens <= 20
    assert upstream.seen == []


async def test_each_client_lists_models_in_its_own_shape() -> None:
    async with behind("anthropic") as (rig, _):
        async with openai_client(rig) as client:
            names = [model.id async for model in client.models.list()]
            one = await client.models.retrieve("some-model")
        async with anthropic_client(rig) as theirs:
            listed = [model.id async for model in theirs.models.list()]
            theirs_one = await theirs.models.retrieve("some-model")
            with pytest.raises(anthropic.NotFoundError):
                await theirs.models.retrieve("another")

    assert names == listed == ["some-model"]
    assert (one.id, theirs_one.id, theirs_one.type) == ("some-model", "some-model", "model")


async def test_what_both_sides_speak_passes_byte_for_byte() -> None:
    asked = {"model": "some-model", "max_tokens": 9, "messages": ASKED, "mcp_servers": [{"x": 1.50}]}
    async with behind("anthropic") as (rig, upstream):
        answer = await rig.ask(
            path="/v1/messages", data=json.dumps(asked), headers={"anthropic-beta": "new-2026-11-01"}
        )
        came = upstream.seen[0]

    assert answer.status == 200
    assert came.path == "/v1/messages"
    assert came.headers["anthropic-beta"] == "new-2026-11-01"
    assert came.headers["anthropic-version"] == "2023-06-01"
    assert came.json == asked


async def test_claude_codes_query_is_taken() -> None:
    asked = {"model": "some-model", "max_tokens": 9, "messages": ASKED}
    async with behind("anthropic") as (rig, _):
        answer = await rig.ask(asked, path="/v1/messages?beta=true")

    assert answer.status == 200


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
async def test_langchains_openai_client_at_the_path_of_its_own(wire: str) -> None:
    async with behind(wire) as (rig, upstream), httpx.AsyncClient() as http:
        llm = ChatOpenAI(
            base_url=f"{rig.url}/v1/langchain",
            api_key=pydantic.SecretStr(KEY),
            model="some-model",
            max_retries=0,
            http_async_client=http,
        )
        whole = await llm.ainvoke([HumanMessage("Hello")])
        pieces = [str(piece.content) async for piece in llm.astream([HumanMessage("Hello")])]
        upstream.refusal = 400, b'{"error": {"message": "It is wrong.", "type": "invalid_request_error"}}'
        with pytest.raises(openai.BadRequestError, match="It is wrong"):
            await llm.ainvoke([HumanMessage("Hello")])
        said, streamed = upstream.said, upstream.streamed

    assert whole.content == said["choices"][0]["message"]["content"]
    assert "".join(pieces) == "".join(chunk.get("content", "") for chunk in streamed["chunks"])


@pytest.mark.parametrize("wire", ["anthropic", "google"])
async def test_langchains_anthropic_client(wire: str) -> None:
    async with behind(wire) as (rig, upstream):
        llm = ChatAnthropic(  # type: ignore[call-arg]
            base_url=rig.url, api_key=pydantic.SecretStr(KEY), model_name="some-model", max_retries=0
        )
        whole = await llm.ainvoke([HumanMessage("Hello")])
        pieces = [piece async for piece in llm.astream([HumanMessage("Hello")])]
        await llm._async_client.close()  # it is kept for all clients of the process
        said, streamed = upstream.said, upstream.streamed

    assert whole.text == said["choices"][0]["message"]["content"]
    assert "".join(piece.text for piece in pieces) == "".join(
        chunk.get("content", "") for chunk in streamed["chunks"]
    )


@pytest.mark.parametrize("wire", ["google", "cohere", "ollama"])
async def test_embeddings_of_any_provider_keep_their_order(wire: str) -> None:
    async with native_upstream(wire) as upstream:
        upstream.situation = "embeddings"
        made = table(speaking(wire, upstream.url), routes=[route("some-model", targets=[build_target(wire)])])
        async with serving(made) as rig, openai_client(rig) as client:
            lists = await client.embeddings.create(
                model="some-model", input=["one", "two"], encoding_format="float"
            )
            packed = await client.embeddings.create(model="some-model", input=["one", "two"])

    assert [item.index for item in lists.data] == [0, 1]
    assert [item.embedding for item in lists.data] == [[1.0, 0.5], [0.25, -1.0]]
    assert [item.embedding for item in packed.data] == [[1.0, 0.5], [0.25, -1.0]]


async def test_langchain_embeds_too() -> None:
    async with native_upstream("cohere") as upstream:
        upstream.situation = "embeddings"
        made = table(
            speaking("cohere", upstream.url), routes=[route("some-model", targets=[build_target("cohere")])]
        )
        async with serving(made) as rig, httpx.AsyncClient() as http:
            embed = OpenAIEmbeddings(
                base_url=f"{rig.url}/v1/langchain",
                api_key=pydantic.SecretStr(KEY),
                model="some-model",
                check_embedding_ctx_length=False,
                http_async_client=http,
            )
            vectors = await embed.aembed_documents(["one", "two"])

    assert vectors == [[1.0, 0.5], [0.25, -1.0]]
