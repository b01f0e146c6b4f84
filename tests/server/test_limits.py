"""Request limits on the wire: what callers are told, and what reloads and shares do to them."""

import asyncio

import pytest

from gateway_runtime.contract.stream import Share
from gateway_runtime.contract.tenant import Limit
from gateway_runtime.server.endpoint import Clock
from gateway_runtime.server.fake_provider import FakeProvider
from gateway_runtime.server.reload import Reloader
from gateway_runtime.server.state import LiveState
from tests.server.rig import KEY, provider, serving, table, tenant

RPM = Limit(name="rpm", amount=10, window_s=60)


async def test_headers_tell_of_the_limit_that_binds(fake: FakeProvider) -> None:
    limits = [RPM, Limit(name="rph", amount=5, window_s=3600)]
    async with serving(table(provider(fake.url), tenants=[tenant(limits=limits)])) as rig:
        answer = await rig.ask()

    told = {name: value for name, value in answer.headers.items() if name.startswith("x-ratelimit")}
    assert told == {
        "x-ratelimit-limit-requests": "5",
        "x-ratelimit-remaining-requests": "4",
        "x-ratelimit-reset-requests": "1h0m0s",
    }


async def test_an_unlimited_caller_is_told_of_no_limit(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url))) as rig:
        answer = await rig.ask()

    assert not [name for name in answer.headers if name.lower().startswith("x-ratelimit")]


async def test_the_providers_own_limits_stay_between_it_and_the_gateway(fake: FakeProvider) -> None:
    limited = tenant(limits=[RPM])
    async with serving(table(provider(fake.url), tenants=[limited])) as rig:
        answers = await asyncio.gather(*(rig.ask() for _ in range(15)))

    assert sorted(answer.status for answer in answers) == [200] * 10 + [429] * 5


async def test_a_reload_keeps_what_was_used(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url), tenants=[tenant(limits=[RPM])])) as rig:
        for _ in range(4):
            await rig.ask()
        await rig.apply(
            table(provider(fake.url), tenants=[tenant(limits=[Limit(name="rpm", amount=5, window_s=60)])])
        )
        fifth, sixth = await rig.ask(), await rig.ask()

    assert (fifth.status, sixth.status) == (200, 429)


async def test_an_unknown_model_costs_nothing(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url), tenants=[tenant(limits=[RPM])])) as rig:
        for _ in range(20):
            await rig.ask({"model": "gpt-9"})
        answer = await rig.ask(key=KEY)

    assert answer.status == 200


@pytest.mark.parametrize(("index", "amount"), [(0, 4), (1, 3), (2, 3)])
async def test_each_of_three_gateways_enforces_its_share(index: int, amount: int) -> None:
    loop = asyncio.get_running_loop()
    state = LiveState(Clock(loop.time, loop.time))
    reloader = Reloader(state)
    limited = tenant(limits=[RPM])
    await reloader.apply_table(table(provider("http://127.0.0.1:1/v1"), tenants=[limited]))
    reloader.apply_share(Share(index=index, gateways=3))

    assert [limit.amount for limit in state.limits_of(limited)] == [amount]
