"""What is put into a provider's own words without a task is what a task makes of it; and what cannot be goes
on in one. `test_express` has the two ways, and everything that does not hang on the words.
"""

import json

import pytest
from msgspec.structs import replace

from gateway_runtime.contract.tenant import Limit
from gateway_runtime.providers.operations import MESSAGES, OPERATIONS
from gateway_runtime.server.express import PATHS
from gateway_runtime.server.head import read_head
from tests.contract.tables import build_target
from tests.server.nativeupstream import native_upstream, speaking
from tests.server.rig import Answer, route, table, tenant
from tests.server.test_express import EXPRESS, GONE_ON, ORDINARY, Ways, build, comparable, warm
from tests.server.test_express import ways as ways  # a fixture

ASKED = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}]}
WITHOUT_TASK = ("anthropic", "cohere", "azure", "google", "bedrock", "ollama")
SIGNED = {"authorization", "x-amz-date"}
"""Of Bedrock: they have the time in them."""


def encode(**more: object) -> bytes:
    return json.dumps({**ASKED, **more}).encode()


@pytest.mark.parametrize("situation", ["text", "tools"])
@pytest.mark.parametrize("wire", WITHOUT_TASK)
async def test_a_translated_answer_is_the_same_on_both_ways(ways: Ways, wire: str, situation: str) -> None:
    async with native_upstream(wire) as upstream:
        upstream.situation = situation
        made = table(speaking(wire, upstream.url), routes=[route(targets=[build_target(wire)])])
        async with warm(made, ways, body=encode()) as (_, caller):
            ordinary = await caller.ask_in_pieces(encode())
            ways.forget()
            told = await caller.ask(encode())
            taken = Ways(ways.rides, ways.tasks)

    def stable(body: bytes) -> object:
        read = json.loads(body)
        return {**read, "created": 0, "id": ""}  # they may say when, and for which request

    assert taken == EXPRESS
    assert stable(told.body) == stable(ordinary.body)
    assert comparable(told)[:1] == comparable(ordinary)[:1]
    lengths = {"content-length"}
    assert {n: v for n, v in comparable(told).headers.items() if n not in lengths} == {
        n: v for n, v in comparable(ordinary).headers.items() if n not in lengths
    }
    came = upstream.seen[-2:]
    assert came[0].body == came[1].body
    told_apart = {"x-request-id", *(SIGNED if wire == "bedrock" else ())}
    assert came[0].headers.keys() == came[1].headers.keys()
    assert {n: v for n, v in came[0].headers.items() if n not in told_apart} == {
        n: v for n, v in came[1].headers.items() if n not in told_apart
    }


@pytest.mark.parametrize("unsupported", ["Refuse", "Drop"])
async def test_what_has_to_be_fetched_first_is_fetched_in_a_task(ways: Ways, unsupported: str) -> None:
    image = {"type": "image_url", "image_url": {"url": "http://127.0.0.1:1/cat.png"}}
    asked = encode(messages=[{"role": "user", "content": [image]}])
    async with native_upstream("google") as upstream:
        routed = replace(route(targets=[build_target("google")]), unsupported=unsupported)
        async with warm(table(speaking("google", upstream.url), routes=[routed]), ways, body=encode()) as (
            _,
            caller,
        ):
            answer = await caller.ask(asked)
            taken = Ways(ways.rides, ways.tasks)

    assert taken == GONE_ON
    assert answer.status == 400
    assert "messages[0].content[0].image_url.url" in answer.error["message"]
    assert len(upstream.seen) == 1


async def test_each_request_to_bedrock_has_a_signature_of_its_own(ways: Ways) -> None:
    async with native_upstream("bedrock") as upstream:
        made = table(speaking("bedrock", upstream.url), routes=[route(targets=[build_target("bedrock")])])
        async with warm(made, ways, body=encode()) as (_, caller):
            await caller.ask(encode())
            await caller.ask(encode(temperature=0.5))
            taken = Ways(ways.rides, ways.tasks)

    assert taken == Ways(rides=2, tasks=0)
    first, second = (came.headers["authorization"] for came in upstream.seen[-2:])
    assert first.startswith("AWS4-HMAC-SHA256 Credential=AKIDPLANTED12345678/")
    assert first != second


async def test_what_cannot_be_said_is_refused_as_in_a_task(ways: Ways) -> None:
    async with native_upstream("anthropic") as upstream:
        made = table(speaking("anthropic", upstream.url), routes=[route(targets=[build_target("anthropic")])])
        async with warm(made, ways, body=encode()) as (_, caller):
            ordinary = await caller.ask_in_pieces(encode(seed=7))
            ways.forget()
            told = await caller.ask(encode(seed=7))
            taken = Ways(ways.rides, ways.tasks)

    assert taken == GONE_ON
    assert told.status == 400
    assert comparable(told) == comparable(ordinary)
    assert len(upstream.seen) == 1


async def test_what_is_dropped_is_told_on_the_way_that_tells_it(ways: Ways) -> None:
    async with native_upstream("anthropic") as upstream:
        lenient = replace(route(targets=[build_target("anthropic")]), unsupported="Drop")
        made = table(speaking("anthropic", upstream.url), routes=[lenient])
        async with warm(made, ways, body=encode()) as (_, caller):
            told = await caller.ask(encode(seed=7))
            taken = Ways(ways.rides, ways.tasks)

    assert taken == GONE_ON
    assert told.headers["x-headgate-dropped"] == "seed"


async def test_a_chat_that_is_none_is_refused_as_in_a_task(ways: Ways) -> None:
    async with native_upstream("anthropic") as upstream:
        made = table(speaking("anthropic", upstream.url), routes=[route(targets=[build_target("anthropic")])])
        async with warm(made, ways, body=encode()) as (_, caller):
            ordinary = await caller.ask_in_pieces(encode(messages="Hello"))
            ways.forget()
            told = await caller.ask(encode(messages="Hello"))

    assert told.error["message"].startswith("`messages` does not fit")
    assert comparable(told) == comparable(ordinary)


async def test_a_malformed_answer_goes_on_in_a_task(ways: Ways) -> None:
    async with native_upstream("anthropic") as upstream:
        made = table(
            speaking("anthropic", upstream.url),
            routes=[route(targets=[build_target("anthropic")], max_attempts=1)],
        )
        async with warm(made, ways, body=encode()) as (_, caller):
            upstream.situation = "malformed-list"
            told = await caller.ask(encode())
            taken = Ways(ways.rides, ways.tasks)

    assert taken == GONE_ON
    assert (told.status, told.error["code"]) == (502, "upstream_malformed")


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("wire", ["anthropic", "openai", "google"])
async def test_anthropics_callers_get_the_same_on_both_ways(ways: Ways, wire: str, limited: bool) -> None:
    limits = [Limit(name="minute", amount=100, window_s=60.0)] if limited else []
    asked = encode(max_tokens=9)
    async with native_upstream(wire) as upstream:
        upstream.headers = {"request-id": "req_theirs"} if wire == "anthropic" else {}
        made = table(
            speaking(wire, upstream.url),
            routes=[route(targets=[build_target(wire)])],
            tenants=[tenant(limits=limits)],
        )
        async with warm(made, ways, body=encode()) as (_, caller):
            ordinary = await caller.ask_in_pieces(asked, path=MESSAGES.path)
            ways.forget()
            told = await caller.ask(asked, path=MESSAGES.path)
            taken = Ways(ways.rides, ways.tasks)

    def stable(answer: Answer) -> tuple[int, dict[str, str], object]:
        varying = {"request-id", "anthropic-ratelimit-requests-reset", "content-length"}
        headers = {n: v for n, v in comparable(answer).headers.items() if n not in varying}
        headers.pop("anthropic-ratelimit-requests-remaining", None)
        return answer.status, headers, {**answer.json, "id": ""}

    assert taken == EXPRESS
    assert told.json["type"] == "message"
    assert stable(told) == stable(ordinary)
    assert told.headers.keys() == ordinary.headers.keys()
    if wire == "anthropic":
        assert told.headers["request-id"] == "req_theirs"
    else:
        assert told.headers["request-id"] == told.headers["x-headgate-request-id"]


async def test_what_a_caller_asks_of_anthropic_by_headers_is_passed_on_in_a_task(ways: Ways) -> None:
    async with native_upstream("anthropic") as upstream:
        made = table(speaking("anthropic", upstream.url), routes=[route(targets=[build_target("anthropic")])])
        async with warm(made, ways, body=encode()) as (_, caller):
            asked = encode(max_tokens=9)
            answer = await caller.ask(asked, path=MESSAGES.path, lines=b"anthropic-beta: new\r\n")
            taken = Ways(ways.rides, ways.tasks)

    assert answer.status == 200
    assert upstream.seen[-1].headers["anthropic-beta"] == "new"
    assert taken == ORDINARY


def test_the_express_way_takes_what_the_hot_way_in_takes() -> None:
    served = {path for path in OPERATIONS if read_head(build(path=path)[0]) is not None}

    assert served == PATHS
