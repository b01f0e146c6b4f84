"""What is refused when there is too much to do, and that it is taken again afterwards."""

import asyncio
import dataclasses
from collections.abc import Callable

import pytest

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.server.fake_provider import FakeProvider
from gateway_runtime.server.load import LOOKS, Load
from tests.server.rawupstream import STREAM_HEAD, RawUpstream, chunk, raw_upstream
from tests.server.rig import CHAT, provider, serving, settings, sse, table
from tests.upstream.scripted import wait_until

STREAM = {**CHAT, "stream": True}


def build_load(**bounds: float) -> Load:
    return Load(dataclasses.replace(settings(), **bounds))  # type: ignore[arg-type]


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(GatewayError) as caught:
        call()
    assert caught.value.code is ErrorCode.OVERLOADED
    assert caught.value.retry_after_s == 1
    return caught.value.message


async def test_requests_above_the_bound_are_refused_until_one_has_ended() -> None:
    load = build_load(max_requests=2)
    sizes = [load.admit(10), load.admit(10)]

    message = refusal(lambda: load.admit(10))
    load.release(sizes[0])

    assert message == (
        "This gateway has too much to do: 2 requests are under way. Try again in a moment; if it stays so, "
        "it needs more replicas."
    )
    assert load.admit(10) == 10
    assert load.shed["requests"] == 1
    load.close()


async def test_bodies_are_charged_with_what_they_promise_and_without_a_promise_with_the_longest() -> None:
    load = build_load(max_body_bytes=100, max_request_bytes=250)

    charged = [load.admit(None), load.admit(100), load.admit(40)]

    assert charged == [100, 100, 40]
    assert "240 bytes of requests are under way" in refusal(lambda: load.admit(11))
    load.close()


async def test_one_request_is_always_taken() -> None:
    load = build_load(max_body_bytes=100, max_request_bytes=50)

    assert load.admit(100) == 100
    load.close()


async def test_streams_have_a_bound_of_their_own() -> None:
    load = build_load(max_streams=1)
    load.begin_stream()

    message = refusal(load.begin_stream)
    load.end_stream()
    load.begin_stream()

    assert "1 streams are under way" in message
    load.close()


async def test_a_loop_that_is_late_all_the_time_sheds_until_one_look_is_in_time() -> None:
    load = build_load(max_lateness_s=0.2)
    for _ in range(LOOKS):
        load.lateness.note(0.3)
    message = refusal(lambda: load.admit(10))
    load.lateness.note(0.001)

    assert "new requests would wait 300 ms" in message
    assert load.admit(10) == 10
    load.close()


async def test_a_single_pause_sheds_nothing() -> None:
    load = build_load(max_lateness_s=0.2)
    for late_s in (0.0, 5.0, 0.0):
        load.lateness.note(late_s)

    assert load.admit(10) == 10
    load.close()


async def test_the_loops_lateness_is_looked_at_by_itself() -> None:
    load = build_load()
    load.lateness.note(5.0)
    await wait_until(lambda: load.lateness.last_s < 5.0)

    assert load.lateness.last_s < 5.0
    load.close()


async def hold_back(upstream: RawUpstream, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(STREAM_HEAD + chunk(sse('{"n":1}')))
    await writer.drain()
    await upstream.release.wait()
    writer.write(chunk(sse("[DONE]")) + b"0\r\n\r\n")


async def test_a_caller_with_one_stream_too_many_gets_hg1019_and_the_first_goes_on(
    fake: FakeProvider,
) -> None:
    chosen = dataclasses.replace(settings(), max_streams=1)
    async with raw_upstream(hold_back) as upstream, serving(table(provider(upstream.url)), chosen) as rig:
        first = asyncio.create_task(rig.ask(STREAM))
        await upstream.reached.wait()
        refused = await rig.ask(STREAM)
        upstream.release.set()
        metrics = (await rig.look("/metrics")).body.decode()

    assert (refused.status, refused.error["headgate"]) == (503, "HG1019")
    assert refused.headers["retry-after"] == "1"
    assert (await first).body == sse('{"n":1}', "[DONE]")
    assert 'headgate_requests_shed_total{too_much="streams"} 1.0' in metrics
