"""Tokens: how a provider is asked for them, who sees them, and where they are counted."""

import asyncio

import aiohttp
import msgspec
import pytest
from msgspec.structs import replace

from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.fake_provider import FakeProvider
from tests.contract.tables import build_target
from tests.server.rawupstream import STREAM_HEAD, RawUpstream, Script, answering, chunk, raw_upstream, saying
from tests.server.rig import CHAT, KEY, UPSTREAM_KEY, Rig, provider, route, serving, settings, sse, table

STREAM = {**CHAT, "stream": True}
ASKING = {**STREAM, "stream_options": {"include_usage": True}}
USAGE = b'"usage":{"prompt_tokens":1,"completion_tokens":3,"total_tokens":4}'
THREE_WORDS = FakeScript(answer="one two three")
BOTH = (build_target("openai", priority=0), build_target("azure", priority=1))
ONE = sse('{"n":1}')
REFUSED = f'{{"error":{{"message":"Incorrect API key: {UPSTREAM_KEY}","code":"invalid_api_key"}}}}'
LIMITED = f'{{"error":{{"message":"Rate limit reached for {UPSTREAM_KEY}","code":429}}}}'


def streaming(*events: str) -> Script:
    return saying(STREAM_HEAD, chunk(sse(*events)) + b"0\r\n\r\n", then_close=False)


async def read_until_cut(rig: Rig) -> bytes:
    """A stream that has no clean end."""
    received = b""
    headers = {"authorization": f"Bearer {KEY}"}
    async with rig.session.post(f"{rig.url}/v1/chat/completions", json=STREAM, headers=headers) as answer:
        while True:
            try:
                received += await answer.content.readany()
            except aiohttp.ClientPayloadError:
                return received
            assert not answer.content.at_eof()


async def test_every_stream_is_asked_for_its_usage_and_only_who_asked_sees_it(fake: FakeProvider) -> None:
    fake.script = THREE_WORDS
    async with serving(table(provider(fake.url))) as rig:
        plain, asked = await rig.ask(STREAM), await rig.ask(ASKING)
    sent = [msgspec.json.decode(seen.body)["stream_options"] for seen in fake.seen.latest]

    assert sent == [{"include_usage": True}] * 2
    assert (USAGE in plain.body, USAGE in asked.body) == (False, True)
    assert (plain.body.count(b"data: "), asked.body.count(b"data: ")) == (6, 7)
    assert plain.body.endswith(sse("[DONE]"))


async def test_a_provider_that_knows_no_stream_options_is_sent_none(
    fake: FakeProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    old = replace(provider(fake.url), stream_usage=False)
    async with serving(table(old), settings(access_log=True)) as rig:
        answer = await rig.ask(STREAM)

    assert answer.status == 200
    assert "stream_options" not in fake.seen.latest[-1].body
    assert "output_tokens=None" in capsys.readouterr().out


@pytest.mark.parametrize("body", [CHAT, STREAM])
async def test_tokens_are_in_the_access_log(
    fake: FakeProvider, capsys: pytest.CaptureFixture[str], body: object
) -> None:
    fake.script = THREE_WORDS
    async with serving(table(provider(fake.url)), settings(access_log=True)) as rig:
        await rig.ask(body)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "request_id=" in line]

    assert "input_tokens=1" in line
    assert "output_tokens=3" in line


async def test_tokens_are_counted_by_route_and_by_model(fake: FakeProvider) -> None:
    fake.script = THREE_WORDS
    async with serving(table(provider(fake.url), routes=[route("gpt", "gpt-*")])) as rig:
        await rig.ask(CHAT)
        await rig.ask(STREAM)
        await rig.ask({"model": "gpt-embed", "input": "one two"}, path="/v1/embeddings")
        metrics = (await rig.look("/metrics")).body.decode()

    assert 'headgate_tokens_total{kind="input",route="chat/route"} 4.0' in metrics
    assert 'headgate_tokens_total{kind="output",route="chat/route"} 6.0' in metrics
    usage = "gen_ai_client_token_usage"
    assert f'{usage}_sum{{gen_ai_request_model="gpt",gen_ai_token_type="input"}} 2.0' in metrics
    assert f'{usage}_sum{{gen_ai_request_model="gpt",gen_ai_token_type="output"}} 6.0' in metrics
    assert f'{usage}_count{{gen_ai_request_model="gpt",gen_ai_token_type="output"}} 2.0' in metrics
    assert f'{usage}_count{{gen_ai_request_model="gpt-*",gen_ai_token_type="input"}} 1.0' in metrics
    assert f'{usage}_count{{gen_ai_request_model="gpt-*",gen_ai_token_type="output"}} 0.0' in metrics


async def test_the_time_between_tokens_is_that_of_whole_streams(fake: FakeProvider) -> None:
    fake.script = FakeScript(answer="one two three", tokens_per_s=100)
    per_token = "gen_ai_server_time_per_output_token_seconds"
    async with serving(table(provider(fake.url))) as rig:
        await rig.ask(CHAT)
        await rig.ask(STREAM)
        metrics = (await rig.look("/metrics")).body.decode()
    (spent,) = [line for line in metrics.splitlines() if line.startswith(f"{per_token}_sum")]

    assert f'{per_token}_count{{gen_ai_request_model="gpt"}} 1.0' in metrics
    assert 0.008 < float(spent.split()[1]) < 0.1


async def test_what_a_broken_stream_told_of_its_usage_is_counted(fake: FakeProvider) -> None:
    """Some providers tell it in every event."""
    told = '{"choices":[{}],"usage":{"prompt_tokens":7,"completion_tokens":%d}}'

    async def break_off(_: RawUpstream, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(sse(told % 1, told % 2)))
        await writer.drain()
        writer.close()

    async with raw_upstream(break_off) as upstream, serving(table(provider(upstream.url))) as rig:
        await read_until_cut(rig)
        metrics = (await rig.look("/metrics")).body.decode()

    assert 'headgate_tokens_total{kind="input",route="chat/route"} 7.0' in metrics
    assert 'headgate_tokens_total{kind="output",route="chat/route"} 2.0' in metrics


@pytest.mark.parametrize("words", [LIMITED, REFUSED])
async def test_a_providers_error_amid_a_stream_arrives_in_its_words_without_the_key(words: str) -> None:
    async with (
        raw_upstream(streaming('{"n":1}', words, '{"n":2}', "[DONE]")) as upstream,
        serving(table(provider(upstream.url))) as rig,
    ):
        received = await read_until_cut(rig)

    assert received == ONE + sse(words.replace(UPSTREAM_KEY, "[redacted]"))


@pytest.mark.parametrize("words", [LIMITED, REFUSED, '{"error":"out of memory"}'])
async def test_an_error_before_the_first_event_is_tried_elsewhere(
    other_fake: FakeProvider, words: str
) -> None:
    async with raw_upstream(streaming(words)) as upstream:
        providers = [provider(upstream.url), provider(other_fake.url, name="azure")]
        async with serving(table(*providers, routes=[route(targets=BOTH)])) as rig:
            answer = await rig.ask(STREAM)

    assert (answer.status, answer.headers["x-headgate-provider"]) == (200, "chat/azure")
    assert answer.body.endswith(sse("[DONE]"))


async def test_an_error_before_the_first_event_has_a_status_where_nothing_else_is_left() -> None:
    async with (
        raw_upstream(streaming(LIMITED)) as upstream,
        serving(table(provider(upstream.url), routes=[route(max_attempts=1)])) as rig,
    ):
        answer = await rig.ask(STREAM)

    assert (answer.status, answer.error["message"]) == (429, "Rate limit reached for [redacted]")


@pytest.mark.parametrize(
    ("body", "script"), [(STREAM, streaming(REFUSED)), (CHAT, answering(REFUSED.encode()))]
)
async def test_a_refused_credential_within_status_200_is_no_401_to_the_caller(
    body: object, script: Script
) -> None:
    async with (
        raw_upstream(script) as upstream,
        serving(table(provider(upstream.url), routes=[route(max_attempts=1)])) as rig,
    ):
        answer = await rig.ask(body)

    assert answer.status == 502
    assert answer.error["message"] == (
        'Provider chat/openai refused credential "key-0" (status 401). Your own key is fine; whoever owns '
        "the provider must put a valid key into the Secret behind it."
    )
