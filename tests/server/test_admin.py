"""The admin port, and that no secret comes out of it, nor out of anything else."""

import pytest
from aiohttp import web

from gateway_runtime.contract.keys import hash_key
from gateway_runtime.contract.tenant import Limit
from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.fake_provider import FakeProvider
from tests.server.rig import (
    CHAT,
    DEAD_URL,
    KEY,
    SALT,
    UPSTREAM_KEY,
    provider,
    route,
    serving,
    settings,
    table,
    tenant,
)


async def test_health_and_readiness_are_two_things(fake: FakeProvider) -> None:
    async with serving() as rig:
        alive, ready = await rig.look("/healthz"), await rig.look("/readyz")
        await rig.apply(table(provider(fake.url)))
        then = await rig.look("/readyz")

    assert (alive.status, alive.json) == (200, {"alive": True})
    assert (ready.status, ready.json) == (503, {"ready": False, "reason": "no routing table yet"})
    assert (then.status, then.json) == (200, {"ready": True})


async def test_the_table_and_its_live_state_can_be_read(fake: FakeProvider) -> None:
    limited = tenant(limits=[Limit(name="rpm", amount=10, window_s=60)])
    async with serving(table(provider(fake.url), tenants=[limited])) as rig:
        await rig.ask()
        shown = (await rig.look("/debug/table")).json

    (shown_provider,), (shown_tenant,) = shown["providers"], shown["tenants"]
    assert (shown["version"], shown["counts"]) == ("0.1", {"providers": 1, "routes": 1, "tenants": 1})
    assert shown["routes"][0]["models"] == ["gpt"]
    assert shown_provider["credentials"] == ["key-0"]
    assert shown_provider["endpoints"][0]["url"] == fake.url
    assert shown_provider["endpoints"][0]["state"]["requests"] == 1
    assert shown_tenant["limits"] == [{"name": "rpm", "amount_here": 10, "used_here": 1}]
    assert shown_tenant["keys"] == 1


async def test_metrics_count_requests_errors_and_attempts(fake: FakeProvider) -> None:
    async with serving(table(provider(DEAD_URL, fake.url), routes=[route(max_attempts=2)])) as rig:
        for _ in range(3):
            await rig.ask()
        await rig.ask({**CHAT, "model": "never-heard-of"})
        metrics = (await rig.look("/metrics")).body.decode()

    assert 'headgate_requests_total{route="chat/route",status="2xx"} 3.0' in metrics
    assert 'headgate_requests_total{route="",status="4xx"} 1.0' in metrics
    assert 'headgate_errors_total{code="HG1003"} 1.0' in metrics
    assert 'headgate_attempts_total{outcome="ok",provider="chat/openai"} 3.0' in metrics
    assert 'headgate_request_duration_seconds_count{route="chat/route"} 3.0' in metrics
    assert 'headgate_time_to_first_byte_seconds_count{route="chat/route"} 3.0' in metrics
    assert "headgate_table_sequence 1.0" in metrics
    assert "never-heard-of" not in metrics


async def test_an_embedding_process_may_show_its_own_pages() -> None:
    async def show(_: web.Request) -> web.Response:
        return web.Response(text="mine")

    async with serving(admin_routes=[web.get("/status", show)]) as rig:
        answer = await rig.look("/status")

    assert answer.body == b"mine"


async def test_planted_keys_are_nowhere_to_be_found(
    fake: FakeProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through good and bad requests, refused credentials, open circuits and a bug-free shutdown."""
    said = []
    chosen = settings(access_log=True)
    async with serving(table(provider(fake.url, DEAD_URL)), chosen) as rig:
        for script in (
            FakeScript(),
            FakeScript(keys=("x",)),
            FakeScript(failing=True),
            FakeScript(garbage=True),
        ):
            fake.script = script
            for body in (CHAT, {**CHAT, "stream": True}, {"model": "gpt-9"}):
                answer = await rig.ask(body)
                said += [answer.body.decode(), str(answer.headers)]
        said += [(await rig.look(path)).body.decode() for path in ("/metrics", "/debug/table", "/readyz")]
    said += capsys.readouterr()

    everything = "\n".join(said)
    assert "credential refused" in everything
    for secret in (UPSTREAM_KEY, KEY, hash_key(KEY, SALT)):
        assert secret not in everything
