"""Which endpoint a request goes to first: the route's strategy, and who is in service."""

import asyncio
from collections.abc import Sequence
from random import Random

import pytest
from msgspec.structs import replace

from gateway_runtime.contract.health import EndpointReport
from gateway_runtime.contract.table import CircuitPolicy, Model, Price, Provider, Route, Strategy
from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.fake_provider import FakeProvider
from tests.contract.tables import build_target
from tests.server.rawupstream import RawUpstream, Script, answering, raw_upstream
from tests.server.rig import CHAT, CIRCUIT, PROBE, Answer, Rig, provider, route, serving, table

STREAM = {**CHAT, "stream": True}
BOTH = (build_target("openai"), build_target("azure"))
IN_ORDER = (build_target("openai", priority=0), build_target("azure", priority=1))
FRAGILE = replace(CIRCUIT, consecutive_failures=1)
SLOWNESS = CircuitPolicy(
    consecutive_failures=0,
    failure_percent=0,
    min_requests=2,
    window_s=10.0,
    open_s=30.0,
    slow_call_s=0.15,
    slow_call_percent=100,
)


def routed(strategy: Strategy, *weights: int) -> Route:
    openai, azure = weights or (1, 1)
    targets = (build_target("openai", weight=openai), build_target("azure", weight=azure))
    return replace(route(targets=targets), strategy=strategy)


def priced(url: str, name: str, input_usd_picos: int, output_usd_picos: int) -> Provider:
    price = Price(input_usd_picos=input_usd_picos, output_usd_picos=output_usd_picos)
    return provider(url, name=name, models=[Model(name="gpt", upstream_name="gpt", price=price)])


def circuits(rig: Rig) -> list[str]:
    return [report.circuit for report in rig.gateway.reports()]


def provider_of(answer: Answer) -> str:
    return str(answer.headers["x-headgate-provider"]).removeprefix("chat/")


async def wait_for_health(rig: Rig, unhealthy: int) -> None:
    def count(reports: Sequence[EndpointReport]) -> int:
        return sum(report.health == "Unhealthy" for report in reports)

    async for _ in rig.gateway.watch_health():
        if count(rig.gateway.reports()) == unhealthy:
            return


def saying_in_turn(*scripts: Script) -> Script:
    """The last one for good."""

    async def script(
        upstream: RawUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await scripts[min(upstream.requests, len(scripts)) - 1](upstream, reader, writer)

    return script


async def test_weights_are_shares_of_the_traffic(fake: FakeProvider, other_fake: FakeProvider) -> None:
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    async with serving(table(*providers, routes=[routed("Weighted", 3, 1)]), draw=Random(7).random) as rig:
        for _ in range(200):
            await rig.ask()

    assert fake.seen.requests + other_fake.seen.requests == 200
    assert 130 <= fake.seen.requests <= 170


async def test_round_robin_takes_turns_by_weight_without_chance(
    fake: FakeProvider, other_fake: FakeProvider
) -> None:
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    async with serving(table(*providers, routes=[routed("RoundRobin", 3, 1)])) as rig:
        turns = [provider_of(await rig.ask()) for _ in range(8)]

    assert turns == ["openai", "openai", "azure", "openai"] * 2


async def test_the_less_busy_of_two_is_first(fake: FakeProvider, other_fake: FakeProvider) -> None:
    fake.script = FakeScript(latency_s=30)
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    async with serving(table(*providers, routes=[routed("LeastBusy")])) as rig:
        held = asyncio.create_task(rig.ask())
        await fake.wait_until_seen(lambda seen: seen.under_way == 1)
        answers = [provider_of(await rig.ask()) for _ in range(3)]
        held.cancel()

    assert answers == ["azure"] * 3


async def test_the_quicker_endpoint_is_first_once_both_are_known(
    fake: FakeProvider, other_fake: FakeProvider
) -> None:
    fake.script = FakeScript(latency_s=0.05)
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    async with serving(table(*providers, routes=[routed("Latency")])) as rig:
        answers = [provider_of(await rig.ask()) for _ in range(6)]

    assert sorted(answers[:2]) == ["azure", "openai"]
    assert answers[2:] == ["azure"] * 4


async def test_the_cheaper_gets_everything_and_failing_over_goes_to_the_dearer(
    fake: FakeProvider, other_fake: FakeProvider
) -> None:
    providers = [
        priced(fake.url, "openai", 2_500_000, 10_000_000),
        priced(other_fake.url, "azure", 2_000_000, 11_000_000),
    ]
    async with serving(table(*providers, routes=[routed("Cost", 9, 1)]), draw=Random(7).random) as rig:
        answers = [provider_of(await rig.ask()) for _ in range(20)]
        other_fake.script = FakeScript(failing=True)
        failed_over = await rig.ask()

    assert answers == ["azure"] * 20
    assert (provider_of(failed_over), failed_over.headers["x-headgate-attempts"]) == ("openai", "2")
    assert fake.seen.requests == 1


async def test_a_later_priority_serves_when_the_earlier_is_out_of_service(
    fake: FakeProvider, other_fake: FakeProvider
) -> None:
    fake.script = FakeScript(failing=True)
    providers = [provider(fake.url, circuit=FRAGILE), provider(other_fake.url, name="azure")]
    async with serving(table(*providers, routes=[route(targets=IN_ORDER)])) as rig:
        answers = [await rig.ask() for _ in range(3)]

    assert [provider_of(answer) for answer in answers] == ["azure"] * 3
    assert [answer.headers["x-headgate-attempts"] for answer in answers] == ["2", "1", "1"]


@pytest.mark.parametrize(("panic_percent", "are_used"), [(50, True), (0, False)])
async def test_endpoints_whose_probe_fails_serve_when_too_few_others_are_left(
    fake: FakeProvider, other_fake: FakeProvider, panic_percent: int, are_used: bool
) -> None:
    other_fake.script = FakeScript(failing=True)
    patient = replace(PROBE, healthy_after=1_000_000)  # a probe that stays wrong
    urls = (fake.url, other_fake.url, other_fake.url)
    shared = replace(route(), panic_percent=panic_percent)
    async with serving(table(provider(*urls, probe=patient), routes=[shared]), draw=Random(7).random) as rig:
        await wait_for_health(rig, unhealthy=2)
        other_fake.script = FakeScript()
        answers = [await rig.ask() for _ in range(20)]

    assert {answer.status for answer in answers} == {200}
    assert (other_fake.seen.requests > 0) is are_used


@pytest.mark.parametrize(("max_open_percent", "statuses"), [(50, [200] * 3), (100, [503] * 3)])
async def test_the_last_endpoint_is_asked_in_spite_of_its_circuit_where_its_owner_says_so(
    fake: FakeProvider, other_fake: FakeProvider, max_open_percent: int, statuses: list[int]
) -> None:
    fake.script = other_fake.script = FakeScript(failing=True)
    stubborn = replace(FRAGILE, max_open_percent=max_open_percent)
    async with serving(
        table(provider(fake.url, other_fake.url, circuit=stubborn), routes=[route(max_attempts=2)])
    ) as rig:
        await rig.ask()
        opened = circuits(rig)
        fake.script = other_fake.script = FakeScript()
        answers = [await rig.ask() for _ in range(3)]
        still = circuits(rig)

    assert (opened, still) == (["Open"] * 2, ["Open"] * 2)
    assert [answer.status for answer in answers] == statuses


@pytest.mark.parametrize(
    ("body", "script", "circuit"),
    [
        (CHAT, FakeScript(latency_s=0.16), "Open"),
        (STREAM, FakeScript(latency_s=0.16), "Open"),
        (STREAM, FakeScript(tokens_per_s=20, answer="one two three"), "Closed"),
    ],
)
async def test_slow_calls_open_the_circuit_and_of_a_stream_its_first_byte_counts(
    fake: FakeProvider, body: object, script: FakeScript, circuit: str
) -> None:
    fake.script = script
    async with serving(table(provider(fake.url, circuit=SLOWNESS))) as rig:
        answers = await asyncio.gather(rig.ask(body), rig.ask(body))
        found = circuits(rig)

    assert [answer.status for answer in answers] == [200, 200]
    assert found == [circuit]


@pytest.mark.parametrize(
    ("limited", "attempts"),
    [
        (
            answering(b"{}", headers="x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 1m0s"),
            1,
        ),
        (answering(b"{}", headers="x-ratelimit-remaining-tokens: 0\r\nx-ratelimit-reset-tokens: 60s"), 1),
        (answering(b"{}", "429 Too Many Requests", "retry-after: 60"), 2),
    ],
)
async def test_a_provider_that_told_of_its_limit_is_left_alone_until_it_tells_of_room(
    other_fake: FakeProvider, limited: Script, attempts: int
) -> None:
    roomy = answering(b"{}", headers="x-ratelimit-remaining-requests: 9\r\nx-ratelimit-remaining-tokens: 9")
    async with raw_upstream(saying_in_turn(limited, roomy)) as upstream:
        providers = [provider(upstream.url), provider(other_fake.url, name="azure")]
        async with serving(table(*providers, routes=[route(targets=IN_ORDER)])) as rig:
            first = await rig.ask()
            away = [await rig.ask() for _ in range(2)]
            asked_meanwhile = upstream.requests
            other_fake.script = FakeScript(failing=True)
            tells = await rig.ask()
            back = await rig.ask()

    assert first.headers["x-headgate-attempts"] == str(attempts)
    assert [provider_of(answer) for answer in away] == ["azure"] * 2
    assert [answer.headers["x-headgate-attempts"] for answer in away] == ["1"] * 2
    assert asked_meanwhile == 1
    assert (provider_of(tells), tells.headers["x-headgate-attempts"]) == ("openai", "2")
    assert (provider_of(back), back.headers["x-headgate-attempts"]) == ("openai", "1")


async def test_a_limit_of_one_model_does_not_keep_another_away() -> None:
    limited = answering(b"{}", "429 Too Many Requests", "retry-after: 60")
    models = route("gpt", "gpt-mini", targets=IN_ORDER)
    async with (
        raw_upstream(saying_in_turn(limited, answering(b"{}"))) as upstream,
        raw_upstream(answering(b"{}")) as other,
        serving(table(provider(upstream.url), provider(other.url, name="azure"), routes=[models])) as rig,
    ):
        same = [provider_of(await rig.ask()) for _ in range(2)]
        another = provider_of(await rig.ask({**CHAT, "model": "gpt-mini"}))

    assert (same, another) == (["azure", "azure"], "openai")
