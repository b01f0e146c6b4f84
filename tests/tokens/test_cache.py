"""Tokens kept and renewed: one exchange for all, ahead of time, and what a failure costs."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest
from structlog.testing import capture_logs

from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import Credential, Provider, VertexOptions
from gateway_runtime.engine.retry import Outcome
from gateway_runtime.tokens import TokenRefused, Tokens
from gateway_runtime.tokens.cache import CONCURRENCY, MARGIN_S, REMEMBERED_S
from gateway_runtime.upstream.exchange import UpstreamAnswer, UpstreamFailure, UpstreamRequest
from gateway_runtime.upstream.trust import DEFAULT_TLS, TlsSettings
from tests.contract.tables import build_provider
from tests.tokens.fakes import DeafTransport
from tests.tokens.rig import (
    Answer,
    Rig,
    TurnedClock,
    azure,
    bedrock,
    credentials,
    rigged,
    saying,
    token,
    vertex,
)
from tests.upstream.scripted import wait_until

DOWN = Answer(b"", 503)
REFUSED = saying({"error": "invalid_client"}, 401)


@pytest.fixture(autouse=True)
def authority(rig: Rig) -> None:
    rig.environment["AZURE_AUTHORITY_HOST"] = rig.issuer.url


@pytest.fixture
def provider() -> Provider:
    return azure("secret")


async def settle() -> None:
    """Lets whoever can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_only_what_is_not_sent_as_it_is_needs_a_token() -> None:
    tokens = Tokens(DeafTransport(), float, float, {}, call_later=TurnedClock().call_later)
    openai = build_provider(credentials=credentials("sk"))

    assert [tokens.needs(p) for p in (vertex("key"), vertex(workload=True))] == [True, True]
    assert [tokens.needs(p) for p in (azure("secret"), azure(tenant=None, workload=True))] == [True, True]
    assert [tokens.needs(p) for p in (bedrock(), bedrock("keys", workload=False))] == [True, False]
    assert tokens.needs(azure("secret", tenant=None))
    assert not tokens.needs(azure("an-api-key", tenant=None, client=None))
    assert not tokens.needs(openai)
    assert not tokens.needs(msgspec.structs.replace(openai, wire="azure"))
    assert not tokens.needs(msgspec.structs.replace(openai, wire="bedrock"))
    assert tokens.peek(openai, openai.credentials[0]) is None


async def test_a_provider_that_needs_none_is_not_asked_for(rig: Rig) -> None:
    with pytest.raises(
        ValueError, match=r"^provider chat/openai takes its credential as it is: ask `needs` first$"
    ):
        await rig.get(build_provider(credentials=credentials("sk")))


async def test_a_token_serves_until_a_minute_before_its_end(rig: Rig, provider: Provider) -> None:
    before = rig.peek(provider)
    minted = await rig.get(provider)
    rig.clock.turn(3600 - MARGIN_S)
    late = rig.peek(provider)
    rig.clock.turn(0.1)

    assert (before, minted, late) == (None, "minted-1", "minted-1")
    assert rig.peek(provider) is None
    assert len(rig.issuer.asked) == 1


async def test_a_token_that_is_there_is_not_asked_for_again(rig: Rig, provider: Provider) -> None:
    assert [await rig.get(provider) for _ in range(3)] == ["minted-1"] * 3
    assert len(rig.issuer.asked) == 1


async def test_an_ended_token_is_replaced(rig: Rig, provider: Provider) -> None:
    rig.issuer.answers = [token("minted-1"), token("minted-2")]
    await rig.get(provider)
    rig.clock.turn(3600)

    assert await rig.get(provider) == "minted-2"
    assert rig.peek(provider) == "minted-2"


async def test_the_time_of_the_exchange_counts_as_life(rig: Rig, provider: Provider) -> None:
    rig.issuer.open.clear()
    getting = asyncio.create_task(rig.get(provider))
    await rig.issuer.wait_for(1)
    rig.clock.turn(5)
    rig.issuer.open.set()
    await getting
    rig.clock.turn(3600 - MARGIN_S - 4)

    assert rig.peek(provider) is None


async def test_a_short_life_is_used_by_those_who_waited_for_it(rig: Rig, provider: Provider) -> None:
    rig.issuer.answers = [token("brief", 30)]

    assert await rig.get(provider) == "brief"
    assert rig.peek(provider) is None


async def test_providers_options_and_secrets_do_not_mix(rig: Rig) -> None:
    rig.issuer.answers = [token(f"minted-{i}") for i in range(9)]
    one = azure("secret")
    others = [
        azure("another-secret"),
        azure("secret", tenant="another"),
        msgspec.structs.replace(one, id="chat/another"),
    ]
    first = await rig.get(one)

    assert [await rig.get(other) for other in others] == ["minted-1", "minted-2", "minted-3"]
    assert rig.peek(one) == first == "minted-0"


async def test_a_workloads_token_does_not_hang_on_credentials(rig: Rig) -> None:
    rig.environment["GCE_METADATA_HOST"] = rig.issuer.host
    await rig.get(vertex(workload=True))

    assert rig.peek(vertex("a-key-that-is-not-used", workload=True)) == "minted-1"


async def test_callers_that_come_meanwhile_share_one_exchange(rig: Rig, provider: Provider) -> None:
    rig.issuer.open.clear()
    getting = [asyncio.create_task(rig.get(provider)) for _ in range(5)]
    await rig.issuer.wait_for(1)
    getting += [asyncio.create_task(rig.get(provider)) for _ in range(5)]
    await settle()
    rig.issuer.open.set()

    assert await asyncio.gather(*getting) == ["minted-1"] * 10
    assert len(rig.issuer.asked) == 1


async def test_a_caller_that_leaves_takes_nothing_along(rig: Rig, provider: Provider) -> None:
    rig.issuer.open.clear()
    leaving = asyncio.create_task(rig.get(provider))
    await rig.issuer.wait_for(1)
    staying = asyncio.create_task(rig.get(provider))
    await settle()
    leaving.cancel()
    await settle()
    rig.issuer.open.set()

    assert leaving.cancelled()
    assert await staying == "minted-1"
    assert len(rig.issuer.asked) == 1


async def test_an_exchange_that_everybody_left_still_serves_the_next(rig: Rig, provider: Provider) -> None:
    rig.issuer.open.clear()
    leaving = asyncio.create_task(rig.get(provider))
    await rig.issuer.wait_for(1)
    leaving.cancel()
    rig.issuer.open.set()
    await wait_until(lambda: rig.peek(provider) is not None)

    assert await rig.get(provider) == "minted-1"
    assert len(rig.issuer.asked) == 1


async def test_a_failure_is_remembered_for_a_second(rig: Rig, provider: Provider) -> None:
    rig.issuer.answers = [REFUSED, token()]
    for _ in range(3):
        with pytest.raises(TokenRefused, match=r"^the client secret was refused \(401 invalid_client\)$"):
            await rig.get(provider)
    asked = len(rig.issuer.asked)
    rig.clock.turn(REMEMBERED_S)

    assert asked == 1
    assert await rig.get(provider) == "minted-1"


async def test_all_that_wait_are_told_of_a_failure_each_with_an_error_of_its_own(
    rig: Rig, provider: Provider
) -> None:
    rig.issuer.answers = [DOWN]
    errors = await asyncio.gather(*[rig.get(provider) for _ in range(3)], return_exceptions=True)
    reasons = {str(error) for error in errors}

    assert all(isinstance(error, UpstreamFailure) for error in errors)
    assert len({id(error) for error in errors}) == 3
    assert reasons == {f"token endpoint {rig.issuer.host}: it answered 503"}
    assert len(rig.issuer.asked) == 1


async def test_a_token_in_its_last_minute_is_better_than_none(rig: Rig, provider: Provider) -> None:
    rig.issuer.answers = [token(), DOWN]
    await rig.get(provider)
    rig.clock.turn(3600 - 30)
    tried = await rig.get(provider)
    remembered = await rig.get(provider)
    rig.clock.turn(30)
    with pytest.raises(UpstreamFailure):
        await rig.get(provider)

    assert tried == remembered == "minted-1"
    assert len(rig.issuer.asked) == 3


async def test_the_first_credential_of_each_provider_is_exchanged_before_anybody_asks(rig: Rig) -> None:
    rig.environment["GCE_METADATA_HOST"] = rig.issuer.host
    two = azure("first", "second")
    async with rig.running():
        rig.tokens.configure([two, vertex(workload=True), build_provider()])
        await wait_until(lambda: rig.peek(two) is not None and rig.peek(vertex(workload=True)) is not None)

        assert len(rig.issuer.asked) == 2
        assert rig.tokens.peek(two, two.credentials[1]) is None


async def test_a_token_is_renewed_at_four_fifths_of_its_life(rig: Rig, provider: Provider) -> None:
    rig.issuer.answers = [token("minted-1"), token("minted-2")]
    async with rig.running():
        rig.tokens.configure([provider])
        await wait_until(lambda: rig.clock.next_s is not None)
        due_s = rig.clock.next_s
        rig.clock.turn(2879)
        await settle()
        before = len(rig.issuer.asked)
        rig.clock.turn(1)
        await wait_until(lambda: rig.peek(provider) == "minted-2")

    assert due_s == pytest.approx(2880)
    assert before == 1


@pytest.mark.parametrize(("drawn", "due_s"), [(0.0, 2700), (1.0, 3060)])
async def test_renewals_are_spread(drawn: float, due_s: float) -> None:
    async with rigged(drawn=drawn) as rig, rig.running():
        rig.environment["AZURE_AUTHORITY_HOST"] = rig.issuer.url
        rig.tokens.configure([azure("secret")])
        await wait_until(lambda: rig.clock.next_s is not None)

        assert rig.clock.next_s == pytest.approx(due_s)


async def test_a_token_with_hardly_any_life_is_not_renewed_all_the_time(rig: Rig, provider: Provider) -> None:
    rig.issuer.answers = [token("brief", 1)]
    async with rig.running():
        rig.tokens.configure([provider])
        await wait_until(lambda: rig.clock.next_s is not None)

        assert rig.clock.next_s == 30


async def test_a_renewal_that_fails_keeps_the_token_and_is_tried_again_less_and_less_often(
    rig: Rig, provider: Provider
) -> None:
    rig.issuer.answers = [token("minted-1"), *[DOWN] * 9, token("minted-2")]
    pauses = []
    async with rig.running():
        rig.tokens.configure([provider])
        await wait_until(lambda: rig.clock.next_s is not None)
        for i in range(2, 11):
            rig.clock.turn(rig.clock.next_s or 0)
            await rig.issuer.wait_for(i)
            await wait_until(lambda: rig.clock.next_s is not None)
            pauses.append(rig.clock.next_s)
        kept = rig.peek(provider)
        rig.clock.turn(rig.clock.next_s or 0)
        await wait_until(lambda: rig.peek(provider) == "minted-2")

    assert kept == "minted-1"
    assert pauses == pytest.approx([0.75, 1.5, 3, 6, 12, 24, 45, 45, 45])


async def test_a_new_table_wakes_the_renewals_and_forgets_what_left(rig: Rig, provider: Provider) -> None:
    other = azure("secret", tenant="another")
    async with rig.running():
        rig.tokens.configure([provider])
        await wait_until(lambda: rig.peek(provider) is not None)
        rig.tokens.configure([other])
        await wait_until(lambda: rig.peek(other) is not None)

        assert rig.peek(provider) is None


async def test_a_table_that_keeps_a_provider_keeps_its_tokens(rig: Rig) -> None:
    two = azure("first", "second")
    rig.issuer.answers = [token("of-first"), token("of-second")]
    await rig.get(two)
    await rig.tokens.get(two, two.credentials[1])
    rig.tokens.configure([msgspec.structs.replace(two, generation=2, endpoints=())])
    second = rig.tokens.peek(two, two.credentials[1])

    assert rig.peek(two) == "of-first"
    assert second is not None
    assert second.reveal() == "of-second"


async def test_a_request_of_an_older_table_still_gets_its_token(rig: Rig, provider: Provider) -> None:
    rig.tokens.configure([])

    assert await rig.get(provider) == "minted-1"


async def test_many_new_providers_are_exchanged_a_few_at_a_time(rig: Rig) -> None:
    providers = [azure("secret", tenant=f"tenant-{i}") for i in range(CONCURRENCY + 3)]
    rig.issuer.open.clear()
    async with rig.running():
        rig.tokens.configure(providers)
        await rig.issuer.wait_for(CONCURRENCY)
        await settle()
        at_once = len(rig.issuer.asked)
        rig.issuer.open.set()
        await wait_until(lambda: all(rig.peek(provider) for provider in providers))

    assert at_once == CONCURRENCY


async def test_one_line_tells_that_tokens_fail_and_one_that_they_come_again(
    rig: Rig, provider: Provider
) -> None:
    rig.issuer.answers = [REFUSED, REFUSED, DOWN, token()]
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises((TokenRefused, UpstreamFailure)):
                await rig.get(provider)
            rig.clock.turn(2)
        await rig.get(provider)

    who = {"provider": "chat/azure", "credential": "key-0"}
    refused = "the client secret was refused (401 invalid_client)"
    down = f"token endpoint {rig.issuer.host}: it answered 503"
    assert logs == [
        {"event": "token not got", "log_level": "warning", **who, "reason": refused},
        {"event": "token not got", "log_level": "warning", **who, "reason": down},
        {"event": "token got again", "log_level": "info", **who},
    ]


class BrokenTransport(DeafTransport):
    async def send(
        self,
        request: UpstreamRequest,
        connected: Callable[[], None],
        tls: TlsSettings = DEFAULT_TLS,
        *,
        again: bool = False,
    ) -> UpstreamAnswer:
        self.requests.append(request)
        raise RuntimeError("a bug")


async def test_a_bug_is_told_and_not_repeated_at_full_speed(provider: Provider) -> None:
    clock, transport = TurnedClock(), BrokenTransport()
    tokens = Tokens(transport, clock.now, clock.unix, {}, lambda: 0.5, call_later=clock.call_later)
    running = asyncio.create_task(tokens.run())
    with capture_logs() as logs:
        tokens.configure([provider])
        await wait_until(lambda: clock.next_s is not None)
        with pytest.raises(UpstreamFailure, match=r"^the exchange failed by a bug of ours$"):
            await tokens.get(provider, provider.credentials[0])
    running.cancel()

    assert len(transport.requests) == 1
    assert [line["event"] for line in logs] == ["token not got by a bug", "token not got"]
    assert "RuntimeError: a bug" in logs[0]["traceback"]


async def test_nothing_is_renewed_any_more_when_the_gateway_stops(rig: Rig, provider: Provider) -> None:
    await rig.tokens.close()
    async with rig.running():
        rig.tokens.configure([provider])
        await settle()

    assert rig.issuer.asked == []


async def test_whoever_waits_when_the_gateway_stops_is_told(rig: Rig, provider: Provider) -> None:
    rig.issuer.open.clear()
    getting = asyncio.create_task(rig.get(provider))
    await rig.issuer.wait_for(1)
    await rig.tokens.close()
    errors = await asyncio.gather(getting, rig.get(provider), return_exceptions=True)

    assert [str(error) for error in errors] == ["the gateway stops"] * 2
    assert all(isinstance(error, UpstreamFailure) and error.outcome is Outcome.CANCELLED for error in errors)


async def test_renewals_end_with_the_task_that_runs_them_and_leave_no_alarm(
    rig: Rig, provider: Provider
) -> None:
    async with rig.running():
        rig.tokens.configure([provider])
        await wait_until(lambda: rig.clock.next_s is not None)

    assert rig.clock.next_s is None


async def test_the_loops_own_clock_is_used_where_no_other_is_given() -> None:
    loop = asyncio.get_running_loop()
    tokens = Tokens(DeafTransport(), loop.time, loop.time, {})
    needing = msgspec.structs.replace(
        build_provider(credentials=[Credential(name="a", value=Secret("x"))]),
        wire="vertex",
        vertex=VertexOptions(project="p", location="l"),
    )
    tokens.configure([needing])
    running = asyncio.create_task(tokens.run())
    with pytest.raises(TokenRefused):
        await tokens.get(needing, needing.credentials[0])
    running.cancel()
    await tokens.close()
