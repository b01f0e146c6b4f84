"""The Responses API through the gateway, with OpenAI's own client: what is kept is found again by whom it was
given to, where it is, and by nobody else.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import openai
import pytest
from aiohttp import web

from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.tenant import Limit
from gateway_runtime.providers.seal import open_id
from tests.contract.tables import build_target
from tests.server.keepingupstream import (
    KeepingUpstream,
    build_events,
    build_response,
    keeping_upstream,
    stream_events,
)
from tests.server.nativeupstream import native_upstream, speaking
from tests.server.rig import KEY, Rig, provider, route, serving, table, tenant

OTHER_KEY = "another-teams-key"
OTHERS = msgspec.structs.replace(tenant(key=OTHER_KEY), id=TenantId("chat/others"))
BOTH = route("gpt", targets=[build_target("a"), build_target("b", priority=1)])


@asynccontextmanager
async def two_upstreams(**options: Any) -> AsyncIterator[tuple[Rig, KeepingUpstream, KeepingUpstream]]:
    async with keeping_upstream("a") as first, keeping_upstream("b") as second:
        made = table(
            provider(first.url, name="a"),
            provider(second.url, name="b"),
            routes=[BOTH, route("only-b", name="only-b", targets=[build_target("b")])],
            tenants=[tenant(**options), OTHERS],
        )
        async with serving(made) as rig:
            yield rig, first, second


def client_of(rig: Rig, key: str = KEY) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key=key, max_retries=0)


async def test_a_response_goes_to_its_provider_and_its_id_tells_whose_it_is() -> None:
    async with two_upstreams() as (rig, first, _), client_of(rig) as client:
        raw = await client.responses.with_raw_response.create(model="gpt", input="Hello")
        made = raw.parse()

    opened = open_id(made.id)
    assert made.output_text == "Hello."
    assert opened is not None
    assert opened.id == "resp_a0"
    assert first.seen[0].json == {"model": "gpt", "input": "Hello"}
    assert raw.headers["x-headgate-provider"] == "chat/a"
    assert raw.headers["x-headgate-model"] == "gpt"
    assert made.usage is not None
    assert made.usage.input_tokens == 7


async def test_a_stream_names_the_same_id_in_each_of_its_events() -> None:
    async with two_upstreams() as (rig, _, __), client_of(rig) as client:
        async with client.responses.stream(model="gpt", input="Hello") as stream:
            events = [event async for event in stream]
            whole = await stream.get_final_response()
        metrics = (await rig.look("/metrics")).body.decode()

    assert whole.output_text == "Hello."
    assert {event.response.id for event in events if hasattr(event, "response")} == {whole.id}
    assert {event.item_id for event in events if hasattr(event, "item_id")} == {whole.output[0].id}
    assert open_id(whole.id) is not None
    assert open_id(whole.output[0].id or "") is not None
    assert 'headgate_tokens_total{kind="input",route="chat/route"} 7.0' in metrics


async def test_what_is_kept_is_fetched_cancelled_listed_and_deleted_by_its_id() -> None:
    async with two_upstreams() as (rig, first, second), client_of(rig) as client:
        made = await client.responses.create(model="gpt", input="Hello")
        fetched = await client.responses.retrieve(made.id, include=["message.output_text.logprobs"])
        cancelled = await client.responses.cancel(made.id)
        items = await client.responses.input_items.list(made.id, limit=5)
        await client.responses.delete(made.id)
        with pytest.raises(openai.NotFoundError, match="'resp_a0' not found"):
            await client.responses.retrieve(made.id)

    assert (fetched.id, cancelled.id, cancelled.status) == (made.id, made.id, "cancelled")
    assert open_id(items.data[0].id) is not None
    assert first.paths[1:] == [
        "/v1/responses/resp_a0?include%5B%5D=message.output_text.logprobs",
        "/v1/responses/resp_a0/cancel",
        "/v1/responses/resp_a0/input_items?limit=5",
        "/v1/responses/resp_a0",
        "/v1/responses/resp_a0",
    ]
    assert [heard.method for heard in first.seen] == ["POST", "GET", "POST", "GET", "DELETE", "GET"]
    assert all("content-type" not in heard.headers for heard in first.seen[1:])
    assert second.seen == []


async def test_a_stream_goes_on_where_it_was_left() -> None:
    async with two_upstreams() as (rig, _, __), client_of(rig) as client:
        made = await client.responses.create(model="gpt", input="Hello")
        stream = await client.responses.retrieve(made.id, stream=True, starting_after=7)
        events = [event async for event in stream]

    assert [event.type for event in events] == ["response.output_item.done", "response.completed"]


async def test_a_conversation_stays_with_the_provider_that_keeps_it() -> None:
    async with two_upstreams() as (rig, first, second), client_of(rig) as client:
        begun = await client.responses.create(model="only-b", input="Hello")
        went_on = await client.responses.create(model="gpt", input="And?", previous_response_id=begun.id)
        again = await client.responses.create(
            model="gpt",
            previous_response_id=went_on.id,
            input=[{"type": "item_reference", "id": begun.output[0].id}, {"role": "user", "content": "And?"}],
        )

    assert first.seen == []
    assert [heard.json.get("previous_response_id") for heard in second.seen] == [None, "resp_b0", "resp_b1"]
    assert second.seen[2].json["input"][0] == {"type": "item_reference", "id": "msg_resp_b0"}
    assert went_on.previous_response_id == begun.id
    assert again.previous_response_id == went_on.id


async def test_a_kept_response_is_not_looked_for_where_its_model_does_not_lead() -> None:
    async with two_upstreams() as (rig, _, __), client_of(rig) as client:
        made = await client.responses.create(model="gpt", input="Hello")
        with pytest.raises(openai.NotFoundError, match='does not serve "only-b"') as error:
            await client.responses.create(model="only-b", input="And?", previous_response_id=made.id)

    assert error.value.body["headgate"] == "HG1022"  # type: ignore[index]


async def test_an_id_that_is_not_the_callers_is_not_found() -> None:
    async with two_upstreams() as (rig, first, second):
        async with client_of(rig) as client:
            made = await client.responses.create(model="gpt", input="Hello")
        asked_before = len(first.seen)
        forged = made.id[:-1] + ("a" if made.id[-1] != "a" else "b")
        strange = [(OTHER_KEY, made.id), (KEY, forged), (KEY, "resp_a0"), (KEY, "resp_zzz")]
        for key, kept_id in strange:
            async with client_of(rig, key) as client:
                with pytest.raises(openai.NotFoundError) as fetched:
                    await client.responses.retrieve(kept_id)
                with pytest.raises(openai.NotFoundError) as referred:
                    await client.responses.create(model="gpt", input="x", previous_response_id=kept_id)

            for error in (fetched, referred):
                assert error.value.body == {
                    "message": f"Response with id '{kept_id}' not found. It was never given to this key, "
                    "or its provider is gone.",
                    "type": "invalid_request_error",
                    "code": "not_found",
                    "param": None,
                    "headgate": "HG1022",
                }
        nowhere = len(first.seen) == asked_before and not second.seen

    assert nowhere


@pytest.mark.parametrize(
    "more",
    [
        {"conversation": "conv_1"},
        {"conversation": {"id": "conv_1"}},
        {"previous_response_id": 7},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
        {"input": [{"id": "msg_1"}]},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]},
        {"tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["file-1"]}}]},
    ],
)
async def test_nothing_is_referred_to_by_a_providers_bare_id(more: dict[str, Any]) -> None:
    async with two_upstreams() as (rig, first, _):
        answer = await rig.ask({"model": "gpt", "input": "x"} | more, path="/v1/responses")

    assert (answer.status, answer.error["headgate"]) == (404, "HG1022")
    assert first.seen == []


async def test_the_name_of_a_member_hides_nothing_by_its_escapes() -> None:
    part = rb'{"type":"input_file","\u0066ile_id":"file-1"}'
    body = b'{"model":"gpt","input":[{"role":"user","content":[%b]}]}' % part
    async with two_upstreams() as (rig, first, _):
        answer = await rig.ask(data=body, path="/v1/responses")

    assert (answer.status, answer.error["headgate"]) == (404, "HG1022")
    assert first.seen == []


async def test_things_of_two_endpoints_are_not_brought_together() -> None:
    async with two_upstreams() as (rig, _, __), client_of(rig) as client:
        here = await client.responses.create(model="gpt", input="Hello")
        there = await client.responses.create(model="only-b", input="Hello")
        with pytest.raises(openai.NotFoundError, match="kept by another endpoint"):
            await client.responses.create(
                model="gpt",
                previous_response_id=here.id,
                input=[{"type": "item_reference", "id": there.output[0].id}],
            )


async def test_every_gateway_with_the_same_table_knows_the_id() -> None:
    async with keeping_upstream("a") as upstream:
        made = table(provider(upstream.url, name="a"), routes=[route(targets=[build_target("a")])])
        async with serving(made) as one, serving(made) as other:
            async with client_of(one) as client:
                response = await client.responses.create(model="gpt", input="Hello")
            async with client_of(other) as client:
                fetched = await client.responses.retrieve(response.id)

    assert fetched.id == response.id


async def test_a_tenant_without_a_route_there_finds_nothing_any_more() -> None:
    async with two_upstreams() as (rig, first, second):
        async with client_of(rig) as client:
            response = await client.responses.create(model="gpt", input="Hello")
        await rig.apply(
            table(
                provider(first.url, name="a"),
                provider(second.url, name="b"),
                routes=[BOTH, route("only-b", name="only-b", targets=[build_target("b")])],
                tenants=[tenant(models=["only-b"])],
            )
        )
        answer = await rig.ask(method="GET", path=f"/v1/responses/{response.id}")

    assert (answer.status, answer.error["headgate"]) == (404, "HG1022")


async def test_a_request_about_what_is_kept_counts_for_the_limits() -> None:
    limits = [Limit(name="rpm", amount=2, window_s=60.0)]
    async with two_upstreams(limits=limits) as (rig, _, __), client_of(rig) as client:
        made = await client.responses.create(model="gpt", input="Hello")
        raw = await client.responses.with_raw_response.retrieve(made.id)
        with pytest.raises(openai.RateLimitError):
            await client.responses.retrieve(made.id)

    assert raw.headers["x-ratelimit-remaining-requests"] == "0"
    assert raw.headers["x-headgate-route"] == "chat/route"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("PATCH", "/v1/responses/resp_1", "GET, DELETE"), ("GET", "/v1/responses/resp_1/cancel", "POST")],
)
async def test_a_wrong_method_is_told_the_right_ones(method: str, path: str, allowed: str) -> None:
    async with two_upstreams() as (rig, _, __):
        answer = await rig.ask(method=method, path=path)

    assert (answer.status, answer.headers["allow"]) == (405, allowed)


async def test_a_list_of_items_goes_on_behind_an_item_of_the_callers() -> None:
    async with two_upstreams() as (rig, first, _), client_of(rig) as client:
        made = await client.responses.create(model="gpt", input="Hello")
        items = await client.responses.input_items.list(made.id)
        await client.responses.input_items.list(made.id, after=items.data[0].id or "")
        with pytest.raises(openai.NotFoundError, match="Item with id 'msg_other' not found"):
            await client.responses.input_items.list(made.id, after="msg_other")

    assert first.paths[2:] == ["/v1/responses/resp_a0/input_items?after=msg_in"]


async def test_a_query_that_is_not_known_goes_nowhere() -> None:
    async with two_upstreams() as (rig, first, _), client_of(rig) as client:
        made = await client.responses.create(model="gpt", input="Hello")
        answer = await rig.ask(method="GET", path=f"/v1/responses/{made.id}?api-version=1")

    assert answer.status == 400
    assert answer.error["message"].startswith(
        "/v1/responses/{id} takes no query parameter `api-version` here."
    )
    assert len(first.seen) == 1


async def test_a_stream_that_begins_with_an_error_is_tried_elsewhere() -> None:
    async def fail(request: web.Request) -> web.StreamResponse:
        error = {
            "type": "error",
            "code": "server_error",
            "message": "Oh.",
            "param": None,
            "sequence_number": 0,
        }
        return await stream_events(request, [error])

    async with two_upstreams() as (rig, first, second), client_of(rig) as client:
        first.answers["/v1/responses"] = fail
        async with client.responses.stream(model="gpt", input="Hello") as stream:
            whole = await stream.get_final_response()

    assert (whole.output_text, len(first.seen), len(second.seen)) == ("Hello.", 1, 1)


async def test_an_error_in_the_middle_of_a_stream_raises_in_the_client() -> None:
    events = build_events(build_response("resp_a0", "gpt", None))[:5]
    error = {
        "type": "error",
        "code": "server_error",
        "message": "Oh no.",
        "param": None,
        "sequence_number": 5,
    }

    async def fail(request: web.Request) -> web.StreamResponse:
        return await stream_events(request, [*events, error])

    async with two_upstreams() as (rig, first, _), client_of(rig) as client:
        first.answers["/v1/responses"] = fail
        stream = await client.responses.create(model="gpt", input="Hello", stream=True)
        seen = [(await anext(stream)).type for _ in events]
        with pytest.raises(openai.APIError, match="Oh no"):
            await anext(stream)

    assert seen[-1] == "response.output_text.delta"


async def test_a_stream_without_its_last_event_is_torn() -> None:
    events = build_events(build_response("resp_a0", "gpt", None))[:5]

    async def tear(request: web.Request) -> web.StreamResponse:
        return await stream_events(request, events)

    async with two_upstreams() as (rig, first, _), client_of(rig) as client:
        first.answers["/v1/responses"] = tear
        stream = await client.responses.create(model="gpt", input="Hello", stream=True)
        for _event in events:
            await anext(stream)
        with pytest.raises(openai.APIError, match="broke off"):
            await anext(stream)


async def test_a_failed_response_is_told_with_its_own_event() -> None:
    response = build_response("resp_a0", "gpt", None)
    failed = {
        **response,
        "status": "failed",
        "error": {"code": "server_error", "message": "Oh."},
        "output": [],
    }
    events = [
        build_events(response)[0],
        {"type": "response.failed", "response": failed, "sequence_number": 1},
    ]

    async def fail(request: web.Request) -> web.StreamResponse:
        return await stream_events(request, events)

    async with two_upstreams() as (rig, first, _), client_of(rig) as client:
        first.answers["/v1/responses"] = fail
        stream = await client.responses.create(model="gpt", input="Hello", stream=True)
        seen = [event async for event in stream]

    assert [event.type for event in seen] == ["response.created", "response.failed"]
    assert seen[1].response.error.message == "Oh."  # type: ignore[union-attr]


@pytest.mark.parametrize("wire", ["anthropic", "google", "cohere"])
async def test_a_provider_with_another_api_answers_in_the_same_shape(wire: str) -> None:
    async with native_upstream(wire) as upstream:
        made = table(speaking(wire, upstream.url), routes=[route("some-model", targets=[build_target(wire)])])
        async with serving(made) as rig, client_of(rig) as client:
            answer = await client.responses.create(model="some-model", input="Hello", store=False)
            async with client.responses.stream(model="some-model", input="Hello") as stream:
                streamed = await stream.get_final_response()
            with pytest.raises(openai.NotFoundError):
                await client.responses.retrieve(answer.id)

    assert answer.output_text
    assert streamed.output_text
    assert answer.store is False  # type: ignore[attr-defined]


async def test_reasoning_that_only_its_provider_knows_is_not_sent_to_one_that_would_look_it_up() -> None:
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": []}
    asked = {"model": "gpt", "input": [reasoning, {"role": "user", "content": "And?"}]}
    async with two_upstreams() as (rig, first, _):
        answer = await rig.ask(asked, path="/v1/responses")
        whole = {**asked, "input": [{**reasoning, "encrypted_content": "x"}, asked["input"][1]]}
        taken = await rig.ask(whole, path="/v1/responses")

    assert (answer.status, answer.error["headgate"]) == (400, "HG1021")
    assert answer.error["message"].startswith("`input[0].id` was not given by this provider (OpenAI)")
    assert (taken.status, len(first.seen)) == (200, 1)
