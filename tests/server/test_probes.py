"""Active probes: what makes an endpoint healthy, and what health does to traffic."""

import asyncio

import msgspec
import pytest

from gateway_runtime.contract.health import EndpointReport
from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.fake_provider import FakeProvider
from gateway_runtime.server.probe import Probed, Tally
from tests.server.rawupstream import RawUpstream, Script, answering, raw_upstream, saying
from tests.server.rig import DEAD_URL, PROBE, Rig, provider, route, serving, table

GOOD, BAD = Probed(good=True, definite=False, reason=""), Probed(good=False, definite=False, reason="down")
RARELY = msgspec.structs.replace(PROBE, interval_s=300.0)


async def wait_for_health(rig: Rig, endpoint: str, health: str) -> EndpointReport:
    async for report in rig.gateway.watch_health():
        for known in report.endpoints:
            if (known.endpoint, known.health) == (endpoint, health):
                return known
    raise AssertionError("reports are endless")


def test_the_first_result_decides_and_later_ones_in_a_row() -> None:
    tally = Tally(PROBE)

    assert [tally.add(probed) for probed in (GOOD, BAD, GOOD, BAD, BAD, GOOD, GOOD)] == [
        "Healthy",
        None,
        None,
        None,
        "Unhealthy",
        None,
        "Healthy",
    ]


@pytest.mark.parametrize(
    "status", ["200 OK", "404 Not Found", "405 Method Not Allowed", "429 Too Many Requests"]
)
async def test_an_endpoint_that_answers_is_healthy(status: str) -> None:
    async with (
        raw_upstream(answering(b"{}", status)) as upstream,
        serving(table(provider(upstream.url, probe=RARELY))) as rig,
    ):
        report = await wait_for_health(rig, "chat/openai/e0", "Healthy")

    assert report.reason == ""


async def silence(upstream: RawUpstream, _: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await upstream.release.wait()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (answering(b"", "503 Service Unavailable"), "probe failed: 503 from upstream"),
        (answering(b"", "401 Unauthorized"), 'credential "key-0" refused (401)'),
        (answering(b"", "403 Forbidden"), 'credential "key-0" refused (403)'),
        (saying(b"garbage\r\n\r\n"), "probe failed: the answer is not HTTP"),
        (saying(), "probe failed: the connection was closed before an answer came"),
        (silence, "probe failed: no answer within 0.05 s"),
    ],
)
async def test_an_endpoint_that_cannot_serve_us_is_unhealthy_and_says_why(
    script: Script, reason: str
) -> None:
    probe = msgspec.structs.replace(RARELY, timeout_s=0.05)
    async with raw_upstream(script) as upstream, serving(table(provider(upstream.url, probe=probe))) as rig:
        report = await wait_for_health(rig, "chat/openai/e0", "Unhealthy")

    assert report.reason == reason


async def test_a_second_credential_keeps_an_endpoint_healthy_and_the_first_is_named(
    fake: FakeProvider,
) -> None:
    fake.script = FakeScript(keys=("new",))
    async with serving(table(provider(fake.url, keys=["old", "new"], probe=RARELY))) as rig:
        report = await wait_for_health(rig, "chat/openai/e0", "Healthy")

    assert report.reason == 'credential "key-0" refused (401)'


async def test_an_endpoint_recovers_after_enough_good_probes(fake: FakeProvider) -> None:
    fake.script = FakeScript(failing=True)
    async with serving(table(provider(fake.url, probe=PROBE))) as rig:
        await wait_for_health(rig, "chat/openai/e0", "Unhealthy")
        fake.script = FakeScript()
        report = await wait_for_health(rig, "chat/openai/e0", "Healthy")

    assert report.reason == ""


async def test_an_unhealthy_endpoint_is_the_last_resort_and_not_refused(fake: FakeProvider) -> None:
    async with raw_upstream(answering(b'{"from":"doubtful"}', "503 Service Unavailable")) as doubtful:
        providers = [provider(doubtful.url, fake.url, probe=RARELY)]
        async with serving(table(*providers, routes=[route(max_attempts=1)])) as rig:
            await wait_for_health(rig, "chat/openai/e0", "Unhealthy")
            answers = [(await rig.ask()).status for _ in range(6)]

    assert answers == [200] * 6


async def test_a_new_url_is_probed_at_once(fake: FakeProvider) -> None:
    async with serving(table(provider(DEAD_URL, probe=RARELY))) as rig:
        await wait_for_health(rig, "chat/openai/e0", "Unhealthy")
        await rig.apply(table(provider(fake.url, probe=RARELY)))
        await wait_for_health(rig, "chat/openai/e0", "Healthy")

    assert fake.seen.probes == 1


async def test_a_reload_that_changes_nothing_of_an_endpoint_does_not_probe_it_again(
    fake: FakeProvider,
) -> None:
    async with serving(table(provider(fake.url, probe=RARELY))) as rig:
        await wait_for_health(rig, "chat/openai/e0", "Healthy")
        for number in range(5):
            await rig.apply(table(provider(fake.url, probe=RARELY), routes=[route("gpt", f"m{number}")]))
            await rig.ask()

    assert fake.seen.probes == 1


async def test_without_a_probe_health_is_unknown(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url, probe=RARELY))) as rig:
        await wait_for_health(rig, "chat/openai/e0", "Healthy")
        await rig.apply(table(provider(fake.url, probe=None)))
        (report,) = rig.gateway.reports()

    assert report.health == "Unknown"


async def test_five_hundred_endpoints_are_probed_with_bounded_haste(fake: FakeProvider) -> None:
    most = 0

    async def count(
        upstream: RawUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal most, under_way
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        await answering(b"{}")(upstream, reader, writer)

    under_way = 0
    async with (
        raw_upstream(count) as upstream,
        serving(table(provider(*[upstream.url] * 500, probe=RARELY))) as rig,
    ):
        async for _ in rig.gateway.watch_health():
            if all(report.health == "Healthy" for report in rig.gateway.reports()):
                break

    assert upstream.requests == 500
    assert most <= 32
