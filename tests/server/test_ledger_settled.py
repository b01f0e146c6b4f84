"""What the ledger adds up to is what limits were charged: whatever became of each request."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest
from msgspec.structs import replace

from gateway_runtime.contract.table import RoutingTable
from gateway_runtime.contract.tenant import Limit
from gateway_runtime.ledger.row import UsageRow
from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.fake_provider import FakeProvider
from tests.contract.tables import build_target
from tests.server.ledgers import PRICED, read_rows, with_ledger
from tests.server.nativeupstream import speaking
from tests.server.rawupstream import STREAM_HEAD, RawUpstream, answering, chunk, raw_upstream, saying
from tests.server.rig import CHAT, CIRCUIT, KEY, Rig, provider, route, serving, sse, table, tenant
from tests.upstream.scripted import wait_until

LIMITS = (
    Limit(name="in", amount=10**9, window_s=600.0, resource="InputTokens"),
    Limit(name="out", amount=10**9, window_s=600.0, resource="OutputTokens"),
    Limit(name="usd", amount=10**15, window_s=600.0, resource="USD"),
)
ASKED = {**CHAT, "max_tokens": 50}
SILENT = b'{"id":"a","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"}}]}'
EVENT = '{"choices":[{"index":0,"delta":{"content":"Hi"}}]}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "usage.db"


def limited(*urls: str) -> RoutingTable:
    names = ("openai", "azure")[: len(urls)]
    patient = replace(CIRCUIT, consecutive_failures=1000)
    providers = [
        provider(url, name=name, models=[PRICED], circuit=patient)
        for url, name in zip(urls, names, strict=True)
    ]
    targets = [build_target(name, priority=at) for at, name in enumerate(names)]
    return table(*providers, routes=[route(targets=targets)], tenants=[tenant(limits=LIMITS)])


def read_settled(rig: Rig) -> tuple[int, ...]:
    """What the limits were charged for requests that have ended."""
    running = rig.gateway._reloader.running
    assert running is not None
    state = rig.gateway._state
    states = [one.state(state.clock.now()) for one in state.limits_of(running.live.table.tenants[0])]
    assert [one.held for one in states] == [0, 0, 0]
    return tuple(one.used for one in states)


def add_up(rows: Sequence[UsageRow]) -> tuple[int, ...]:
    return (
        sum(row.input_tokens or 0 for row in rows),
        sum(row.output_tokens or 0 for row in rows),
        sum(row.cost_usd_picos or 0 for row in rows),
    )


async def leave_stream(rig: Rig) -> None:
    """After its first event."""
    headers = {"authorization": f"Bearer {KEY}"}
    async with rig.session.post(
        f"{rig.url}/v1/chat/completions", json={**ASKED, "stream": True}, headers=headers
    ) as answer:
        await answer.content.readany()
    await rig.gateway._front.idle.wait()


async def stall(upstream: RawUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Three events, and then nothing more."""
    writer.write(STREAM_HEAD + chunk(sse(EVENT) * 3))
    await writer.drain()
    await reader.read()


async def test_a_stream_that_is_left_before_its_usage_is_estimated_in_both(path: Path) -> None:
    async with raw_upstream(stall) as upstream, serving(limited(upstream.url), with_ledger(path)) as rig:
        await leave_stream(rig)
        settled = read_settled(rig)
    (row,) = read_rows(path)

    assert (row.end, row.estimated, row.output_tokens) == ("left", True, 3)
    assert 0 < (row.input_tokens or 0) < 50
    assert row.cost_usd_picos == (row.input_tokens or 0) * 150_000 + 3 * 600_000
    assert settled == add_up([row])


async def test_without_limits_the_estimate_is_the_same(path: Path) -> None:
    async with raw_upstream(stall) as upstream:
        async with serving(limited(upstream.url), with_ledger(path)) as rig:
            await leave_stream(rig)
        free = replace(limited(upstream.url), tenants=(tenant(),))
        async with serving(free, with_ledger(path)) as rig:
            await leave_stream(rig)
    one, other = read_rows(path)

    assert (one.output_tokens, one.estimated) == (other.output_tokens, other.estimated)
    assert abs((one.input_tokens or 0) - (other.input_tokens or 0)) <= 10  # the limit adds `max_tokens`


@pytest.mark.parametrize("is_limited", [True, False])
async def test_an_answer_without_usage_is_estimated_in_both(path: Path, is_limited: bool) -> None:
    async with raw_upstream(answering(SILENT)) as upstream:
        made = limited(upstream.url)
        made = made if is_limited else replace(made, tenants=(tenant(),))
        async with serving(made, with_ledger(path)) as rig:
            answers = [await rig.ask(ASKED) for _ in range(2)]
            settled = read_settled(rig) if is_limited else None
    rows = read_rows(path)

    assert [answer.status for answer in answers] == [200, 200]
    assert all("x-headgate-cost-usd" not in answer.headers for answer in answers)
    assert [(row.end, row.estimated, row.output_tokens) for row in rows] == [("answered", True, 0)] * 2
    assert rows[0].input_tokens == rows[1].input_tokens
    assert settled in (None, add_up(rows))


async def test_what_a_broken_attempt_told_is_added_to_the_estimate_of_the_next(path: Path) -> None:
    told = b'{"id":"a","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":1,"total_tokens":0}}'
    broken = told.replace(b'"choices"', b'"error":{"message":"overloaded","code":529},"choices"')
    event = sse(broken.decode())
    async with (
        raw_upstream(saying(STREAM_HEAD, chunk(event))) as upstream,
        raw_upstream(stall) as other,
        serving(limited(upstream.url, other.url), with_ledger(path)) as rig,
    ):
        await leave_stream(rig)
        settled = read_settled(rig)
    (row,) = read_rows(path)

    assert (row.attempts, row.provider, row.estimated) == (2, "chat/azure", True)
    assert settled == add_up([row])


async def test_counting_tokens_is_free_in_both(path: Path) -> None:
    async with raw_upstream(answering(b'{"input_tokens":5}')) as upstream:
        made = table(
            speaking("anthropic", upstream.url),
            routes=[route(targets=[build_target("anthropic")])],
            tenants=[tenant(limits=LIMITS[:2])],
        )
        async with serving(made, with_ledger(path)) as rig:
            await rig.ask(ASKED, path="/v1/messages/count_tokens")
            running = rig.gateway._reloader.running
            assert running is not None
            used = [one.used(0.0) for one in rig.gateway._state.limits_of(running.live.table.tenants[0])]
    (row,) = read_rows(path)

    assert (row.input_tokens, row.output_tokens, row.estimated) == (0, 0, False)
    assert used == [0, 0]


async def test_whatever_becomes_of_requests_the_sums_are_the_same(path: Path, fake: FakeProvider) -> None:
    scripts = [
        FakeScript(answer="one two three"),
        FakeScript(status=400),
        FakeScript(failing=True),
        FakeScript(garbage=True),
        FakeScript(cut_after_chunks=2, answer="one two three four five"),
        FakeScript(latency_s=30.0),
    ]
    async with serving(limited(fake.url), with_ledger(path)) as rig:
        for script in scripts:
            fake.script = script
            for body in (ASKED, {**ASKED, "stream": True}):
                asking = asyncio.create_task(rig.ask(body))
                if script.latency_s:
                    await wait_until(lambda: fake.seen.under_way > 0)
                    asking.cancel()
                outcome = (await asyncio.gather(asking, return_exceptions=True))[0]
                assert not isinstance(outcome, Exception) or isinstance(outcome, aiohttp.ClientError)
                await rig.gateway._front.idle.wait()
                await wait_until(lambda: fake.seen.under_way == 0)
        settled = read_settled(rig)
    rows = read_rows(path)

    assert len(rows) == 2 * len(scripts)
    assert {row.end for row in rows} == {"answered", "refused", "failed", "broke-off", "left"}
    assert settled == add_up(rows)
    assert all(amount > 0 for amount in settled)
