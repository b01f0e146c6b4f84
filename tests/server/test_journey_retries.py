"""What is tried again, what goes elsewhere, and what neither can help."""

import asyncio

import pytest
from msgspec.structs import replace

from gateway_runtime.contract.table import CircuitPolicy, RetryCause, RetryPolicy, Route
from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.fake_provider import FakeProvider
from tests.contract.tables import build_target
from tests.server.rawupstream import answering, raw_upstream
from tests.server.rig import CHAT, DEAD_URL, provider, route, serving, table

STREAM = {**CHAT, "stream": True}
BOTH = (build_target("openai", priority=0), build_target("azure", priority=1))
NO_CIRCUIT = CircuitPolicy(
    consecutive_failures=0, failure_percent=0, min_requests=1, window_s=10.0, open_s=30.0
)
FLAGGED = '{"error":{"message":"Your input was flagged","code":403}}'
SPENT = '{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}'
UNKNOWN = '{"error":{"message":"Project p does not have access to model gpt","code":"model_not_found"}}'


def retrying(
    *causes: RetryCause, max_attempts: int = 3, budget_percent: int = 20, both: bool = False
) -> Route:
    policy = RetryPolicy(
        max_attempts=max_attempts,
        backoff_s=0.01,
        max_backoff_s=0.02,
        causes=causes or None,
        budget_percent=budget_percent,
    )
    return replace(route(targets=BOTH if both else ()), retry=policy)


@pytest.mark.parametrize(
    ("causes", "attempts"),
    [((), "3"), (("ServerError",), "3"), (("RateLimited", "ConnectFailure"), "1")],
)
async def test_only_the_routes_causes_are_tried_again(
    fake: FakeProvider, causes: tuple[RetryCause, ...], attempts: str
) -> None:
    fake.script = FakeScript(failing=True)
    async with serving(table(provider(fake.url, circuit=NO_CIRCUIT), routes=[retrying(*causes)])) as rig:
        answer = await rig.ask()

    assert (answer.status, answer.headers["x-headgate-attempts"]) == (503, attempts)


async def test_a_failing_provider_gets_no_storm_of_retries(fake: FakeProvider) -> None:
    """20 % of the requests, and three a second of the last ten."""
    fake.script = FakeScript(failing=True)
    async with serving(table(provider(fake.url, circuit=NO_CIRCUIT), routes=[retrying()])) as rig:
        for _ in range(200):
            await rig.ask()
        metrics = (await rig.look("/metrics")).body.decode()

    assert 200 + 30 < fake.seen.requests <= 200 * 1.2 + 30
    assert f'headgate_retries_total{{route="chat/route"}} {fake.seen.requests - 200}.0' in metrics


async def test_nothing_is_tried_again_after_the_first_event(
    fake: FakeProvider, other_fake: FakeProvider
) -> None:
    fake.script = FakeScript(cut_after_chunks=2)
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    async with serving(table(*providers, routes=[retrying(both=True)])) as rig:
        headers = {"authorization": "Bearer the-teams-key"}
        url = f"{rig.url}/v1/chat/completions"
        async with rig.session.post(url, json=STREAM, headers=headers) as answer:
            received = await answer.content.readuntil(b'"headgate":"HG1016"}}\n\n')

    assert received.count(b"data: ") == 3
    assert (fake.seen.requests, other_fake.seen.requests) == (1, 0)


@pytest.mark.parametrize("status", [400, 422])
async def test_a_mistake_of_the_caller_goes_nowhere_else(
    fake: FakeProvider, other_fake: FakeProvider, status: int
) -> None:
    fake.script = FakeScript(status=status)
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    async with serving(table(*providers, routes=[retrying(both=True)])) as rig:
        answer = await rig.ask()

    assert (answer.status, answer.headers["x-headgate-attempts"]) == (status, "1")
    assert other_fake.seen.requests == 0


async def test_flagged_input_is_the_callers_and_no_refusal_of_our_key(fake: FakeProvider) -> None:
    fake.script = FakeScript(status=403, error_body=FLAGGED)
    async with serving(table(provider(fake.url, keys=["first", "second"]))) as rig:
        flagged = await rig.ask()
        fake.script = FakeScript()
        await rig.ask()

    assert (flagged.status, flagged.body.decode()) == (403, FLAGGED)
    assert [seen.authorization for seen in fake.seen.latest] == ["Bearer first"] * 2


@pytest.mark.parametrize(
    "script",
    [
        FakeScript(status=404),
        FakeScript(status=413),
        FakeScript(status=429, error_body=SPENT),
        FakeScript(status=403, error_body=UNKNOWN),
    ],
)
async def test_what_does_not_suit_one_provider_is_asked_of_another(
    fake: FakeProvider, other_fake: FakeProvider, script: FakeScript
) -> None:
    fake.script = script
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    async with serving(table(*providers, routes=[retrying("ConnectFailure", both=True)])) as rig:
        answers = [await rig.ask() for _ in range(4)]
        (azure, openai) = rig.gateway.reports()

    assert [answer.status for answer in answers] == [200] * 4
    assert [answer.headers["x-headgate-provider"] for answer in answers] == ["chat/azure"] * 4
    assert (openai.circuit, openai.failures, azure.circuit) == ("Closed", 0, "Closed")


async def test_what_suits_no_provider_is_told_in_the_last_ones_words(
    fake: FakeProvider, other_fake: FakeProvider
) -> None:
    fake.script = FakeScript(status=404)
    other_fake.script = FakeScript(status=429, error_body=SPENT)
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    async with serving(table(*providers, routes=[retrying(both=True)])) as rig:
        answer = await rig.ask()

    assert (answer.status, answer.body.decode()) == (429, SPENT)
    assert (fake.seen.requests, other_fake.seen.requests) == (1, 1)


async def test_an_error_with_status_200_is_tried_again_like_any_other(other_fake: FakeProvider) -> None:
    body = b'{"error":{"message":"the model is overloaded","code":503}}'
    async with raw_upstream(answering(body)) as upstream:
        providers = [provider(upstream.url), provider(other_fake.url, name="azure")]
        async with serving(table(*providers, routes=[retrying(both=True)])) as rig:
            answer = await rig.ask()

    assert (answer.status, answer.headers["x-headgate-provider"]) == (200, "chat/azure")


async def test_an_error_with_status_200_reaches_the_caller_with_a_status_of_its_own() -> None:
    body = b'{"error":{"message":"the model is overloaded","code":503}}'
    async with (
        raw_upstream(answering(body)) as upstream,
        serving(table(provider(upstream.url), routes=[retrying(max_attempts=1)])) as rig,
    ):
        answer = await rig.ask()

    assert (answer.status, answer.body) == (503, body)


async def test_time_spent_on_providers_and_pauses_is_no_overhead_of_ours(fake: FakeProvider) -> None:
    fake.script = FakeScript(status=429, retry_after_s=0.09, latency_s=0.09)
    patient = replace(retrying(), retry=RetryPolicy(max_attempts=2, backoff_s=0.01, max_backoff_s=1.0))
    async with serving(table(provider(fake.url), routes=[patient])) as rig:
        asking = asyncio.create_task(rig.ask())
        await fake.wait_until_seen(lambda seen: seen.requests == 1)
        fake.script = FakeScript(latency_s=0.09)
        answer = await asking

    assert answer.headers["x-headgate-attempts"] == "2"
    assert float(answer.headers["x-headgate-overhead-ms"]) < 60


async def test_every_endpoint_of_a_dead_provider_is_tried_before_its_neighbour(fake: FakeProvider) -> None:
    providers = [provider(DEAD_URL, DEAD_URL), provider(fake.url, name="azure")]
    async with serving(table(*providers, routes=[retrying(both=True)])) as rig:
        answer = await rig.ask()

    assert (answer.status, answer.headers["x-headgate-attempts"]) == (200, "3")
