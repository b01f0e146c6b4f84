"""What callers get when all is well: completions, streams, embeddings, model lists, and their headers."""

import aiohttp
import openai
import pytest

from gateway_runtime.contract.table import Model
from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.fake_provider import FakeProvider
from tests.contract.tables import build_target
from tests.server.rawupstream import answering, raw_upstream
from tests.server.rig import CHAT, KEY, UPSTREAM_KEY, provider, route, serving, table, tenant


async def test_a_completion_reaches_the_caller_as_the_provider_wrote_it(fake: FakeProvider) -> None:
    body = b'{ "choices": [ ],\n "weird" : 1e400 , "text":"\\u00e9" }'
    async with raw_upstream(answering(body)) as upstream, serving(table(provider(upstream.url))) as rig:
        answer = await rig.ask()

    assert (answer.status, answer.body) == (200, body)


async def test_every_answer_tells_how_it_came_about(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url))) as rig:
        answer = await rig.ask()

    told = {name: value for name, value in answer.headers.items() if name.startswith("x-headgate")}
    request_id, overhead_ms = told.pop("x-headgate-request-id"), float(told.pop("x-headgate-overhead-ms"))
    assert told == {
        "x-headgate-route": "chat/route",
        "x-headgate-provider": "chat/openai",
        "x-headgate-model": "gpt",
        "x-headgate-attempts": "1",
    }
    assert fake.seen.latest[0].request_id == request_id
    assert 0 <= overhead_ms < 1000


async def test_a_slow_provider_is_not_the_gateways_overhead(fake: FakeProvider) -> None:
    fake.script = FakeScript(latency_s=0.09)
    async with serving(table(provider(fake.url))) as rig:
        answer = await rig.ask()

    assert float(answer.headers["x-headgate-overhead-ms"]) < 60


async def test_a_stream_ends_with_done_and_a_clean_end(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url))) as rig:
        answer = await rig.ask({**CHAT, "stream": True})

    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.body.startswith(b'data: {"id":"chatcmpl-fake-1"')
    assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_the_provider_sees_its_own_model_name_and_key_and_nothing_of_the_callers(
    fake: FakeProvider,
) -> None:
    models = [Model(name="large", upstream_name="fake-large-2")]
    targets = [build_target(model="large")]
    async with serving(table(provider(fake.url, models=models), routes=[route(targets=targets)])) as rig:
        answer = await rig.ask(headers={"x-secret-of-the-caller": "1", "cookie": "session=1"})

    seen = fake.seen.latest[0]
    assert answer.json["model"] == "fake-large-2"
    assert seen.authorization == f"Bearer {UPSTREAM_KEY}"
    assert seen.body == '{"model":"fake-large-2","messages":[{"role": "user", "content": "Hello"}]}'


@pytest.mark.parametrize("header", ["api-key", "x-api-key"])
async def test_a_key_may_come_in_the_headers_of_other_clients(header: str, fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url))) as rig:
        answer = await rig.ask(key=None, headers={header: KEY})

    assert answer.status == 200


async def test_callers_see_only_the_models_that_they_may_use(fake: FakeProvider) -> None:
    routes = [route("gpt", name="a"), route("chat-*", name="b"), route("secret", name="c")]
    models = [Model(name="chat-small", upstream_name="s"), Model(name="other", upstream_name="o")]
    allowed = tenant(models=["gpt", "chat-*"])
    async with serving(table(provider(fake.url, models=models), routes=routes, tenants=[allowed])) as rig:
        listed = await rig.ask(method="GET", path="/v1/models")
        one = await rig.ask(method="GET", path="/v1/models/chat-small")
        forbidden = await rig.ask(method="GET", path="/v1/models/secret")

    assert [model["id"] for model in listed.json["data"]] == ["chat-small", "gpt"]
    assert one.json == {"id": "chat-small", "object": "model", "created": 0, "owned_by": "headgate"}
    assert forbidden.status == 404


async def test_connections_to_the_provider_are_kept_and_used_again() -> None:
    async with raw_upstream(answering(b"{}")) as upstream, serving(table(provider(upstream.url))) as rig:
        for _ in range(20):
            assert (await rig.ask()).status == 200

    assert (upstream.requests, upstream.connections) == (20, 1)


async def test_the_openai_sdk_gets_completions_streams_embeddings_models_and_errors(
    fake: FakeProvider,
) -> None:
    fake.script = FakeScript(answer="four words of answer")
    async with (
        serving(table(provider(fake.url))) as rig,
        openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key=KEY, max_retries=0) as client,
    ):
        messages = [{"role": "user", "content": "Hello"}]
        completion = await client.chat.completions.create(model="gpt", messages=messages)  # type: ignore[call-overload]
        stream = await client.chat.completions.create(model="gpt", messages=messages, stream=True)  # type: ignore[call-overload]
        streamed = [event.choices[0].delta.content or "" async for event in stream]
        embeddings = await client.embeddings.create(model="gpt", input=["one", "two"])
        models = await client.models.list()
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(model="gpt-9", messages=messages)  # type: ignore[call-overload]

    assert completion.choices[0].message.content == "four words of answer"
    assert "".join(streamed) == "four words of answer"
    assert len(embeddings.data) == 2
    assert [model.id for model in models.data] == ["gpt"]
    assert caught.value.code == "model_not_found"


async def test_a_client_of_http_1_0_gets_its_stream_without_chunks(fake: FakeProvider) -> None:
    async with (
        serving(table(provider(fake.url))) as rig,
        aiohttp.ClientSession(version=aiohttp.HttpVersion10) as session,
    ):
        headers = {"authorization": f"Bearer {KEY}"}
        url = f"{rig.url}/v1/chat/completions"
        async with session.post(url, json={**CHAT, "stream": True}, headers=headers) as answer:
            body = await answer.read()

    assert "transfer-encoding" not in answer.headers
    assert body.endswith(b"data: [DONE]\n\n")
