"""Another model when a route has given up."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from gateway_runtime.contract.table import FallbackRule, Route, RouteTimeouts
from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.fake_provider import FakeProvider
from tests.contract.tables import build_target
from tests.server.rawupstream import answering, raw_upstream
from tests.server.rig import CHAT, CIRCUIT, DEAD_URL, provider, route, serving, table, tenant

FRAGILE = replace(CIRCUIT, consecutive_failures=1)
CLAUDE = FallbackRule(model="claude")
LLAMA = FallbackRule(model="llama")


def first(*rules: FallbackRule, timeouts: RouteTimeouts | None = None) -> Route:
    """Of `gpt`, served by openai."""
    return replace(route("gpt", name="first", max_attempts=1, timeouts=timeouts), fallbacks=rules)


def then(model: str, provider_name: str, *rules: FallbackRule) -> Route:
    targets = [build_target(provider_name)]
    return replace(route(model, name=model, targets=targets, max_attempts=1), fallbacks=rules)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_fallback_answers_and_the_headers_say_so(
    fake: FakeProvider, other_fake: FakeProvider, stream: bool
) -> None:
    fake.script = FakeScript(failing=True)
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    routes = [first(CLAUDE), then("claude", "azure")]
    async with serving(table(*providers, routes=routes)) as rig:
        answer = await rig.ask({**CHAT, "stream": stream})
        metrics = (await rig.look("/metrics")).body.decode()

    assert answer.status == 200
    assert answer.headers["x-headgate-fallback"] == "claude; ServerError"
    assert answer.headers["x-headgate-route"] == "chat/first"
    assert answer.headers["x-headgate-model"] == "gpt"
    assert answer.headers["x-headgate-provider"] == "chat/azure"
    assert '"model":"claude"' in other_fake.seen.latest[-1].body
    assert 'headgate_fallbacks_total{reason="ServerError",route="chat/first"} 1.0' in metrics


async def test_an_answer_of_the_route_itself_names_no_fallback(fake: FakeProvider) -> None:
    routes = [first(CLAUDE), then("claude", "openai")]
    async with serving(table(provider(fake.url), routes=routes)) as rig:
        answer = await rig.ask()

    assert "x-headgate-fallback" not in answer.headers


async def test_a_fallback_for_another_cause_is_passed_over(
    fake: FakeProvider, other_fake: FakeProvider
) -> None:
    fake.script = FakeScript(failing=True)
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    rules = (replace(CLAUDE, causes=("RateLimited",)), replace(LLAMA, causes=("ServerError",)))
    routes = [first(*rules), then("claude", "azure"), then("llama", "azure")]
    async with serving(table(*providers, routes=routes)) as rig:
        answer = await rig.ask()

    assert answer.headers["x-headgate-fallback"] == "llama; ServerError"
    assert other_fake.seen.requests == 1


@pytest.mark.parametrize(
    ("script", "cause"),
    [
        (FakeScript(status=404), "Unsuitable"),
        (FakeScript(status=429), "RateLimited"),
        (FakeScript(keys=("none-of-ours",)), "CredentialRefused"),
        (FakeScript(garbage=True), "Malformed"),
    ],
)
async def test_the_reason_is_why_the_route_gave_up(
    fake: FakeProvider, other_fake: FakeProvider, script: FakeScript, cause: str
) -> None:
    fake.script = script
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    async with serving(table(*providers, routes=[first(CLAUDE), then("claude", "azure")])) as rig:
        answer = await rig.ask()

    assert (answer.status, answer.headers["x-headgate-fallback"]) == (200, f"claude; {cause}")


async def test_a_mistake_of_the_caller_needs_no_other_model(
    fake: FakeProvider, other_fake: FakeProvider
) -> None:
    fake.script = FakeScript(status=400)
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    async with serving(table(*providers, routes=[first(CLAUDE), then("claude", "azure")])) as rig:
        answer = await rig.ask()

    assert (answer.status, other_fake.seen.requests) == (400, 0)


@pytest.mark.parametrize(
    ("allowed", "fallback"), [(("gpt",), None), (("gpt", "llama"), "llama; ServerError")]
)
async def test_a_fallback_that_the_tenant_may_not_use_is_passed_over(
    fake: FakeProvider, other_fake: FakeProvider, allowed: Sequence[str], fallback: str | None
) -> None:
    fake.script = FakeScript(failing=True)
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    routes = [first(CLAUDE, LLAMA), then("claude", "azure"), then("llama", "azure")]
    async with serving(table(*providers, routes=routes, tenants=[tenant(models=allowed)])) as rig:
        answer = await rig.ask()

    assert answer.status == (503 if fallback is None else 200)
    assert answer.headers.get("x-headgate-fallback") == fallback


async def test_the_fallbacks_of_a_fallback_are_not_followed(
    fake: FakeProvider, other_fake: FakeProvider
) -> None:
    fake.script = FakeScript(failing=True)
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    routes = [first(CLAUDE), then("claude", "openai", LLAMA), then("llama", "azure")]
    async with serving(table(*providers, routes=routes)) as rig:
        answer = await rig.ask()

    assert (answer.status, answer.headers["x-headgate-attempts"]) == (503, "2")
    assert other_fake.seen.requests == 0


async def test_routes_that_are_each_others_fallback_do_not_run_in_circles(fake: FakeProvider) -> None:
    fake.script = FakeScript(failing=True)
    routes = [first(CLAUDE), then("claude", "openai", FallbackRule(model="gpt"))]
    async with serving(table(provider(fake.url), routes=routes)) as rig:
        answer = await rig.ask()

    assert (answer.status, fake.seen.requests) == (503, 2)


async def test_a_route_without_an_endpoint_in_service_gives_up_as_unavailable(
    fake: FakeProvider, other_fake: FakeProvider
) -> None:
    fake.script = FakeScript(failing=True)
    providers = [provider(fake.url, circuit=FRAGILE), provider(other_fake.url, name="azure")]
    rule = replace(CLAUDE, causes=("Unavailable",))
    async with serving(table(*providers, routes=[first(rule), then("claude", "azure")])) as rig:
        failed, refused = await rig.ask(), await rig.ask()

    assert failed.status == 503
    assert (refused.status, refused.headers["x-headgate-fallback"]) == (200, "claude; Unavailable")
    assert fake.seen.requests == 1


async def test_the_second_fallback_is_chosen_by_why_the_first_one_gave_up(
    fake: FakeProvider, other_fake: FakeProvider
) -> None:
    fake.script = FakeScript(failing=True)
    providers = [
        provider(fake.url),
        provider(DEAD_URL, name="dead", circuit=FRAGILE),
        provider(other_fake.url, name="azure"),
    ]
    rules = (CLAUDE, replace(LLAMA, causes=("Unavailable",)))
    routes = [first(*rules), then("claude", "dead"), then("llama", "azure")]
    async with serving(table(*providers, routes=routes)) as rig:
        while_it_failed, once_its_circuit_opened = await rig.ask(), await rig.ask()

    assert while_it_failed.status == 502
    assert once_its_circuit_opened.headers["x-headgate-fallback"] == "llama; Unavailable"


async def test_the_deadline_is_that_of_the_route_that_was_asked_for(
    fake: FakeProvider, other_fake: FakeProvider
) -> None:
    fake.script, other_fake.script = FakeScript(failing=True), FakeScript(latency_s=30)
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    routes = [first(CLAUDE, timeouts=RouteTimeouts(total_s=0.05)), then("claude", "azure")]
    async with serving(table(*providers, routes=routes)) as rig:
        answer = await rig.ask()

    assert answer.status == 504
    assert answer.error["message"] == (
        "Endpoint chat/azure/e0 was too slow: not finished within 0.05 s; 2 attempts were made. Try again, "
        "or have the timeouts of the route or the provider raised."
    )


async def test_no_fallback_begins_after_the_deadline(fake: FakeProvider, other_fake: FakeProvider) -> None:
    fake.script = FakeScript(latency_s=30)
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    routes = [first(CLAUDE, timeouts=RouteTimeouts(total_s=0.05)), then("claude", "azure")]
    async with serving(table(*providers, routes=routes)) as rig:
        answer = await rig.ask()

    assert (answer.status, other_fake.seen.requests) == (504, 0)


async def test_a_fallback_has_attempts_of_its_own(fake: FakeProvider) -> None:
    fake.script = FakeScript(failing=True)
    body = b'{"choices":[]}'
    async with raw_upstream(answering(body)) as upstream:
        providers = [provider(fake.url), provider(DEAD_URL, upstream.url, name="azure")]
        claude = route("claude", name="claude", targets=[build_target("azure")], max_attempts=2)
        async with serving(table(*providers, routes=[first(CLAUDE), claude])) as rig:
            answers = [await rig.ask() for _ in range(2)]

    assert [answer.body for answer in answers] == [body] * 2
