"""Limits of tokens, money and concurrency: what is held while a request runs, and what is left after it."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from gateway_runtime.contract.table import Model, Price, RoutingTable
from gateway_runtime.contract.tenant import Limit, LimitResource
from gateway_runtime.engine.limits import LimitState
from gateway_runtime.ledger.usd import format_usd
from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.fake_provider import FakeProvider
from tests.contract.tables import build_target
from tests.server.nativeupstream import native_upstream, speaking
from tests.server.rawupstream import STREAM_HEAD, RawUpstream, chunk, raw_upstream
from tests.server.rig import KEY, Answer, Rig, provider, route, serving, table, tenant

BODY = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 50}
CHEAP = Price(input_usd_picos=1_000_000, output_usd_picos=2_000_000)  # 1 and 2 dollars a million
DOLLAR = 10**12


def limited(
    upstream: str, *limits: Limit, price: Price | None = None, unpriced: bool = False
) -> RoutingTable:
    models = [Model(name="gpt", upstream_name="gpt", price=price)]
    serves = replace(tenant(limits=limits), allow_unpriced=unpriced)
    return table(provider(upstream, models=models), routes=[route(max_attempts=1)], tenants=[serves])


def limit(resource: LimitResource, amount: int, *, shadow: bool = False) -> Limit:
    window_s = 0.0 if resource == "Concurrency" else 60.0
    return Limit(name="most", amount=amount, window_s=window_s, resource=resource, shadow=shadow)


def look(rig: Rig) -> LimitState:
    """The one limit there is."""
    state = rig.gateway._state
    running = rig.gateway._reloader.running
    assert running is not None
    (one,) = state.limits_of(running.live.table.tenants[0])
    return one.state(state.clock.now())


def usage_of(answer: Answer) -> Any:
    return answer.json["usage"]


async def test_tokens_that_were_not_used_are_given_back(fake: FakeProvider) -> None:
    async with serving(limited(fake.url, limit("TotalTokens", 1000))) as rig:
        answer = await rig.ask(BODY)
        state = look(rig)

    assert answer.status == 200
    assert (state.used, state.held) == (usage_of(answer)["total_tokens"], 0)
    assert 0 < state.used < 100


@pytest.mark.parametrize(
    ("resource", "member"), [("InputTokens", "prompt_tokens"), ("OutputTokens", "completion_tokens")]
)
async def test_each_kind_of_token_has_its_own_count(
    fake: FakeProvider, resource: LimitResource, member: str
) -> None:
    async with serving(limited(fake.url, limit(resource, 1000))) as rig:
        answer = await rig.ask(BODY)
        state = look(rig)

    assert (state.used, state.held) == (usage_of(answer)[member], 0)


async def test_a_request_that_may_not_fit_waits_and_says_for_how_long(fake: FakeProvider) -> None:
    async with serving(limited(fake.url, limit("OutputTokens", 60))) as rig:
        first = await rig.ask(BODY)
        second = await rig.ask({**BODY, "max_tokens": 58})
        left = look(rig)

    assert first.headers["x-ratelimit-limit-tokens"] == "60"
    assert first.headers["x-ratelimit-remaining-tokens"] == "10"
    assert second.status == 429
    assert second.error["message"].startswith(
        'Limit "most" of chat/team is spent: 60 output tokens in any 60 s.'
    )
    assert int(second.headers["retry-after"]) > 0
    assert (left.used, left.held) == (usage_of(first)["completion_tokens"], 0)
    assert fake.seen.requests == 1


async def test_a_request_that_never_fits_is_told_so(fake: FakeProvider) -> None:
    async with serving(limited(fake.url, limit("OutputTokens", 40))) as rig:
        answer = await rig.ask(BODY)

    assert (answer.status, answer.error["headgate"]) == (400, "HG1031")
    assert answer.error["message"] == (
        'Limit "most" of chat/team has 40 output tokens at this gateway, and this request may need 50 output '
        "tokens. Send less, or allow a shorter answer with `max_tokens`."
    )
    assert answer.headers["x-should-retry"] == "false"


async def test_an_answer_without_a_bound_gets_one_and_the_caller_is_told(fake: FakeProvider) -> None:
    asked = {"model": "gpt", "messages": BODY["messages"]}
    async with serving(limited(fake.url, limit("OutputTokens", 100_000))) as rig:
        answer = await rig.ask(asked)
        sent = json.loads(fake.seen.latest[0].body)

    assert answer.headers["x-headgate-max-tokens"] == "4096"
    assert 4096 in (sent.get("max_tokens"), sent.get("max_completion_tokens"))


async def test_pictures_are_bounded_by_the_models_context(fake: FakeProvider) -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
    asked = {**BODY, "messages": [{"role": "user", "content": [image]}]}
    async with serving(limited(fake.url, limit("InputTokens", 10_000))) as rig:
        answer = await rig.ask(asked)

    assert answer.error["headgate"] == "HG1031"


async def test_money_is_held_by_the_dearest_and_settled_by_what_was_used(fake: FakeProvider) -> None:
    async with serving(limited(fake.url, limit("USD", DOLLAR), price=CHEAP)) as rig:
        answer = await rig.ask(BODY)
        state = look(rig)

    used = usage_of(answer)
    cost = used["prompt_tokens"] * 1_000_000 + used["completion_tokens"] * 2_000_000
    assert (state.used, state.held) == (cost, 0)
    assert cost > 0


async def test_a_budget_that_is_spent_refuses(fake: FakeProvider) -> None:
    async with serving(limited(fake.url, limit("USD", 250_000_000), price=CHEAP)) as rig:
        answers = [await rig.ask(BODY) for _ in range(12)]
        state = look(rig)

    assert [a.status for a in answers][:1] == [200]
    assert answers[-1].status == 429
    assert "0.00025 US dollars in any 60 s" in answers[-1].error["message"]
    assert state.used <= 250_000_000


async def test_a_model_without_a_price_is_refused_under_a_limit_of_money_or_served_as_the_quota_says(
    fake: FakeProvider,
) -> None:
    async with serving(limited(fake.url, limit("USD", DOLLAR))) as rig:
        refused = await rig.ask(BODY)
        await rig.apply(limited(fake.url, limit("USD", DOLLAR), unpriced=True))
        served = await rig.ask(BODY)

    assert (refused.status, refused.error["headgate"]) == (400, "HG1032")
    assert served.status == 200


async def test_so_many_at_once_and_no_more(fake: FakeProvider) -> None:
    fake.script = FakeScript(latency_s=30.0)
    async with serving(limited(fake.url, limit("Concurrency", 2))) as rig:
        running = [asyncio.create_task(rig.ask(BODY)) for _ in range(2)]
        await fake.wait_until_seen(lambda seen: seen.under_way == 2)
        third = await rig.ask(BODY)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await rig.gateway._front.idle.wait()
        fake.script = FakeScript()
        after = await rig.ask(BODY)
        state = look(rig)

    assert third.status == 429
    assert "2 requests at once" in third.error["message"]
    assert after.status == 200
    assert (state.used, state.held) == (0, 0)


async def test_a_stream_holds_its_bound_until_it_has_ended(fake: FakeProvider) -> None:
    async with serving(limited(fake.url, limit("TotalTokens", 1000))) as rig:
        answer = await rig.ask({**BODY, "stream": True})
        state = look(rig)

    assert answer.status == 200
    assert state.held == 0
    assert 0 < state.used < 100


async def test_a_stream_that_its_caller_leaves_is_settled_by_an_estimate() -> None:
    event = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'

    async def script(
        upstream: RawUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(STREAM_HEAD + chunk(event * 3))
        await writer.drain()
        await reader.read()

    async with (
        raw_upstream(script) as upstream,
        serving(limited(upstream.url, limit("TotalTokens", 1000))) as rig,
    ):
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{rig.url}/v1/chat/completions",
                json={**BODY, "stream": True},
                headers={"authorization": f"Bearer {KEY}"},
            ) as answer,
        ):
            await answer.content.readany()
            held = look(rig).held
        await rig.gateway._front.idle.wait()
        state = look(rig)

    assert held >= 50
    assert state.held == 0
    assert 3 < state.used < held


async def test_what_a_provider_refuses_costs_nothing(fake: FakeProvider) -> None:
    async with native_upstream("anthropic") as upstream:
        upstream.refusal = 500, b'{"type":"error","error":{"type":"api_error","message":"no"}}'
        made = table(
            speaking("anthropic", upstream.url),
            routes=[route(targets=[build_target("anthropic")], max_attempts=2)],
            tenants=[tenant(limits=[limit("TotalTokens", 1000)])],
        )
        async with serving(made) as rig:
            answer = await rig.ask(BODY)
            state = look(rig)

    assert answer.status == 500
    assert (state.used, state.held) == (0, 0)


async def test_a_limit_in_shadow_counts_and_refuses_nobody(fake: FakeProvider) -> None:
    async with serving(limited(fake.url, limit("TotalTokens", 1, shadow=True))) as rig:
        answer = await rig.ask(BODY)
        state = look(rig)

    assert answer.status == 200
    assert state.used == usage_of(answer)["total_tokens"]


async def test_anthropics_callers_read_their_tokens_in_its_headers() -> None:
    async with native_upstream("anthropic") as upstream:
        made = table(
            speaking("anthropic", upstream.url),
            routes=[route(targets=[build_target("anthropic")])],
            tenants=[tenant(limits=[limit("TotalTokens", 1000)])],
        )
        async with serving(made) as rig:
            answer = await rig.ask(BODY, path="/v1/messages")

    assert answer.status == 200
    assert answer.headers["anthropic-ratelimit-tokens-limit"] == "1000"
    assert "x-ratelimit-limit-tokens" not in answer.headers


async def test_an_edit_changes_the_amount_and_nothing_that_was_used(fake: FakeProvider) -> None:
    async with serving(limited(fake.url, limit("TotalTokens", 1000))) as rig:
        answer = await rig.ask(BODY)
        await rig.apply(limited(fake.url, limit("TotalTokens", 500)))
        state = look(rig)

    assert (state.amount, state.used) == (500, usage_of(answer)["total_tokens"])


async def test_a_caller_can_ask_how_it_stands(fake: FakeProvider) -> None:
    limits = [
        limit("TotalTokens", 1000),
        replace(limit("USD", DOLLAR, shadow=True), name="money"),
        replace(limit("Requests", 5), name="often"),
    ]
    async with serving(limited(fake.url, *limits, price=CHEAP)) as rig:
        used = usage_of(await rig.ask(BODY))
        told = await rig.ask(method="GET", path="/v1/limits")
        unknown = await rig.ask(method="GET", path="/v1/limits", key="sk-wrong")
        wrong = await rig.ask(BODY, path="/v1/limits")

    tokens, money, often = told.json["data"]
    cost = used["prompt_tokens"] * 1_000_000 + used["completion_tokens"] * 2_000_000
    assert told.json["tenant"] == "chat/team"
    assert told.json["shared_by_gateways"] == 1
    assert 0 < tokens.pop("resets_in_s") <= 60
    assert tokens == {
        "name": "most",
        "tenant": "chat/team",
        "resource": "TotalTokens",
        "mode": "Enforce",
        "scope": "Tenant",
        "of": None,
        "window_s": 60.0,
        "calendar": None,
        "zone": None,
        "amount": 1000,
        "used": used["total_tokens"],
        "held": 0,
        "remaining": 1000 - used["total_tokens"],
        "shared": False,
    }
    assert (money["mode"], money["amount"], money["used"]) == ("Shadow", "1", format_usd(cost))
    assert (often["used"], often["remaining"]) == (1, 4)
    assert (unknown.status, wrong.status, wrong.headers["allow"]) == (401, 405, "GET")
