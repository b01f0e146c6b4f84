"""What was decided about a request can be read back."""

import dataclasses

import pytest
from msgspec.structs import replace

from gateway_runtime.contract.table import FallbackRule, Hedge, Route
from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.fake_provider import FakeProvider
from gateway_runtime.server.settings import GatewaySettings
from tests.contract.tables import build_target
from tests.server.rig import CHAT, CIRCUIT, provider, route, serving, settings, table

IN_ORDER = tuple(build_target(name, priority=place) for place, name in enumerate(("openai", "azure")))


def debugging(*, access_log: bool = False) -> GatewaySettings:
    return dataclasses.replace(settings(access_log=access_log), debug_headers=True)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_tells_its_decisions_in_their_order(
    fake: FakeProvider, other_fake: FakeProvider, stream: bool
) -> None:
    fake.script = FakeScript(failing=True)
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    async with serving(table(*providers, routes=[route(targets=IN_ORDER)]), debugging()) as rig:
        answer = await rig.ask({**CHAT, "stream": stream})

    assert answer.headers["x-headgate-decisions"] == (
        "chat/openai/e0 chosen: Weighted; chat/openai/e0 failed: 503 from upstream, next attempt; "
        "chat/azure/e0 chosen: Weighted"
    )


async def test_nobody_is_told_without_the_switch(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url))) as rig:
        answer = await rig.ask()

    assert "x-headgate-decisions" not in answer.headers


async def test_an_error_tells_them_too(fake: FakeProvider) -> None:
    fake.script = FakeScript(failing=True)
    fragile = replace(CIRCUIT, consecutive_failures=1)
    lone = route(max_attempts=1)
    async with serving(table(provider(fake.url, circuit=fragile), routes=[lone]), debugging()) as rig:
        failed, refused = await rig.ask(), await rig.ask()

    assert failed.headers["x-headgate-decisions"] == (
        "chat/openai/e0 chosen: Weighted; no retry: all 1 attempts are made"
    )
    assert refused.headers["x-headgate-decisions"] == "chat/openai/e0 skipped: circuit open"


async def test_credentials_fallbacks_and_hedges_are_told(
    fake: FakeProvider, other_fake: FakeProvider
) -> None:
    def told(*targets: str, **fields: object) -> Route:
        base = route(targets=[build_target(name) for name in targets], max_attempts=1)
        return replace(base, **fields)

    fake.script = FakeScript(keys=("good",))
    other_fake.script = FakeScript(status=404)
    providers = [
        provider(fake.url, name="slow", keys=["bad", "good"]),
        provider(other_fake.url, name="azure"),
    ]
    routes = [
        told("azure", models=("gpt",), fallbacks=(FallbackRule(model="claude"),)),
        told("slow", "azure", id="chat/claude", models=("claude",), hedge=Hedge(after_s=0.02, max_extra=1)),
    ]
    async with serving(table(*providers, routes=routes), debugging()) as rig:
        answer = await rig.ask()
        fake.script = FakeScript(latency_s=0.08)
        hedged = await rig.ask({**CHAT, "model": "claude"})

    assert answer.headers["x-headgate-decisions"] == (
        "chat/azure/e0 chosen: Weighted; no retry: all 1 attempts are made; fallback to model claude: "
        "Unsuitable; chat/slow/e0 chosen: Weighted; chat/slow/e0 again: key-0 refused with 401, next "
        "credential; chat/slow/e0 chosen: Weighted"
    )
    assert hedged.headers["x-headgate-decisions"] == (
        "chat/slow/e0 chosen: Weighted; chat/azure/e0 hedged: no answer after 0.02 s; "
        "chat/azure/e0 chosen: Weighted"
    )


async def test_the_access_log_has_them_in_one_line(
    fake: FakeProvider, other_fake: FakeProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.script = FakeScript(failing=True)
    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    logged = settings(access_log=True)
    async with serving(table(*providers, routes=[route(targets=IN_ORDER)]), logged) as rig:
        answer = await rig.ask()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "request_id=" in line]

    assert "x-headgate-decisions" not in answer.headers
    assert (
        "decisions=('chat/openai/e0 chosen: Weighted', 'chat/openai/e0 failed: 503 from upstream, "
        "next attempt', 'chat/azure/e0 chosen: Weighted')"
    ) in line
