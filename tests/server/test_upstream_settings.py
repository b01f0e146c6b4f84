"""What a provider says about the way to it, from the table to the socket: TLS of its own, and bounds."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from gateway_runtime.contract.errors import ErrorCode
from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.stream import Fault, Nack
from gateway_runtime.contract.table import ActiveProbe, Provider, ProviderTls, UpstreamLimits
from gateway_runtime.server.fake_provider import FakeProvider
from gateway_runtime.upstream.answer import Answer
from gateway_runtime.upstream.exchange import UpstreamFailure, UpstreamRequest
from gateway_runtime.upstream.transport import PooledTransport
from gateway_runtime.upstream.trust import DEFAULT_TLS, TlsSettings
from tests.contract.tables import build_target
from tests.server.rawupstream import RawUpstream, answering, raw_upstream
from tests.server.rig import PROBE, Rig, provider, route, serving, table
from tests.upstream.certificates import Authority, Pair
from tests.upstream.scripted import Heard, scripted, wait_for_queue, wait_until

AUTHORITY = Authority()
NAME = "vllm.example"
OURS, RENEWED = AUTHORITY.issue("gateway.example"), AUTHORITY.issue("gateway.example")
FEW = UpstreamLimits(max_in_flight=1, max_queue=0)


def tls_with(pair: Pair | None) -> ProviderTls:
    return ProviderTls(
        ca=AUTHORITY.pem.decode(),
        certificate=None if pair is None else pair.certificate.decode(),
        key=None if pair is None else pair.key,
        server_name=NAME,
    )


def with_tls(url: str, pair: Pair | None, probe: ActiveProbe | None = None) -> Provider:
    return msgspec.structs.replace(provider(url, probe=probe), tls=tls_with(pair))


def bounded(*urls: str, limits: UpstreamLimits = FEW) -> Provider:
    return msgspec.structs.replace(provider(*urls), limits=limits)


class CountingTransport(PooledTransport):
    failed = 0
    """Requests without an answer."""

    async def send(
        self,
        request: UpstreamRequest,
        connected: Callable[[], None],
        tls: TlsSettings = DEFAULT_TLS,
        *,
        again: bool = False,
    ) -> Answer:
        try:
            return await super().send(request, connected, tls, again=again)
        except UpstreamFailure:
            self.failed += 1
            raise


@asynccontextmanager
async def demanding(folder: Path) -> AsyncIterator[Heard]:
    """A provider that only answers to a certificate of the authority."""
    async with scripted(answering(b"{}"), AUTHORITY.build_server(folder, NAME, wants_client=True)) as heard:
        yield heard


async def when_released(upstream: RawUpstream, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers each request once the test says so."""
    await upstream.release.wait()
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")


@asynccontextmanager
async def one_under_way(rig: Rig, upstream: RawUpstream) -> AsyncIterator[None]:
    """A request that has reached the upstream and ends behind the block."""
    first = asyncio.create_task(rig.ask())
    await upstream.reached.wait()
    try:
        yield
    finally:
        upstream.release.set()
        assert (await first).status == 200


async def test_a_provider_that_wants_our_certificate_is_served(tmp_path: Path) -> None:
    async with demanding(tmp_path) as upstream, serving(table(with_tls(upstream.url, OURS))) as rig:
        answers = [await rig.ask() for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 200]
    assert upstream.connections == 1


async def test_without_our_certificate_it_gives_no_answer(tmp_path: Path) -> None:
    async with demanding(tmp_path) as upstream, serving(table(with_tls(upstream.url, None))) as rig:
        answer = await rig.ask()

    assert (answer.status, answer.error["code"]) == (502, "upstream_unreachable")


async def test_its_probe_shows_the_certificate_too_and_the_request_goes_on_the_same_connection(
    tmp_path: Path,
) -> None:
    rarely = msgspec.structs.replace(PROBE, interval_s=300.0)
    async with demanding(tmp_path) as upstream, serving(table(with_tls(upstream.url, OURS, rarely))) as rig:
        await wait_until(lambda: rig.gateway.reports()[0].health == "Healthy")
        answer = await rig.ask()

    assert (answer.status, upstream.connections) == (200, 1)


async def test_a_renewed_certificate_is_shown_at_once_and_the_old_connection_goes(tmp_path: Path) -> None:
    async with demanding(tmp_path) as upstream, serving(table(with_tls(upstream.url, OURS))) as rig:
        before = await rig.ask()
        await rig.apply(table(with_tls(upstream.url, RENEWED)))
        await upstream.wait_for_ends(1)
        after = await rig.ask()

    assert (before.status, after.status, upstream.connections) == (200, 200, 2)


async def test_tls_that_openssl_refuses_is_found_before_the_table_serves(tmp_path: Path) -> None:
    wrong = Pair(OURS.certificate, RENEWED.key)
    async with demanding(tmp_path) as upstream, serving(table(with_tls(upstream.url, OURS))) as rig:
        refused = await rig.gateway.apply_table(table(with_tls(upstream.url, wrong)))
        answer = await rig.ask()

    assert isinstance(refused, Nack)
    assert refused.faults == (
        Fault(
            resource="Provider/chat/openai",
            message="the TLS settings cannot be used: its certificate and its key are not PEM or no pair, "
            "or the key is encrypted",
        ),
    )
    assert answer.status == 200


async def test_the_private_key_is_shown_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = Pair(OURS.certificate, Secret(f"{OURS.key.reveal()}x"))
    async with demanding(tmp_path) as upstream, serving(table(with_tls(upstream.url, OURS))) as rig:
        await rig.ask()
        await rig.gateway.apply_table(table(with_tls(upstream.url, broken)))
        shown = [(await rig.look(path)).body.decode() for path in ("/debug/table", "/metrics")]

    for line in OURS.key.reveal().splitlines():
        assert line not in "".join(shown) + capsys.readouterr().out


async def test_an_endpoint_that_leaves_the_table_loses_its_idle_connections(fake: FakeProvider) -> None:
    async with scripted(answering(b"{}")) as upstream, serving(table(provider(upstream.url))) as rig:
        await rig.ask()
        await rig.apply(table(provider(fake.url)))
        await upstream.wait_for_ends(1)

    assert upstream.connections == 1


async def test_one_that_stays_keeps_them_over_a_reload() -> None:
    async with scripted(answering(b"{}")) as upstream, serving(table(provider(upstream.url))) as rig:
        await rig.ask()
        await rig.apply(table(provider(upstream.url), routes=[route("gpt", "o1")]))
        await rig.ask()

    assert upstream.connections == 1


async def test_beyond_its_bound_an_endpoint_is_503_and_we_say_that_it_is_ours() -> None:
    async with (
        raw_upstream(when_released) as upstream,
        serving(table(bounded(upstream.url), routes=[route(max_attempts=1)])) as rig,
        one_under_way(rig, upstream),
    ):
        answer = await rig.ask()
        report = rig.gateway.reports()[0]

    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.error["headgate"] == ErrorCode.OVERLOADED.id
    assert answer.error["message"] == (
        "Endpoint chat/openai/e0 gets no more requests from this gateway for now: its limits allow no more "
        "than the 1 under way and the 0 that wait; 1 attempt was made. Try again in a moment; if it "
        "stays so, the limits of its provider are too low or it needs more endpoints."
    )
    assert (report.circuit, report.failures) == ("Closed", 0)


async def test_another_endpoint_takes_what_the_first_has_no_room_for(fake: FakeProvider) -> None:
    targets = [build_target("openai", priority=0), build_target("azure", priority=1)]
    async with raw_upstream(when_released) as upstream:
        providers = [bounded(upstream.url), provider(fake.url, name="azure")]
        async with (
            serving(table(*providers, routes=[route(targets=targets)])) as rig,
            one_under_way(rig, upstream),
        ):
            answer = await rig.ask()

    assert (answer.status, answer.headers["x-headgate-provider"]) == (200, "chat/azure")


async def test_new_limits_let_those_go_on_who_wait() -> None:
    waiting = UpstreamLimits(max_in_flight=1, max_queue=1, queue_s=5.0)
    transport = PooledTransport()
    async with (
        raw_upstream(when_released) as upstream,
        serving(table(bounded(upstream.url, limits=waiting)), transport=transport) as rig,
        one_under_way(rig, upstream),
    ):
        second = asyncio.create_task(rig.ask())
        await wait_for_queue(transport, 1)
        await rig.apply(table(bounded(upstream.url, limits=UpstreamLimits())))
        await wait_until(lambda: upstream.requests == 2)
        upstream.release.set()
        answer = await second

    assert answer.status == 200


async def test_a_probe_that_finds_the_endpoint_full_says_nothing_of_its_health() -> None:
    one = UpstreamLimits(max_in_flight=1)
    often = msgspec.structs.replace(PROBE, unhealthy_after=1)
    transport = CountingTransport()
    async with (
        raw_upstream(when_released) as upstream,
        serving(table(bounded(upstream.url, limits=one)), transport=transport) as rig,
    ):
        async with one_under_way(rig, upstream):
            await rig.apply(table(msgspec.structs.replace(bounded(upstream.url, limits=one), probe=often)))
            await wait_until(lambda: transport.failed >= 3)
            during = rig.gateway.reports()[0].health
        await wait_until(lambda: rig.gateway.reports()[0].health == "Healthy")

    assert during == "Unknown"


async def test_connections_are_counted_by_place() -> None:
    async with (
        raw_upstream(when_released) as upstream,
        serving(table(bounded(upstream.url))) as rig,
    ):
        async with one_under_way(rig, upstream):
            during = await read_upstream_metrics(rig)
        after = await read_upstream_metrics(rig)
        await rig.apply(table(provider("http://127.0.0.1:1/v1")))
        left = await read_upstream_metrics(rig)

    place = upstream.url.removesuffix("/v1")
    assert during == [
        f'headgate_upstream_connections{{place="{place}",state="idle"}} 0.0',
        f'headgate_upstream_connections{{place="{place}",state="busy"}} 1.0',
        f'headgate_upstream_queue_length{{place="{place}"}} 0.0',
        f'headgate_upstream_queue_seconds_total{{place="{place}"}} 0.0',
        f'headgate_upstream_connections_opened_total{{place="{place}"}} 1.0',
    ]
    assert after[:2] == [
        f'headgate_upstream_connections{{place="{place}",state="idle"}} 1.0',
        f'headgate_upstream_connections{{place="{place}",state="busy"}} 0.0',
    ]
    assert left == []


async def test_providers_that_share_a_place_are_one_there(tmp_path: Path) -> None:
    async with demanding(tmp_path) as upstream:
        other = msgspec.structs.replace(provider(upstream.url, name="azure"), tls=tls_with(RENEWED))
        routes = [route("gpt"), route("o1", name="other", targets=[build_target("azure")])]
        async with serving(table(with_tls(upstream.url, OURS), other, routes=routes)) as rig:
            for model in ("gpt", "o1"):
                await rig.ask({"model": model, "messages": []})
            lines = await read_upstream_metrics(rig)

    place = upstream.url.removesuffix("/v1")
    assert lines[-1] == f'headgate_upstream_connections_opened_total{{place="{place}"}} 2.0'
    assert len(lines) == 5


async def read_upstream_metrics(rig: Rig) -> list[str]:
    text = (await rig.look("/metrics")).body.decode()
    return [line for line in text.splitlines() if line.startswith("headgate_upstream_")]
