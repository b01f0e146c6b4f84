"""The fake provider over real sockets, asked by the client that users have."""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator

import aiohttp
import openai
import pytest

from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.fake_provider import FakeProvider, Seen

SERVE = """
import asyncio
from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.fake_provider import run_fake_provider
asyncio.run(run_fake_provider("127.0.0.1", 0, FakeScript()))
"""


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    provider = FakeProvider()
    await provider.start()
    yield provider
    await provider.stop()


@pytest.fixture
async def client(provider: FakeProvider) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=provider.url, api_key="sk-test", max_retries=0) as client:
        yield client


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def ask(client: openai.AsyncOpenAI) -> str | None:
    completion = await client.chat.completions.create(
        model="gpt", messages=[{"role": "user", "content": "Hello"}]
    )
    return completion.choices[0].message.content


async def ask_stream(client: openai.AsyncOpenAI) -> str:
    stream = await client.chat.completions.create(
        model="gpt", messages=[{"role": "user", "content": "Hello"}], stream=True
    )
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


async def test_the_openai_client_gets_completions_streams_embeddings_and_models(
    provider: FakeProvider, client: openai.AsyncOpenAI
) -> None:
    provider.script = FakeScript(answer="fine, thanks")
    embedding = await client.embeddings.create(model="e", input="text")
    models = await client.models.list()

    assert await ask(client) == "fine, thanks"
    assert await ask_stream(client) == "fine, thanks"
    assert len(embedding.data[0].embedding) == 8
    assert [model.id for model in models.data] == ["fake-large", "fake-small"]


async def test_what_was_seen_is_counted_and_remembered(
    provider: FakeProvider, client: openai.AsyncOpenAI
) -> None:
    await ask(client)
    await client.models.list()

    assert (provider.seen.requests, provider.seen.probes, provider.seen.cancelled) == (1, 1, 0)
    assert provider.seen.latest[0].path == "/v1/chat/completions"
    assert provider.seen.latest[0].authorization == "Bearer sk-test"
    assert '"model":"gpt"' in provider.seen.latest[0].body


async def test_an_error_reaches_the_client_with_its_retry_after(
    provider: FakeProvider, client: openai.AsyncOpenAI
) -> None:
    provider.script = FakeScript(status=429, retry_after_s=7)

    with pytest.raises(openai.RateLimitError, match="told to answer 429") as caught:
        await ask(client)
    assert caught.value.response.headers["retry-after"] == "7"


async def test_a_cut_stream_breaks_off_in_the_clients_hands(
    provider: FakeProvider, http: aiohttp.ClientSession
) -> None:
    provider.script = FakeScript(cut_after_chunks=2)
    body = {"model": "gpt", "stream": True}
    async with http.post(f"{provider.url}/chat/completions", json=body) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()

    assert (response.status, provider.seen.cancelled) == (200, 0)


async def test_a_cut_answer_breaks_off_in_the_clients_hands(
    provider: FakeProvider, client: openai.AsyncOpenAI
) -> None:
    provider.script = FakeScript(cut_after_chunks=0)

    with pytest.raises(openai.APIConnectionError):
        await ask(client)


async def test_a_caller_that_leaves_a_stream_is_noticed(
    provider: FakeProvider, client: openai.AsyncOpenAI
) -> None:
    provider.script = FakeScript(tokens_per_s=0.01)
    stream = await client.chat.completions.create(model="gpt", messages=[], stream=True)
    await provider.wait_until_seen(lambda seen: seen.under_way == 1)
    await stream.close()
    await provider.wait_until_seen(lambda seen: seen.cancelled == 1)

    assert provider.seen.under_way == 0


async def test_a_caller_that_leaves_before_the_answer_is_noticed(
    provider: FakeProvider, client: openai.AsyncOpenAI
) -> None:
    provider.script = FakeScript(latency_s=100.0)
    request = asyncio.create_task(ask(client))
    await provider.wait_until_seen(lambda seen: seen.under_way == 1)
    request.cancel()
    await provider.wait_until_seen(lambda seen: seen.cancelled == 1)

    assert provider.seen.under_way == 0


async def test_latency_and_pace_are_kept(provider: FakeProvider, client: openai.AsyncOpenAI) -> None:
    provider.script = FakeScript(answer="a b", latency_s=0.03, tokens_per_s=100)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    answer = await ask_stream(client)

    assert answer == "a b"
    # Five events, so four pauses of 10 ms after the latency; clocks may round a timer down a little.
    assert loop.time() - began_s >= 0.06


async def test_another_process_can_replace_the_script_and_ask_what_was_seen(
    provider: FakeProvider, client: openai.AsyncOpenAI, http: aiohttp.ClientSession
) -> None:
    await ask(client)
    control = provider.url.removesuffix("/v1") + "/_fake"
    async with http.put(f"{control}/script", json={"answer": "new"}) as response:
        replaced = response.status
    answer = await ask(client)
    async with http.get(f"{control}/seen") as response:
        seen = await response.json()

    assert (replaced, answer, provider.script) == (204, "new", FakeScript(answer="new"))
    assert (seen["requests"], seen["probes"], seen["cancelled"], seen["under_way"]) == (2, 0, 0, 0)
    assert seen["latest"][0]["authorization"] == "Bearer sk-test"


async def test_a_script_with_a_mistake_changes_nothing(
    provider: FakeProvider, http: aiohttp.ClientSession
) -> None:
    before = provider.script
    url = provider.url.removesuffix("/v1") + "/_fake/script"
    async with http.put(url, data=b'{"status": "bad"}') as response:
        answer = await response.json()

    assert response.status == 400
    assert answer["error"]["message"].startswith(
        "not a script of the fake provider: Expected `int`, got `str` - at `$.status`. Fields: latency_s, "
    )
    assert provider.script is before


async def test_a_path_that_no_provider_has_is_404(
    provider: FakeProvider, http: aiohttp.ClientSession
) -> None:
    async with http.get(f"{provider.url}/files") as response:
        answer = await response.json()

    assert (response.status, answer["error"]["message"]) == (404, "the fake provider has no GET /v1/files")


async def test_forgetting_starts_the_counters_anew(
    provider: FakeProvider, client: openai.AsyncOpenAI, http: aiohttp.ClientSession
) -> None:
    await ask(client)
    async with http.delete(provider.url.removesuffix("/v1") + "/_fake/seen") as response:
        status = response.status

    assert (status, provider.seen) == (204, Seen())


async def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_behind(provider: FakeProvider) -> None:
    port = int(provider.url.split(":")[2].removesuffix("/v1"))
    second = FakeProvider()

    with pytest.raises(OSError, match="in use"):
        await second.start("127.0.0.1", port)
    await second.stop()


async def test_stopping_drops_what_is_under_way(provider: FakeProvider, client: openai.AsyncOpenAI) -> None:
    provider.script = FakeScript(latency_s=100.0)
    request = asyncio.create_task(ask(client))
    await provider.wait_until_seen(lambda seen: seen.under_way == 1)
    await provider.stop()

    with pytest.raises(openai.APIConnectionError):
        await request


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_process_listens_until_it_is_told_to_end(
    http: aiohttp.ClientSession, number: signal.Signals
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    line = await process.stdout.readline()
    found = re.search(rb"http://127\.0\.0\.1:\d+/v1", line)
    assert found, line
    async with http.get(f"{found[0].decode()}/models") as response:
        answered = response.status
    process.send_signal(number)
    rest = await process.stdout.read()

    assert (answered, await process.wait()) == (200, 0)
    assert b"fake provider stops" in rest
