"""The exceptions of the official SDKs, each raised once by what a provider or the gateway says, whatever API
the provider speaks.
"""

import json
from typing import Any

import anthropic
import msgspec
import openai
import pydantic
import pytest

from gateway_runtime.contract.table import Timeouts
from gateway_runtime.contract.tenant import Limit
from tests.contract.tables import build_target
from tests.server.nativeupstream import native_upstream, speaking
from tests.server.rawupstream import STREAM_HEAD, chunk, raw_upstream, saying
from tests.server.rig import KEY, Rig, provider, route, serving, table, tenant
from tests.server.test_providers import ASKED, anthropic_client, behind, openai_client

ANTHROPIC_ERROR = {"type": "error", "error": {"type": "invalid_request_error", "message": "It is wrong."}}
OPENAI_ERROR = {"error": {"message": "It is wrong.", "type": "invalid_request_error", "code": None}}


async def ask_as_openai(rig: Rig, **more: Any) -> Any:
    async with openai_client(rig) as client:
        return await client.chat.completions.create(model="some-model", messages=ASKED, **more)


async def ask_as_anthropic(rig: Rig, **more: Any) -> Any:
    async with anthropic_client(rig) as client:
        return await client.messages.create(
            **{"model": "some-model", "max_tokens": 9, "messages": ASKED} | more
        )


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (400, openai.BadRequestError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (529, openai.InternalServerError),
    ],
)
async def test_openais_exceptions_for_what_a_provider_refuses(
    wire: str, status: int, raised: type[openai.APIStatusError]
) -> None:
    async with behind(wire) as (rig, upstream):
        said = OPENAI_ERROR if wire == "openai" else ANTHROPIC_ERROR
        upstream.refusal = status, json.dumps(said).encode()
        with pytest.raises(raised, match="It is wrong") as error:
            await ask_as_openai(rig)

    assert error.value.status_code == status


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (400, anthropic.BadRequestError),
        (404, anthropic.NotFoundError),
        (409, anthropic.ConflictError),
        (413, anthropic.RequestTooLargeError),
        (422, anthropic.UnprocessableEntityError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.OverloadedError),
    ],
)
async def test_anthropics_exceptions_for_what_a_provider_refuses(
    wire: str, status: int, raised: type[anthropic.APIStatusError]
) -> None:
    async with behind(wire) as (rig, upstream):
        said = OPENAI_ERROR if wire == "openai" else ANTHROPIC_ERROR
        upstream.refusal = status, json.dumps(said).encode()
        with pytest.raises(raised, match="It is wrong") as error:
            await ask_as_anthropic(rig)

    assert error.value.status_code == status
    assert error.value.request_id


async def test_a_key_that_is_not_known_here() -> None:
    async with behind("anthropic") as (rig, _):
        wrong = rig.url
        async with openai.AsyncOpenAI(base_url=f"{wrong}/v1", api_key="sk-wrong") as client:
            with pytest.raises(openai.AuthenticationError):
                await client.models.list()
        async with anthropic.AsyncAnthropic(base_url=wrong, api_key="sk-wrong") as theirs:
            with pytest.raises(anthropic.AuthenticationError) as error:
                await theirs.messages.create(model="some-model", max_tokens=9, messages=ASKED)

    assert "not known here" in str(error.value)


async def test_a_providers_refusal_of_our_key_is_not_the_callers() -> None:
    async with behind("anthropic") as (rig, upstream):
        upstream.refusal = 401, json.dumps(ANTHROPIC_ERROR).encode()
        with pytest.raises(openai.InternalServerError, match="Your own key is fine"):
            await ask_as_openai(rig)
        with pytest.raises(anthropic.InternalServerError, match="Your own key is fine"):
            await ask_as_anthropic(rig)


async def test_a_spent_limit_is_a_rate_limit_in_either_dialect() -> None:
    limited = tenant(limits=[Limit(name="minute", amount=1, window_s=60.0)])
    async with native_upstream("anthropic") as upstream:
        made = table(
            speaking("anthropic", upstream.url),
            routes=[route("some-model", targets=[build_target("anthropic")])],
            tenants=[limited],
        )
        async with serving(made) as rig:
            await ask_as_anthropic(rig)
            with pytest.raises(anthropic.RateLimitError) as theirs:
                await ask_as_anthropic(rig)
            with pytest.raises(openai.RateLimitError) as ours:
                await ask_as_openai(rig)

    assert theirs.value.response.headers["anthropic-ratelimit-requests-limit"] == "1"
    assert theirs.value.response.headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert theirs.value.response.headers["anthropic-ratelimit-requests-reset"].endswith("Z")
    assert int(theirs.value.response.headers["retry-after"]) > 0
    assert ours.value.response.headers["x-ratelimit-limit-requests"] == "1"


async def test_a_provider_that_is_not_there() -> None:
    async with serving(
        table(provider("http://127.0.0.1:1/v1"), routes=[route("some-model", max_attempts=1)])
    ) as rig:
        with pytest.raises(openai.InternalServerError) as ours:
            await ask_as_openai(rig)
        with pytest.raises(anthropic.InternalServerError) as theirs:
            await ask_as_anthropic(rig)

    assert (ours.value.status_code, theirs.value.status_code) == (502, 502)


async def test_a_gateway_that_is_not_there() -> None:
    async with openai.AsyncOpenAI(base_url="http://127.0.0.1:1/v1", api_key=KEY, max_retries=0) as client:
        with pytest.raises(openai.APIConnectionError):
            await client.models.list()
    async with anthropic.AsyncAnthropic(base_url="http://127.0.0.1:1", api_key=KEY, max_retries=0) as theirs:
        with pytest.raises(anthropic.APIConnectionError):
            await theirs.models.list()


async def test_a_caller_that_waits_no_longer() -> None:
    async with (
        raw_upstream(saying(then_close=False)) as upstream,
        serving(table(provider(upstream.url), routes=[route("some-model")])) as rig,
    ):
        with pytest.raises(openai.APITimeoutError):
            await ask_as_openai(rig, timeout=0.2)
        with pytest.raises(anthropic.APITimeoutError):
            await ask_as_anthropic(rig, timeout=0.2)


async def test_a_provider_that_is_too_slow_is_a_deadline() -> None:
    slow = Timeouts(connect_s=5.0, first_token_s=0.2, idle_s=5.0, total_s=5.0)
    async with raw_upstream(saying(then_close=False)) as upstream:
        made = table(provider(upstream.url, timeouts=slow), routes=[route("some-model", max_attempts=1)])
        async with serving(made) as rig:
            with pytest.raises(openai.InternalServerError) as ours:
                await ask_as_openai(rig)
            with pytest.raises(anthropic.DeadlineExceededError) as theirs:
                await ask_as_anthropic(rig)

    assert (ours.value.status_code, theirs.value.status_code) == (504, 504)


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
async def test_a_stream_that_breaks_off_raises_in_either_client(wire: str) -> None:
    events = {
        "openai": b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
        b'"choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}\n\n',
        "anthropic": b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":'
        b'"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,'
        b'"usage":{"input_tokens":3,"output_tokens":1}}}\n\nevent: content_block_start\ndata: {"type":'
        b'"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":'
        b'"text_delta","text":"Hel"}}\n\n',
    }
    async with raw_upstream(saying(STREAM_HEAD + chunk(events[wire]))) as upstream:
        spoken = msgspec.structs.replace(speaking(wire, upstream.url), timeouts=provider("x").timeouts)
        made = table(spoken, routes=[route("some-model", targets=[build_target(wire)])])
        async with serving(made) as rig:
            with pytest.raises(openai.APIError, match="broke off") as ours:
                async for _ in await ask_as_openai(rig, stream=True):
                    pass
            with pytest.raises(anthropic.APIError, match="broke off") as theirs:
                async for _ in await ask_as_anthropic(rig, stream=True):
                    pass

    assert not isinstance(ours.value, openai.APIConnectionError)
    assert not isinstance(theirs.value, anthropic.APIConnectionError)


async def test_what_a_provider_cannot_say_is_refused_or_dropped_as_the_route_says() -> None:
    asked = {"model": "some-model", "messages": ASKED, "logit_bias": {"1": 2}, "user": "u", "max_tokens": 9}
    async with native_upstream("anthropic") as upstream:
        strict = route("some-model", targets=[build_target("anthropic")], max_attempts=2)
        async with serving(table(speaking("anthropic", upstream.url), routes=[strict])) as rig:
            refused = await rig.ask(asked)
            reached = len(upstream.seen)
            lenient = msgspec.structs.replace(strict, unsupported="Drop")
            await rig.apply(table(speaking("anthropic", upstream.url), routes=[lenient]))
            dropped = await rig.ask(asked)

    assert refused.status == 400
    assert refused.error["code"] == "unsupported_parameter"
    assert refused.error["message"].startswith("`logit_bias` cannot be said in Anthropic's API")
    assert refused.headers["x-should-retry"] == "false"
    assert reached == 0
    assert dropped.status == 200
    assert dropped.headers["x-headgate-dropped"] == "logit_bias"


async def test_another_target_serves_what_the_first_cannot_say() -> None:
    async with native_upstream("anthropic") as first, native_upstream("openai") as second:
        targets = [build_target("anthropic"), build_target("openai", priority=1)]
        made = table(
            speaking("anthropic", first.url),
            speaking("openai", second.url),
            routes=[route("some-model", targets=targets)],
        )
        async with serving(made) as rig:
            answer = await rig.ask({"model": "some-model", "messages": ASKED, "seed": 7})

    assert (answer.status, answer.headers["x-headgate-provider"]) == (200, "chat/openai")
    assert (len(first.seen), len(second.seen)) == (0, 1)


async def test_input_that_a_provider_flags_is_not_permitted_in_either_client() -> None:
    flagged = {"error": {"message": "Your input was flagged.", "type": "invalid_request_error"}}
    async with behind("openai") as (rig, upstream):
        upstream.refusal = 403, json.dumps(flagged).encode()
        with pytest.raises(openai.PermissionDeniedError, match="flagged"):
            await ask_as_openai(rig)
        with pytest.raises(anthropic.PermissionDeniedError, match="flagged"):
            await ask_as_anthropic(rig)


async def test_a_provider_that_is_out_of_service() -> None:
    async with behind("anthropic") as (rig, upstream):
        upstream.refusal = 503, json.dumps(ANTHROPIC_ERROR).encode()
        with pytest.raises(anthropic.ServiceUnavailableError):
            await ask_as_anthropic(rig)


@pytest.mark.parametrize(
    ("situation", "raised"),
    [
        ("length", openai.LengthFinishReasonError),
        ("refusal", openai.ContentFilterFinishReasonError),
    ],
)
async def test_an_answer_that_is_not_whole_cannot_be_parsed(
    situation: str, raised: type[openai.OpenAIError]
) -> None:
    class Weather(pydantic.BaseModel):
        city: str

    async with behind("anthropic") as (rig, upstream), openai_client(rig) as client:
        upstream.situation = situation
        with pytest.raises(raised):
            await client.chat.completions.parse(model="some-model", messages=ASKED, response_format=Weather)
