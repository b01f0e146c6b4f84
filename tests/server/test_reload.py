"""Hot reload under traffic: a request keeps the table it began with, and live state outlives tables."""

import asyncio

import msgspec

from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.stream import Ack, Nack, Version
from gateway_runtime.contract.table import Installation
from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.fake_provider import FakeProvider
from tests.contract.tables import build_target
from tests.server.rig import CHAT, DEAD_URL, provider, route, serving, table


async def test_a_request_keeps_the_table_that_it_began_with(
    fake: FakeProvider, other_fake: FakeProvider
) -> None:
    """Its route and its second provider are gone from the new table when it needs them."""
    fake.script = FakeScript(latency_s=0.03, status=503)
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    both = route(targets=[build_target("openai"), build_target("azure", priority=1)])
    async with serving(table(*providers, routes=[both])) as rig:
        asking = asyncio.create_task(rig.ask())
        await fake.wait_until_seen(lambda seen: seen.under_way == 1)
        await rig.apply(
            table(provider(DEAD_URL, name="other"), routes=[route("m", targets=[build_target("other")])])
        )
        answer = await asking
        after = await rig.ask()

    assert (answer.status, answer.headers["x-headgate-provider"]) == (200, "chat/azure")
    assert after.status == 404


async def test_a_stream_survives_a_hundred_reloads(fake: FakeProvider) -> None:
    fake.script = FakeScript(tokens_per_s=200, answer="a stream of some words " * 4)
    async with serving(table(provider(fake.url))) as rig:
        streaming = asyncio.create_task(rig.ask({**CHAT, "stream": True}))
        await fake.wait_until_seen(lambda seen: seen.under_way == 1)
        for number in range(100):
            await rig.apply(table(provider(fake.url), routes=[route("gpt", f"m{number}")]))
        answer = await streaming

    assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_circuits_live_on_by_the_endpoints_name(fake: FakeProvider) -> None:
    async with serving(table(provider(DEAD_URL), routes=[route(max_attempts=3)])) as rig:
        await rig.ask()
        await rig.apply(table(provider(fake.url), routes=[route("gpt", "more")]))
        (report,) = rig.gateway.reports()

    assert (report.circuit, report.failures) == ("Open", 3)


async def test_an_endpoint_that_left_and_came_back_starts_anew(fake: FakeProvider) -> None:
    async with serving(table(provider(DEAD_URL), routes=[route(max_attempts=3)])) as rig:
        await rig.ask()
        await rig.apply(
            table(provider(DEAD_URL, name="other"), routes=[route(targets=[build_target("other")])])
        )
        await rig.apply(table(provider(fake.url)))
        (report,) = rig.gateway.reports()

    assert (report.circuit, report.failures) == ("Closed", 0)


async def test_keys_are_hashed_anew_when_the_salt_changes(fake: FakeProvider) -> None:
    first = table(provider(fake.url))
    async with serving(first) as rig:
        before = await rig.ask()
        await rig.apply(msgspec.structs.replace(first, installation=Installation(key_salt=Secret("other"))))
        after = await rig.ask()

    assert (before.status, after.status) == (200, 401)


async def test_a_table_that_cannot_be_served_leaves_the_one_that_runs(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url))) as rig:
        answer = await rig.gateway.apply_table(table(provider("not a url")))
        version, completion = rig.gateway.version, await rig.ask()

    assert isinstance(answer, Nack)
    assert answer.faults[0].message == (
        'the URL "not a url" of endpoint chat/openai/e0 is not http://host/… or https://host/…'
    )
    assert (version, completion.status) == (Version(0, 1), 200)


async def test_a_password_in_a_url_is_refused_and_not_repeated(fake: FakeProvider) -> None:
    async with serving() as rig:
        answer = await rig.gateway.apply_table(table(provider(fake.url.replace("//", "//user:pass@"))))

    assert isinstance(answer, Nack)
    assert answer.faults[0].message == (
        "the URL of endpoint chat/openai/e0 has a user or a password in it; use credentials instead"
    )


async def test_a_route_to_a_provider_that_is_missing_is_a_fault_of_the_route(fake: FakeProvider) -> None:
    async with serving() as rig:
        answer = await rig.gateway.apply_table(table(provider(fake.url, name="azure")))

    assert isinstance(answer, Nack)
    assert answer.faults[0].resource == "Route/chat/route"
    assert answer.faults[0].message == "its target provider chat/openai is not in the table"


async def test_an_embedding_process_may_name_its_versions(fake: FakeProvider) -> None:
    async with serving() as rig:
        answer = await rig.gateway.apply_table(table(provider(fake.url)), Version(7, 3))
        again = await rig.gateway.apply_table(table(provider(fake.url)), Version(7, 3))

    assert isinstance(answer, Ack)
    assert isinstance(again, Nack)


async def test_metrics_forget_the_routes_and_providers_that_left(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url))) as rig:
        await rig.ask()
        before = (await rig.look("/metrics")).body
        await rig.apply(
            table(provider(fake.url, name="b"), routes=[route(name="b", targets=[build_target("b")])])
        )
        after = (await rig.look("/metrics")).body

    assert b'"chat/route"' in before
    assert b'"chat/openai"' in before
    assert b'"chat/route"' not in after
    assert b'"chat/openai"' not in after
