"""Every request that reached a provider leaves one row, however it was served and however it ended; and its
cost is told.
"""

import asyncio
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway_runtime.contract.keys import hash_key
from gateway_runtime.contract.table import FallbackRule, Model, Provider
from gateway_runtime.ledger.row import LARGEST, UsageRow
from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.providers.operations import MESSAGES
from gateway_runtime.server.fake_provider import FakeProvider
from tests.contract.tables import build_target
from tests.server.ledgers import PRICED, count_rows, read_rows, with_ledger
from tests.server.nativeupstream import speaking
from tests.server.rawupstream import STREAM_HEAD, RawUpstream, answering, chunk, raw_upstream, saying
from tests.server.rig import CHAT, KEY, SALT, Rig, provider, route, serving, sse, table, tenant
from tests.server.test_express import BODY, EXPRESS, ORDINARY, Ways, build, in_turn, warm
from tests.server.test_express import ways as ways  # a fixture
from tests.upstream.scripted import scripted, wait_until

STREAM = {**CHAT, "stream": True}
THREE_WORDS = FakeScript(answer="one two three")
COST = 1 * 150_000 + 3 * 600_000
"""Of a prompt of one token and an answer of three."""
BOTH = (build_target("openai", priority=0), build_target("azure", priority=1))
TOLD = b'{"id":"a","choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":0}}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "usage.db"


def priced(url: str, name: str = "openai") -> Provider:
    return provider(url, name=name, models=[PRICED])


def unlike_twins(row: UsageRow) -> UsageRow:
    """Without what differs from request to request."""
    return replace_row(row, request_id="", ended_unix_ms=0, duration_ms=0, first_token_ms=0)


def replace_row(row: UsageRow, **members: object) -> UsageRow:
    changed: UsageRow = replace(row, **members)
    return changed


async def test_a_row_tells_all_that_is_known_of_its_request(path: Path, fake: FakeProvider) -> None:
    fake.script = THREE_WORDS
    began_ms = time.time() * 1000
    async with serving(table(priced(fake.url)), with_ledger(path)) as rig:
        answer = await rig.ask({**CHAT, "user": "alice"})
    (row,) = read_rows(path)

    assert answer.headers["x-headgate-cost-usd"] == "0.00000195"
    assert began_ms - 1 <= row.ended_unix_ms <= time.time() * 1000
    assert 0 <= (row.first_token_ms or 0) <= row.duration_ms < 10_000
    assert replace_row(row, ended_unix_ms=0, duration_ms=0, first_token_ms=0) == UsageRow(
        request_id=answer.headers["x-headgate-request-id"],
        ended_unix_ms=0,
        tenant="chat/team",
        user="alice",
        key_id=hash_key(KEY, SALT)[:12],
        route="chat/route",
        provider="chat/openai",
        model="gpt",
        upstream_model="up-1",
        operation="/v1/chat/completions",
        status=200,
        error=None,
        stream=False,
        input_tokens=1,
        output_tokens=3,
        cached_tokens=0,
        cache_write_tokens=0,
        reasoning_tokens=0,
        cost_usd_picos=COST,
        priced=True,
        estimated=False,
        duration_ms=0,
        first_token_ms=0,
        attempts=1,
        fallback=None,
        end="answered",
        tags=None,
        input_usd_picos=150_000,
        output_usd_picos=600_000,
    )


async def test_without_a_task_row_and_header_are_the_same(ways: Ways, path: Path, fake: FakeProvider) -> None:
    fake.script = THREE_WORDS
    body = BODY[:-1] + b',"safety_identifier":"bob"}'
    async with warm(table(priced(fake.url)), ways, with_ledger(path), body) as (_, caller):
        express = await caller.ask(body)
        taken = [Ways(ways.rides, ways.tasks)]
        ways.forget()
        ordinary = await caller.ask_in_pieces(body)
        taken.append(ways)
    _, one, other = read_rows(path)

    assert taken == [EXPRESS, ORDINARY]
    assert unlike_twins(one) == unlike_twins(other)
    assert (one.user, one.cost_usd_picos, one.key_id) == ("bob", COST - 150_000, hash_key(KEY, SALT)[:12])
    assert express.headers["x-headgate-cost-usd"] == ordinary.headers["x-headgate-cost-usd"] == "0.0000018"
    assert one.first_token_ms is not None


async def test_of_a_stream_the_row_has_what_its_end_told_and_the_head_tells_no_cost(
    path: Path, fake: FakeProvider
) -> None:
    fake.script = THREE_WORDS
    async with serving(table(priced(fake.url)), with_ledger(path)) as rig:
        answer = await rig.ask(STREAM)
    (row,) = read_rows(path)

    assert "x-headgate-cost-usd" not in answer.headers
    assert (row.stream, row.status, row.input_tokens, row.output_tokens) == (True, 200, 1, 3)
    assert (row.cost_usd_picos, row.priced, row.estimated) == (COST, True, False)
    assert (row.end, row.input_usd_picos, row.output_usd_picos) == ("answered", 150_000, 600_000)


async def test_without_a_price_the_row_says_so_and_the_header_is_absent(
    path: Path, fake: FakeProvider
) -> None:
    async with serving(table(provider(fake.url)), with_ledger(path)) as rig:
        answer = await rig.ask()
    (row,) = read_rows(path)

    assert "x-headgate-cost-usd" not in answer.headers
    assert (row.cost_usd_picos, row.priced, row.upstream_model) == (None, False, "gpt")
    assert row.output_tokens


async def test_the_models_known_price_counts_with_its_cached_tokens(path: Path) -> None:
    told = (
        b'{"id":"a","choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":10,'
        b'"prompt_tokens_details":{"cached_tokens":400}}}'
    )
    mini = Model(name="gpt", upstream_name="gpt-4o-mini")
    async with (
        raw_upstream(answering(told)) as upstream,
        serving(table(provider(upstream.url, models=[mini])), with_ledger(path)) as rig,
    ):
        answer = await rig.ask()
    (row,) = read_rows(path)

    assert (row.input_tokens, row.cached_tokens) == (1000, 400)
    assert row.cost_usd_picos == 600 * 150_000 + 400 * 75_000 + 10 * 600_000
    assert answer.headers["x-headgate-cost-usd"] == "0.000126"


async def test_an_anthropic_callers_row_has_its_user_and_its_path(path: Path, fake: FakeProvider) -> None:
    asked = {**CHAT, "max_tokens": 9, "metadata": {"user_id": "u-1"}}
    async with serving(table(priced(fake.url)), with_ledger(path)) as rig:
        answer = await rig.ask(asked, path=MESSAGES.path)
    (row,) = read_rows(path)

    assert answer.status == 200
    assert (row.operation, row.user) == ("/v1/messages", "u-1")
    assert answer.headers["x-headgate-cost-usd"]


async def test_counting_tokens_costs_nothing_and_is_not_a_riddle(path: Path) -> None:
    async with raw_upstream(answering(b'{"input_tokens":5}')) as upstream:
        made = table(speaking("anthropic", upstream.url), routes=[route(targets=[build_target("anthropic")])])
        async with serving(made, with_ledger(path)) as rig:
            await rig.ask({**CHAT, "max_tokens": 9}, path="/v1/messages/count_tokens")
    (row,) = read_rows(path)

    assert (row.operation, row.status) == ("/v1/messages/count_tokens", 200)
    assert (row.input_tokens, row.cost_usd_picos, row.priced) == (0, 0, True)


async def test_requests_that_no_provider_was_asked_leave_no_row(path: Path, fake: FakeProvider) -> None:
    async with serving(table(priced(fake.url)), with_ledger(path)) as rig:
        statuses = [
            (await rig.ask({**CHAT, "model": "unknown"})).status,
            (await rig.ask(key="wrong")).status,
            (await rig.ask(method="GET", path="/v1/models")).status,
            (await rig.ask(method="GET", path="/v1/usage")).status,
            (await rig.ask(path="/v1/nothing")).status,
        ]

    assert statuses == [404, 401, 200, 200, 404]
    assert read_rows(path) == []


async def test_a_failure_has_a_row_with_its_error_and_no_tokens(path: Path, fake: FakeProvider) -> None:
    fake.script = FakeScript(cut_after_chunks=0)
    async with serving(table(priced(fake.url)), with_ledger(path)) as rig:
        answer = await rig.ask()
    (row,) = read_rows(path)

    assert (row.status, row.attempts, row.end) == (answer.status, 3, "failed")
    assert row.error == answer.error["headgate"]
    assert (row.input_tokens, row.output_tokens, row.cost_usd_picos, row.priced) == (None, None, None, True)
    assert "x-headgate-cost-usd" not in answer.headers


async def test_a_refusal_of_the_provider_has_a_row_without_an_error_of_ours(
    path: Path, fake: FakeProvider
) -> None:
    fake.script = FakeScript(status=400)
    async with serving(table(priced(fake.url)), with_ledger(path)) as rig:
        await rig.ask()
    (row,) = read_rows(path)

    assert (row.status, row.error, row.input_tokens, row.end) == (400, None, None, "refused")


async def test_each_attempt_that_told_what_it_used_is_billed_at_its_own_price(path: Path) -> None:
    """The first breaks off after it has told so, the second answers."""
    broken = (TOLD % (10, 1)).replace(b'"choices"', b'"error":{"message":"overloaded","code":529},"choices"')
    dear = replace(PRICED, price=replace(PRICED.price, input_usd_picos=1_000_000))
    async with (
        raw_upstream(answering(broken)) as upstream,
        raw_upstream(answering(TOLD % (7, 2))) as other,
    ):
        first = provider(upstream.url, models=[dear])
        made = table(first, priced(other.url, "azure"), routes=[route(targets=BOTH)])
        async with serving(made, with_ledger(path)) as rig:
            answer = await rig.ask()
    (row,) = read_rows(path)

    assert (answer.status, row.provider, row.attempts) == (200, "chat/azure", 2)
    assert (row.input_tokens, row.output_tokens) == (17, 3)
    assert row.cost_usd_picos == (10 * 1_000_000 + 1 * 600_000) + (7 * 150_000 + 2 * 600_000)


async def test_a_fallback_is_named(path: Path, fake: FakeProvider, other_fake: FakeProvider) -> None:
    fake.script = FakeScript(failing=True)
    other = route("other", name="other", targets=[build_target("azure")])
    first = replace(route(max_attempts=1), fallbacks=(FallbackRule(model="other"),))
    made = table(priced(fake.url), priced(other_fake.url, "azure"), routes=[other, first])
    async with serving(made, with_ledger(path)) as rig:
        await rig.ask()
    (row,) = read_rows(path)

    assert (row.model, row.fallback, row.route, row.provider) == ("gpt", "other", "chat/route", "chat/azure")
    assert row.upstream_model == "other"
    assert not row.priced


async def test_of_a_stream_that_is_left_the_row_has_what_was_seen(path: Path) -> None:
    """Some providers tell their usage in every event."""
    event = '{"choices":[{}],"usage":{"prompt_tokens":7,"completion_tokens":2}}'

    async def stall(
        upstream: RawUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(STREAM_HEAD + chunk(sse(event)))
        await reader.read()

    headers = {"authorization": f"Bearer {KEY}"}
    async with (
        raw_upstream(stall) as upstream,
        serving(table(priced(upstream.url)), with_ledger(path)) as rig,
    ):
        async with rig.session.post(f"{rig.url}/v1/chat/completions", json=STREAM, headers=headers) as answer:
            await answer.content.readany()
        await wait_until(lambda: count_rows(path) == 1)
    (row,) = read_rows(path)

    assert (row.stream, row.status, row.error, row.end) == (True, 200, None, "left")
    assert not row.estimated
    assert (row.input_tokens, row.output_tokens) == (7, 2)
    assert row.cost_usd_picos == 7 * 150_000 + 2 * 600_000


async def test_of_a_stream_that_breaks_off_the_row_has_the_error_behind_its_200(path: Path) -> None:
    script = saying(STREAM_HEAD, chunk(sse('{"choices":[{}]}')), then_close=True)
    async with (
        raw_upstream(script) as upstream,
        serving(table(priced(upstream.url)), with_ledger(path)) as rig,
    ):
        await ask_and_ignore_the_end(rig)
    (row,) = read_rows(path)

    assert (row.status, row.error, row.end) == (200, "HG1016", "broke-off")
    assert (row.input_tokens, row.output_tokens, row.estimated) == (12, 1, True)


async def ask_and_ignore_the_end(rig: Rig) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    async with rig.session.post(f"{rig.url}/v1/chat/completions", json=STREAM, headers=headers) as answer:
        while not answer.content.at_eof() and answer.content.exception() is None:
            try:
                await answer.content.readany()
            except Exception:
                return


async def keep_silent(_: RawUpstream, reader: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize("in_pieces", [False, True])
async def test_a_caller_who_leaves_before_the_answer_has_a_row_of_499(
    ways: Ways, path: Path, in_pieces: bool
) -> None:
    script = in_turn(answering(TOLD % (1, 1)), keep_silent)
    async with (
        scripted(script) as upstream,
        warm(table(priced(upstream.url)), ways, with_ledger(path)) as (rig, caller),
    ):
        head, body = build()
        caller.writer.write(head if in_pieces else head + body)
        await wait_until(lambda: rig.gateway._front.under_way == 1)
        caller.writer.write(body if in_pieces else b"")
        await wait_until(lambda: upstream.requests == 2)
        caller.writer.transport.abort()
        await wait_until(lambda: count_rows(path) == 2)
    _, row = read_rows(path)

    assert ways == (ORDINARY if in_pieces else EXPRESS)
    assert (row.status, row.error, row.input_tokens, row.attempts) == (499, None, None, 1)
    assert row.end == "left"
    assert row.first_token_ms is None


async def test_a_cost_that_no_request_can_have_is_no_cost(path: Path) -> None:
    absurd = TOLD % (2**53 - 1, 2**53 - 1)
    async with (
        raw_upstream(answering(absurd)) as upstream,
        serving(table(priced(upstream.url)), with_ledger(path)) as rig,
    ):
        answer = await rig.ask()
    (row,) = read_rows(path)

    assert answer.status == 200
    assert LARGEST < (2**53 - 1) * 600_000
    assert (row.input_tokens, row.cost_usd_picos, row.priced) == (2**53 - 1, None, False)


async def test_requests_go_on_while_the_ledger_cannot_be_written_and_nothing_is_lost(
    path: Path, fake: FakeProvider
) -> None:
    await asyncio.to_thread(path.mkdir)  # a folder where the file should be
    async with serving(table(priced(fake.url)), with_ledger(path)) as rig:
        statuses = [(await rig.ask()).status for _ in range(3)]
        metrics = (await rig.look("/metrics")).body.decode()
        refused = await rig.ask(method="GET", path="/v1/usage")
        await asyncio.to_thread(path.rmdir)
        await wait_until(lambda: count_rows(path) == 3)
        after = (await rig.look("/metrics")).body.decode()

    assert statuses == [200, 200, 200]
    assert "headgate_ledger_waiting_rows 3.0" in metrics
    assert 'headgate_ledger_rows_total{result="written"} 0.0' in metrics
    assert (refused.status, refused.error["headgate"]) == (503, "HG1030")
    assert str(path) not in refused.error["message"]
    assert "headgate_ledger_waiting_rows 0.0" in after
    assert 'headgate_ledger_rows_total{result="written"} 3.0' in after
    assert 'headgate_ledger_rows_total{result="dropped"} 0.0' in after


async def test_without_a_ledger_the_cost_is_told_all_the_same(fake: FakeProvider) -> None:
    fake.script = THREE_WORDS
    async with serving(table(priced(fake.url))) as rig:
        answer = await rig.ask()
        metrics = (await rig.look("/metrics")).body.decode()

    assert answer.headers["x-headgate-cost-usd"] == "0.00000195"
    assert "headgate_ledger" not in metrics


async def test_an_anonymous_callers_row_has_no_key(path: Path, fake: FakeProvider) -> None:
    anyone = replace(tenant(), anonymous=True)
    async with serving(table(priced(fake.url), tenants=[anyone]), with_ledger(path)) as rig:
        await rig.ask(key=None)
    (row,) = read_rows(path)

    assert row.key_id is None
