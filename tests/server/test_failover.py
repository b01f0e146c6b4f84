"""A provider fails and the caller does not notice; or all fail, and the caller learns the truth."""

import asyncio
import re

import msgspec
import pytest

from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.fake_provider import FakeProvider
from tests.contract.tables import build_target
from tests.server.rawupstream import answering, raw_upstream, saying
from tests.server.rig import CHAT, CIRCUIT, DEAD_URL, Rig, provider, route, serving, table

QUICK_CIRCUIT = msgspec.structs.replace(CIRCUIT, consecutive_failures=2, open_s=0.05)
BOTH = (build_target("openai", priority=0), build_target("azure", priority=1))


def circuit_of(rig: Rig, endpoint: str) -> str:
    return next(report.circuit for report in rig.gateway.reports() if report.endpoint == endpoint)


async def wait_for_circuit(rig: Rig, endpoint: str, circuit: str) -> None:
    async for report in rig.gateway.watch_health():
        if any((known.endpoint, known.circuit) == (endpoint, circuit) for known in report.endpoints):
            return


@pytest.mark.parametrize(
    "script",
    [
        FakeScript(failing=True),
        FakeScript(garbage=True),
        FakeScript(status=429),
        FakeScript(cut_after_chunks=1),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_the_next_target_answers_when_the_first_cannot(
    fake: FakeProvider, other_fake: FakeProvider, script: FakeScript, stream: bool
) -> None:
    if stream and script.cut_after_chunks:
        script = FakeScript(cut_after_chunks=0)
    fake.script = script
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    async with serving(table(*providers, routes=[route(targets=BOTH)])) as rig:
        answer = await rig.ask({**CHAT, "stream": stream})

    assert answer.status == 200
    assert answer.headers["x-headgate-provider"] == "chat/azure"
    assert answer.headers["x-headgate-attempts"] == "2"
    assert (fake.seen.requests, other_fake.seen.requests) == (1, 1)


async def test_another_endpoint_of_the_same_provider_is_another_choice(fake: FakeProvider) -> None:
    async with serving(table(provider(DEAD_URL, fake.url))) as rig:
        answers = [await rig.ask() for _ in range(4)]

    assert [answer.status for answer in answers] == [200] * 4


async def test_a_failing_endpoint_opens_its_circuit_and_recovers(
    fake: FakeProvider, other_fake: FakeProvider
) -> None:
    fake.script = FakeScript(failing=True)
    providers = [
        provider(fake.url, circuit=QUICK_CIRCUIT),
        provider(other_fake.url, name="azure"),
    ]
    async with serving(table(*providers, routes=[route(targets=BOTH)])) as rig:
        failing = [(await rig.ask()).status for _ in range(4)]
        opened, asked_while_failing = circuit_of(rig, "chat/openai/e0"), fake.seen.requests
        metrics = (await rig.look("/metrics")).body.decode()
        fake.script = FakeScript()
        await wait_for_circuit(rig, "chat/openai/e0", "HalfOpen")
        trial = await rig.ask()
        closed = circuit_of(rig, "chat/openai/e0")

    assert failing == [200] * 4
    assert (opened, asked_while_failing) == ("Open", 2)
    assert 'headgate_circuit_state{endpoint="chat/azure/e0"} 0.0\n' in metrics
    assert re.search(r'headgate_circuit_state\{endpoint="chat/openai/e0"\} [12]\.0\n', metrics)
    assert trial.headers["x-headgate-provider"] == "chat/openai"
    assert closed == "Closed"


async def test_outcomes_do_not_count_where_passive_health_is_off(fake: FakeProvider) -> None:
    fake.script = FakeScript(failing=True)
    deaf = provider(fake.url, circuit=QUICK_CIRCUIT, passive_health=False)
    async with serving(table(deaf, routes=[route(max_attempts=1)])) as rig:
        for _ in range(5):
            await rig.ask()
        circuit = circuit_of(rig, "chat/openai/e0")

    assert (circuit, fake.seen.requests) == ("Closed", 5)


async def test_a_trial_has_passed_when_its_stream_begins(fake: FakeProvider) -> None:
    fake.script = FakeScript(failing=True)
    async with serving(
        table(provider(fake.url, circuit=QUICK_CIRCUIT), routes=[route(max_attempts=2)])
    ) as rig:
        await rig.ask()
        fake.script = FakeScript(tokens_per_s=1)
        await wait_for_circuit(rig, "chat/openai/e0", "HalfOpen")
        url = f"{rig.url}/v1/chat/completions"
        headers = {"authorization": "Bearer the-teams-key"}
        async with rig.session.post(url, json={**CHAT, "stream": True}, headers=headers) as streaming:
            await streaming.content.readany()
            circuit = circuit_of(rig, "chat/openai/e0")

    assert circuit == "Closed"


async def test_a_refused_credential_is_replaced_by_the_next_without_the_caller_noticing(
    fake: FakeProvider,
) -> None:
    fake.script = FakeScript(keys=("new",))
    rotated = provider(fake.url, keys=["old", "new"])
    async with serving(table(rotated, routes=[route(max_attempts=1)])) as rig:
        first, second = await rig.ask(), await rig.ask()

    assert (first.status, first.headers["x-headgate-attempts"]) == (200, "2")
    assert (second.status, second.headers["x-headgate-attempts"]) == (200, "1")


async def test_a_rotated_credential_is_tried_at_once(fake: FakeProvider) -> None:
    fake.script = FakeScript(keys=("spare", "rotated"))
    async with serving(table(provider(fake.url, keys=["old", "spare"]))) as rig:
        await rig.ask()
        await rig.apply(table(provider(fake.url, keys=["rotated", "spare"])))
        await rig.ask()

    assert fake.seen.latest[-1].authorization == "Bearer rotated"


async def test_a_provider_without_a_valid_credential_gives_way_to_another(
    fake: FakeProvider, other_fake: FakeProvider
) -> None:
    fake.script = FakeScript(keys=("none-of-ours",))
    providers = [provider(fake.url, DEAD_URL), provider(other_fake.url, name="azure")]
    async with serving(table(*providers, routes=[route(targets=BOTH)])) as rig:
        answer = await rig.ask()

    assert (answer.status, answer.headers["x-headgate-provider"]) == (200, "chat/azure")


async def test_the_last_answer_of_a_provider_is_passed_on_with_its_retry_after(fake: FakeProvider) -> None:
    fake.script = FakeScript(status=429, retry_after_s=7)
    async with serving(table(provider(fake.url), routes=[route(max_attempts=1)])) as rig:
        answer = await rig.ask()

    assert answer.status == 429
    assert answer.headers["retry-after"] == "7"
    assert answer.error["message"] == "the fake provider was told to answer 429"


async def test_a_retry_after_above_the_longest_pause_is_the_callers_to_wait_for(fake: FakeProvider) -> None:
    fake.script = FakeScript(status=429, retry_after_s=7)
    async with serving(table(provider(fake.url), routes=[route(max_attempts=3)])) as rig:
        answer = await rig.ask()

    assert (answer.status, answer.headers["x-headgate-attempts"]) == (429, "1")


async def test_a_retry_after_that_fits_into_the_deadline_is_waited_for(fake: FakeProvider) -> None:
    fake.script = FakeScript(status=429, retry_after_s=0.02)
    async with serving(table(provider(fake.url), routes=[route(max_attempts=2)])) as rig:
        asking = asyncio.create_task(rig.ask())
        await fake.wait_until_seen(lambda seen: seen.requests == 1)
        fake.script = FakeScript()
        answer = await asking

    assert (answer.status, answer.headers["x-headgate-attempts"]) == (200, "2")


async def test_an_error_in_another_shape_is_put_into_openais(fake: FakeProvider) -> None:
    fake.script = FakeScript(status=503, error_body="<h1>upstream connect error</h1>")
    async with serving(table(provider(fake.url), routes=[route(max_attempts=1)])) as rig:
        answer = await rig.ask()

    assert answer.status == 503
    assert answer.error == {
        "message": "Endpoint chat/openai/e0 answered with status 503 and no error in OpenAI's shape, "
        "so its words are not passed on.",
        "type": "api_error",
        "code": "upstream_malformed",
        "param": None,
        "headgate": "HG1015",
    }


async def test_a_mistake_of_the_caller_is_the_providers_to_explain_and_is_not_retried() -> None:
    body = b'{"detail":"max_tokens must be positive"}'
    async with (
        raw_upstream(answering(body, "422 Unprocessable Entity")) as upstream,
        serving(table(provider(upstream.url))) as rig,
    ):
        answer = await rig.ask()

    assert (answer.status, answer.body) == (422, body)
    assert upstream.requests == 1


async def test_a_key_that_the_provider_quotes_is_blotted_out() -> None:
    body = b'{"error":{"message":"bad request with key sk-planted-upstream-key"}}'
    async with (
        raw_upstream(answering(body, "400 Bad Request")) as upstream,
        serving(table(provider(upstream.url))) as rig,
    ):
        answer = await rig.ask()

    assert answer.error["message"] == "bad request with key [redacted]"


async def test_a_provider_that_comes_back_while_we_try_is_used(fake: FakeProvider) -> None:
    async def fail_once(upstream, reader, writer) -> None:  # type: ignore[no-untyped-def]
        await (saying() if upstream.requests == 1 else answering(b"{}"))(upstream, reader, writer)

    async with raw_upstream(fail_once) as upstream, serving(table(provider(upstream.url))) as rig:
        answer = await rig.ask()

    assert (answer.status, upstream.requests) == (200, 2)
