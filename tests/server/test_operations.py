"""The endpoints beyond chat that take JSON, with OpenAI's own client: completions, moderations, images,
speech, rankings.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from aiohttp import web

from gateway_runtime.contract.table import Model, Timeouts
from gateway_runtime.contract.tenant import Limit
from tests.contract.tables import build_target
from tests.server.keepingupstream import KeepingUpstream, keeping_upstream, stream_events
from tests.server.nativeupstream import native_upstream, speaking
from tests.server.rawupstream import raw_upstream, saying
from tests.server.rig import KEY, TIMEOUTS, Rig, provider, route, serving, table, tenant

MODELS = [Model(name="gpt", upstream_name="theirs")]
SOUND = bytes(range(256)) * 4096  # a mebibyte


@asynccontextmanager
async def behind(
    *names: str, timeouts: Timeouts = TIMEOUTS, limits: Any = (), max_attempts: int = 1
) -> AsyncIterator[tuple[Rig, KeepingUpstream]]:
    async with keeping_upstream() as upstream:
        made = table(
            provider(upstream.url, models=MODELS, timeouts=timeouts),
            routes=[route(*(names or ("gpt",)), max_attempts=max_attempts)],
            tenants=[tenant(limits=limits)],
        )
        async with serving(made) as rig:
            yield rig, upstream


def client_of(rig: Rig) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key=KEY, max_retries=0)


def answer_json(body: Any) -> Any:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(body)

    return answer


def answer_bytes(body: bytes, content_type: str) -> Any:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type=content_type)

    return answer


async def test_a_completion_passes_with_the_providers_name_of_its_model() -> None:
    said = {"id": "c", "object": "text_completion", "created": 1, "model": "theirs"}
    choice = {"text": " world", "index": 0, "finish_reason": "stop", "logprobs": None}
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
    async with behind() as (rig, upstream), client_of(rig) as client:
        upstream.answers["/v1/completions"] = answer_json({**said, "choices": [choice], "usage": usage})
        answer = await client.completions.create(model="gpt", prompt="Hello", suffix="!")
        metrics = (await rig.look("/metrics")).body.decode()

    assert answer.choices[0].text == " world"
    assert upstream.seen[0].json == {"model": "theirs", "prompt": "Hello", "suffix": "!"}
    assert 'headgate_tokens_total{kind="input",route="chat/route"} 5.0' in metrics


async def test_a_completion_streams_and_its_usage_is_asked_for_and_hidden() -> None:
    chunk = {"id": "c", "object": "text_completion", "created": 1, "model": "theirs"}
    words = [{**chunk, "choices": [{"text": t, "index": 0, "finish_reason": None}]} for t in (" wor", "ld")]
    used = {**chunk, "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}

    async def stream(request: web.Request) -> web.StreamResponse:
        events = [json.dumps(event) for event in (*words, used)]
        data = "".join(f"data: {event}\n\n" for event in (*events, "[DONE]"))
        return web.Response(text=data, content_type="text/event-stream")

    async with behind() as (rig, upstream), client_of(rig) as client:
        upstream.answers["/v1/completions"] = stream
        pieces = [c async for c in await client.completions.create(model="gpt", prompt="Hello", stream=True)]

    assert [piece.choices[0].text for piece in pieces] == [" wor", "ld"]
    assert upstream.seen[0].json["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("model", [None, "gpt"])
async def test_a_moderation_needs_no_model(model: str | None) -> None:
    said = {"id": "m", "model": "omni", "results": []}
    async with behind("gpt", "omni-moderation-latest") as (rig, upstream), client_of(rig) as client:
        upstream.answers["/v1/moderations"] = answer_json(said)
        raw = await client.moderations.with_raw_response.create(
            input="Hello", **({} if model is None else {"model": model})
        )

    expected = {"input": "Hello"} if model is None else {"input": "Hello", "model": "theirs"}
    assert upstream.seen[0].json == expected
    assert raw.headers["x-headgate-model"] == (model or "omni-moderation-latest")


async def test_a_moderation_without_a_model_needs_a_route_for_the_default() -> None:
    async with behind() as (rig, _), client_of(rig) as client:
        with pytest.raises(openai.NotFoundError, match='"omni-moderation-latest" is not served'):
            await client.moderations.create(input="Hello")


async def test_an_image_comes_and_its_tokens_are_counted() -> None:
    usage = {"input_tokens": 11, "output_tokens": 500, "total_tokens": 511}
    said = {"created": 1, "data": [{"b64_json": "aGVsbG8="}], "usage": usage}
    async with behind() as (rig, upstream), client_of(rig) as client:
        upstream.answers["/v1/images/generations"] = answer_json(said)
        answer = await client.images.generate(model="gpt", prompt="A hedge", size="1024x1024")
        metrics = (await rig.look("/metrics")).body.decode()

    assert answer.data is not None
    assert answer.data[0].b64_json == "aGVsbG8="
    assert 'headgate_tokens_total{kind="output",route="chat/route"} 500.0' in metrics


async def test_an_image_streams_as_it_is_painted_without_done() -> None:
    made = {
        "created_at": 1,
        "b64_json": "aGk=",
        "background": "opaque",
        "output_format": "png",
        "size": "auto",
    }
    usage = {"input_tokens": 11, "output_tokens": 500, "total_tokens": 511, "input_tokens_details": {}}
    partial = {"type": "image_generation.partial_image", "partial_image_index": 0, **made, "quality": "low"}
    last = {"type": "image_generation.completed", **made, "quality": "low", "usage": usage}

    async def stream(request: web.Request) -> web.StreamResponse:
        return await stream_events(request, [partial, last])

    async with behind() as (rig, upstream), client_of(rig) as client:
        upstream.answers["/v1/images/generations"] = stream
        images = await client.images.generate(model="gpt", prompt="A hedge", stream=True, partial_images=1)
        events = [event async for event in images]
        metrics = (await rig.look("/metrics")).body.decode()

    assert [event.type for event in events] == [
        "image_generation.partial_image",
        "image_generation.completed",
    ]
    assert 'headgate_tokens_total{kind="output",route="chat/route"} 500.0' in metrics


async def test_speech_comes_as_bytes_with_their_type() -> None:
    async with behind() as (rig, upstream), client_of(rig) as client:
        upstream.answers["/v1/audio/speech"] = answer_bytes(SOUND, "audio/mpeg")
        async with client.audio.speech.with_streaming_response.create(
            model="gpt", voice="alloy", input="Hello"
        ) as answer:
            sound = b"".join([piece async for piece in answer.iter_bytes()])

    assert sound == SOUND
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.headers["x-headgate-provider"] == "chat/openai"
    assert upstream.seen[0].json == {"model": "theirs", "voice": "alloy", "input": "Hello"}


@pytest.mark.parametrize("body", [b"", b"RIFF"])
async def test_a_short_sound_keeps_its_type_too(body: bytes) -> None:
    async with behind() as (rig, upstream):
        upstream.answers["/v1/audio/speech"] = answer_bytes(body, "audio/wav")
        answer = await rig.ask({"model": "gpt", "input": "x"}, path="/v1/audio/speech")

    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, body, "audio/wav")


async def test_speech_that_breaks_off_is_never_taken_for_whole() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: 9000\r\n\r\n"
    async with (
        raw_upstream(saying(head, b"x" * 100)) as upstream,
        serving(table(provider(upstream.url), routes=[route(max_attempts=1)])) as rig,
        client_of(rig) as client,
    ):
        with pytest.raises(openai.APIConnectionError):
            await client.audio.speech.create(model="gpt", voice="alloy", input="Hello")
        failed = (await rig.look("/metrics")).body.decode()

    assert 'headgate_attempts_total{outcome="reset",provider="chat/openai"} 1.0' in failed


async def test_speech_that_falls_silent_is_given_up() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: 9000\r\n\r\n"
    short = Timeouts(connect_s=5.0, first_token_s=5.0, idle_s=0.1, total_s=5.0)
    async with raw_upstream(saying(head, b"x" * 100, then_close=False)) as upstream:
        made = table(provider(upstream.url, timeouts=short), routes=[route(max_attempts=1)])
        async with serving(made) as rig, client_of(rig) as client:
            with pytest.raises(openai.APIConnectionError):
                await client.audio.speech.create(model="gpt", voice="alloy", input="Hello")


async def test_a_refusal_of_speech_is_told_in_the_providers_words() -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        error = {"message": "No such voice.", "type": "invalid_request_error", "param": "voice", "code": None}
        return web.json_response({"error": error}, status=400)

    async with behind() as (rig, upstream), client_of(rig) as client:
        upstream.answers["/v1/audio/speech"] = refuse
        with pytest.raises(openai.BadRequestError, match="No such voice"):
            await client.audio.speech.create(model="gpt", voice="nobody", input="Hello")


async def test_a_caller_that_leaves_in_the_middle_of_a_download_stops_it() -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "audio/mpeg"})
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)

    async with behind() as (rig, upstream), client_of(rig) as client:
        upstream.answers["/v1/audio/speech"] = drip
        async with client.audio.speech.with_streaming_response.create(
            model="gpt", voice="alloy", input="Hello"
        ) as answer:
            async for _ in answer.iter_bytes():
                break
        async with asyncio.timeout(5.0):
            await upstream.stopped.wait()


async def test_a_caller_that_does_not_read_holds_the_provider_back() -> None:
    """What it does not take stays at the provider: our own buffers and the sockets' are all that fills."""
    sent = 0
    stuck = asyncio.Event()

    async def drip(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"content-type": "audio/mpeg"})
        await response.prepare(request)
        for _ in range(4096):
            writing = asyncio.ensure_future(response.write(b"x" * 65536))
            done, _ = await asyncio.wait((writing,), timeout=0.5)
            if not done:
                stuck.set()
            await writing
            sent += 65536
        return response

    async with behind() as (rig, upstream):
        upstream.answers["/v1/audio/speech"] = drip
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port, limit=1024)
        body = b'{"model":"gpt"}'
        head = f"POST /v1/audio/speech HTTP/1.1\r\nhost: x\r\napi-key: {KEY}\r\ncontent-length: "
        writer.write(head.encode() + b"%d\r\n\r\n%b" % (len(body), body))
        await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(20.0):
            await stuck.wait()
        writer.close()

    assert sent < 64 * 1024 * 1024


ENDPOINTS = [
    ("/v1/completions", {"prompt": "x"}),
    ("/v1/moderations", {"input": "x"}),
    ("/v1/images/generations", {"prompt": "x"}),
    ("/v1/audio/speech", {"input": "x"}),
    ("/v1/rerank", {"query": "x", "documents": ["y"]}),
]


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
async def test_a_provider_with_another_api_is_passed_over(path: str, body: dict[str, Any]) -> None:
    async with native_upstream("anthropic") as first, keeping_upstream() as second:
        second.answers[path] = answer_json({"id": "x", "results": []})
        targets = [build_target("anthropic"), build_target("openai", priority=1)]
        made = table(
            speaking("anthropic", first.url), provider(second.url), routes=[route("gpt", targets=targets)]
        )
        async with serving(made) as rig:
            answer = await rig.ask({"model": "gpt"} | body, path=path)

    assert (answer.status, answer.headers["x-headgate-provider"]) == (200, "chat/openai")
    assert (len(first.seen), second.paths) == (0, [path])


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
async def test_where_no_other_is_left_it_is_refused_by_its_name(path: str, body: dict[str, Any]) -> None:
    async with native_upstream("google") as upstream:
        made = table(
            speaking("google", upstream.url), routes=[route("gpt", targets=[build_target("google")])]
        )
        async with serving(made) as rig:
            answer = await rig.ask({"model": "gpt"} | body, path=path)

    assert answer.status == 400
    assert answer.error["headgate"] == "HG1021"
    assert answer.error["message"] == (
        f"POST {path} cannot be said in Google Gemini's API. Ask for a model of another provider."
    )
    assert answer.headers["x-should-retry"] == "false"


async def test_azure_finds_each_endpoint_in_its_place() -> None:
    async with native_upstream("azure") as upstream:
        upstream.refusal = 200, b'{"id":"x"}'
        made = table(speaking("azure", upstream.url), routes=[route("d", targets=[build_target("azure")])])
        async with serving(made) as rig:
            for path in ("/v1/completions", "/v1/images/generations", "/v1/audio/speech", "/v1/responses"):
                await rig.ask({"model": "d", "input": "x"}, path=path)
            missing = await rig.ask({"model": "d", "input": "x"}, path="/v1/moderations")

    assert [came.path for came in upstream.seen] == [
        "/openai/deployments/d/completions?api-version=2024-10-21",
        "/openai/deployments/d/images/generations?api-version=2024-10-21",
        "/openai/deployments/d/audio/speech?api-version=2024-10-21",
        "/openai/responses?api-version=2024-10-21",
    ]
    assert missing.error["headgate"] == "HG1021"


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
async def test_a_ranking_passes_to_a_server_that_ranks(path: str) -> None:
    asked = {"model": "gpt", "query": "q", "documents": ["a", {"text": "b"}], "truncate_prompt_tokens": 9}
    async with behind() as (rig, upstream):
        answer = await rig.ask(asked, path=path)

    assert answer.json["results"][0] == {"index": 1, "relevance_score": 0.9}
    assert upstream.paths == ["/v1/rerank"]
    assert upstream.seen[0].json == {**asked, "model": "theirs"}


async def test_cohere_ranks_in_the_same_shape() -> None:
    asked = {"query": "q", "documents": ["a", {"text": "b"}], "top_n": 1, "return_documents": True}
    async with native_upstream("cohere") as upstream:
        upstream.refusal = 200, b'{"id":"r","results":[{"index":1,"relevance_score":0.9}]}'
        made = table(
            speaking("cohere", upstream.url), routes=[route("rerank-v3.5", targets=[build_target("cohere")])]
        )
        async with serving(made) as rig:
            answer = await rig.ask({"model": "rerank-v3.5"} | asked, path="/v1/rerank")
            lost = await rig.ask({"model": "rerank-v3.5", "overlap": 3} | asked, path="/v1/rerank")
            upstream.refusal = 200, b'{"results":[{"index":7,"relevance_score":0.9}]}'
            strange = await rig.ask({"model": "rerank-v3.5"} | asked, path="/v1/rerank")

    assert upstream.seen[0].path == "/v2/rerank"
    assert upstream.seen[0].json == {
        "model": "rerank-v3.5",
        "query": "q",
        "documents": ["a", "b"],
        "top_n": 1,
    }
    assert answer.json == {
        "id": f"rerank-{answer.headers['x-headgate-request-id']}",
        "model": "rerank-v3.5",
        "results": [{"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}],
    }
    assert lost.error["message"].startswith("`overlap` cannot be said in Cohere's API")
    assert (strange.status, strange.error["headgate"]) == (502, "HG1015")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"query": "q"}, "missing required field `documents`"),
        ({"query": "q", "documents": []}, "`documents` is empty: send a list of texts."),
        ({"query": "q", "documents": [{"title": "x"}]}, "missing required field `text`"),
    ],
)
async def test_a_ranking_that_makes_no_sense_is_the_callers_mistake(
    body: dict[str, Any], message: str
) -> None:
    async with native_upstream("cohere") as upstream:
        made = table(
            speaking("cohere", upstream.url), routes=[route("rerank-v3.5", targets=[build_target("cohere")])]
        )
        async with serving(made) as rig:
            answer = await rig.ask({"model": "rerank-v3.5"} | body, path="/v1/rerank")

    assert (answer.status, answer.error["headgate"]) == (400, "HG1004")
    assert message in answer.error["message"]
    assert upstream.seen == []


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
async def test_keys_allow_lists_and_limits_hold_for_each(path: str, body: dict[str, Any]) -> None:
    limits = [Limit(name="rpm", amount=1, window_s=60.0)]
    async with behind("gpt", "hidden", limits=limits) as (rig, upstream):
        upstream.answers[path] = answer_json({"id": "x"})
        nobody = await rig.ask({"model": "gpt"} | body, path=path, key="wrong")
        unknown = await rig.ask({"model": "other"} | body, path=path)
        served = await rig.ask({"model": "gpt"} | body, path=path)
        spent = await rig.ask({"model": "gpt"} | body, path=path)

    statuses = [answer.status for answer in (nobody, unknown, served, spent)]
    assert statuses == [401, 404, 200, 429]
    assert served.headers["x-headgate-route"] == "chat/route"
    assert served.headers["x-ratelimit-remaining-requests"] == "0"
