"""A second copy of a request that is slow to answer."""

import asyncio

import pytest
from msgspec.structs import replace

from gateway_runtime.contract.table import Hedge, Route
from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.fake_provider import FakeProvider
from tests.contract.tables import build_target
from tests.server.rig import CHAT, KEY, provider, route, serving, table

IN_ORDER = tuple(build_target(name, priority=place) for place, name in enumerate(("openai", "azure")))
NEVER = FakeScript(latency_s=30)
LATE_FAILURE = FakeScript(latency_s=0.06, status=500)


def hedging(*, after_s: float = 0.02, max_attempts: int = 1, budget_percent: int = 20) -> Route:
    base = route(targets=IN_ORDER, max_attempts=max_attempts)
    policy = replace(base.retry, budget_percent=budget_percent)
    return replace(base, hedge=Hedge(after_s=after_s, max_extra=1), retry=policy)


async def test_the_copy_answers_and_the_first_is_stopped_at_its_provider(
    fake: FakeProvider, other_fake: FakeProvider
) -> None:
    fake.script = NEVER
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    async with serving(table(*providers, routes=[hedging()])) as rig:
        answer = await rig.ask()
        await fake.wait_until_seen(lambda seen: seen.cancelled == 1)
        metrics = (await rig.look("/metrics")).body.decode()
        reports = rig.gateway.reports()

    assert (answer.status, answer.headers["x-headgate-provider"]) == (200, "chat/azure")
    assert answer.headers["x-headgate-attempts"] == "2"
    assert 'headgate_hedges_total{provider="chat/azure"} 1.0' in metrics
    assert 'headgate_attempts_total{outcome="cancelled",provider="chat/openai"} 1.0' in metrics
    assert [report.failures for report in reports] == [0, 0]


async def test_the_first_may_still_win_and_the_copy_is_stopped(
    fake: FakeProvider, other_fake: FakeProvider
) -> None:
    fake.script, other_fake.script = FakeScript(latency_s=0.06), NEVER
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    async with serving(table(*providers, routes=[hedging()])) as rig:
        answer = await rig.ask()
        await other_fake.wait_until_seen(lambda seen: seen.cancelled == 1)

    assert (answer.status, answer.headers["x-headgate-provider"]) == (200, "chat/openai")


async def test_two_answers_at_the_same_moment_are_one_answer(
    fake: FakeProvider, other_fake: FakeProvider
) -> None:
    fake.script, other_fake.script = FakeScript(latency_s=0.04), FakeScript(latency_s=0.02)
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    async with serving(table(*providers, routes=[hedging()])) as rig:
        answers = await asyncio.gather(*(rig.ask() for _ in range(25)))

    assert {answer.status for answer in answers} == {200}
    assert {answer.json["object"] for answer in answers} == {"chat.completion"}


async def test_a_quick_answer_has_no_copy(fake: FakeProvider, other_fake: FakeProvider) -> None:
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    async with serving(table(*providers, routes=[hedging(after_s=5.0)])) as rig:
        answer = await rig.ask()

    assert (answer.status, answer.headers["x-headgate-attempts"]) == (200, "1")


@pytest.mark.parametrize("copy_fails", [FakeScript(status=500), FakeScript(status=500, latency_s=0.08)])
async def test_a_failed_copy_waits_for_the_other_and_the_last_failure_is_told(
    fake: FakeProvider, other_fake: FakeProvider, copy_fails: FakeScript
) -> None:
    fake.script, other_fake.script = LATE_FAILURE, copy_fails
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    async with serving(table(*providers, routes=[hedging()])) as rig:
        answer = await rig.ask()

    assert (answer.status, answer.headers["x-headgate-attempts"]) == (500, "2")
    assert (fake.seen.cancelled, other_fake.seen.cancelled) == (0, 0)


async def test_after_a_race_that_all_lost_a_third_endpoint_is_next(
    fake: FakeProvider, other_fake: FakeProvider
) -> None:
    """And neither of the two that have just failed."""
    third = FakeProvider()
    await third.start()
    try:
        fake.script, other_fake.script = LATE_FAILURE, FakeScript(status=500)
        named = {"openai": fake, "azure": other_fake, "third": third}
        targets = [build_target(name, priority=place) for place, name in enumerate(named)]
        providers = [provider(one.url, name=name) for name, one in named.items()]
        hedged = replace(hedging(max_attempts=2), targets=tuple(targets))
        async with serving(table(*providers, routes=[hedged])) as rig:
            answer = await rig.ask()
    finally:
        await third.stop()

    assert (answer.status, answer.headers["x-headgate-provider"]) == (200, "chat/third")
    assert (fake.seen.requests, other_fake.seen.requests, third.seen.requests) == (1, 1, 1)


async def test_a_stream_is_never_sent_twice(fake: FakeProvider, other_fake: FakeProvider) -> None:
    fake.script = FakeScript(latency_s=0.08)
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    async with serving(table(*providers, routes=[hedging()])) as rig:
        answer = await rig.ask({**CHAT, "stream": True})

    assert (answer.status, answer.headers["x-headgate-attempts"]) == (200, "1")
    assert other_fake.seen.requests == 0


async def test_copies_are_charged_to_the_retry_budget(fake: FakeProvider, other_fake: FakeProvider) -> None:
    """Without a share of the traffic, three a second of the last ten are left."""
    fake.script = FakeScript(latency_s=0.4)
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    async with serving(table(*providers, routes=[hedging(budget_percent=0)])) as rig:
        answers = await asyncio.gather(*(rig.ask() for _ in range(40)))

    assert {answer.status for answer in answers} == {200}
    assert (fake.seen.requests, other_fake.seen.requests) == (40, 30)


async def test_a_caller_that_leaves_stops_all_copies(fake: FakeProvider, other_fake: FakeProvider) -> None:
    fake.script = other_fake.script = NEVER
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    async with serving(table(*providers, routes=[hedging()])) as rig:
        _, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
        body = b'{"model":"gpt","messages":[]}'
        head = f"authorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n" + head.encode() + body)
        await other_fake.wait_until_seen(lambda seen: seen.under_way == 1)
        under_way = fake.seen.under_way
        writer.close()
        await fake.wait_until_seen(lambda seen: seen.cancelled == 1)
        await other_fake.wait_until_seen(lambda seen: seen.cancelled == 1)

    assert under_way == 1


async def test_a_winner_whose_caller_reads_slowly_is_not_taken_for_a_loser(
    fake: FakeProvider, other_fake: FakeProvider
) -> None:
    """The loser is gone long before the answer is."""
    fake.script, other_fake.script = NEVER, FakeScript(answer="x" * 24_000_000)
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    async with serving(table(*providers, routes=[hedging()])) as rig:
        url = f"{rig.url}/v1/chat/completions"
        async with rig.session.post(url, json=CHAT, headers={"authorization": f"Bearer {KEY}"}) as answer:
            await fake.wait_until_seen(lambda seen: seen.cancelled == 1)
            body = await answer.read()
        metrics = (await rig.look("/metrics")).body.decode()

    assert len(body) > 24_000_000
    assert 'headgate_attempts_total{outcome="ok",provider="chat/azure"} 1.0' in metrics


async def test_waiting_in_a_race_counts_once_and_is_no_overhead_of_ours(
    fake: FakeProvider, other_fake: FakeProvider
) -> None:
    fake.script, other_fake.script = NEVER, FakeScript(latency_s=0.01)
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    async with serving(table(*providers, routes=[hedging(after_s=0.2)])) as rig:
        answer = await rig.ask()

    assert answer.headers["x-headgate-attempts"] == "2"
    assert float(answer.headers["x-headgate-overhead-ms"]) < 100


async def test_a_credential_that_both_copies_saw_refused_is_named_once(
    fake: FakeProvider, other_fake: FakeProvider
) -> None:
    fake.script = other_fake.script = FakeScript(keys=("none-of-ours",), latency_s=0.06)
    both = route(max_attempts=1)
    hedged = replace(both, hedge=Hedge(after_s=0.02, max_extra=1))
    async with serving(table(provider(fake.url, other_fake.url), routes=[hedged])) as rig:
        answer = await rig.ask()

    assert (fake.seen.requests, other_fake.seen.requests) == (1, 1)
    assert (answer.status, answer.error["message"]) == (
        502,
        'Provider chat/openai refused credential "key-0" (status 401). Your own key is fine; whoever owns '
        "the provider must put a valid key into the Secret behind it.",
    )
