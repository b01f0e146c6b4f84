"""The ordinary request without a task: when it is served so, that its answer is the same, and that whatever
goes wrong under it ends as on the ordinary way, which a request takes that comes in two pieces.

`Ways` tells which way was taken. The first request of a gateway has no idle connection to its provider and
goes on in a task, so that each test begins with one. Longer than other files: nearly each test is one
sentence of `express` against the same two or three helpers.
"""

import asyncio
import dataclasses
import re
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from gateway_runtime.contract.table import FallbackRule, Hedge, Route, RouteTimeouts, RoutingTable
from gateway_runtime.contract.tenant import Limit
from gateway_runtime.providers import operation
from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.providers.operations import CHAT
from gateway_runtime.providers.request_body import RequestBody
from gateway_runtime.server import ride
from gateway_runtime.server.express import Express
from gateway_runtime.server.fake_provider import FakeProvider
from gateway_runtime.server.hot import HotConnection
from gateway_runtime.server.lane import Lane
from gateway_runtime.server.reply import CallerGone
from gateway_runtime.server.ride import LARGEST_BYTES
from gateway_runtime.server.settings import GatewaySettings
from gateway_runtime.upstream.transport import PooledTransport, PreparedRequest
from tests.contract.tables import build_target
from tests.server.rawupstream import RawUpstream, Script, answering, saying
from tests.server.rig import (
    CIRCUIT,
    KEY,
    UPSTREAM_KEY,
    Answer,
    Rig,
    provider,
    route,
    serving,
    settings,
    table,
    tenant,
)
from tests.upstream.scripted import reset, scripted, wait_until

BODY = b'{"model":"gpt","messages":[]}'
STREAM = b'{"model":"gpt","messages":[],"stream":true}'
GOOD = b'{"id":"a","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}'
JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
WHOLE = JSON_HEAD % len(GOOD) + GOOD
BOTH = (build_target("openai", priority=0), build_target("azure", priority=1))
VARYING = {"x-headgate-request-id", "x-headgate-overhead-ms", "date", "x-ratelimit-reset-requests"}
COUNTERS = re.compile(
    r"^headgate_((?:requests|attempts|retries|fallbacks|hedges|tokens)_total\{.*\} [1-9].*)$", re.MULTILINE
)


# -- which way was taken


@dataclasses.dataclass
class Ways:
    rides: int = 0
    """Requests that were begun without a task."""
    tasks: int = 0
    """That served a request, or went on with one."""

    def forget(self) -> None:
        self.rides = self.tasks = 0


EXPRESS = Ways(rides=1, tasks=0)
GONE_ON = Ways(rides=1, tasks=1)
ORDINARY = Ways(rides=0, tasks=1)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> Ways:
    """Counted where `hot` meets `express`; nothing is changed."""
    ways = Ways()
    begin, go_on = Express.begin, HotConnection.go_on

    def count_ride(self: Express, caller: Any, path: str, key: str | None, data: bytes) -> bool:
        taken = begin(self, caller, path, key, data)
        ways.rides += taken
        return taken

    def count_task(self: HotConnection, work: Any) -> None:
        ways.tasks += 1
        go_on(self, work)

    monkeypatch.setattr(Express, "begin", count_ride)
    monkeypatch.setattr(HotConnection, "go_on", count_task)
    return ways


# -- callers


def build(
    body: bytes = BODY, *, key: bytes = KEY.encode(), path: str = CHAT.path, lines: bytes = b""
) -> tuple[bytes, bytes]:
    """Head and body. lines: further ones of the head."""
    fields = (path.encode(), key, lines, len(body))
    head = b"POST %b HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\n%bcontent-length: %d\r\n\r\n"
    return head % fields, body


class Caller:
    """One connection, on which one request follows the other."""

    def __init__(self, rig: Rig, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._rig = rig
        self.reader = reader
        self.writer = writer

    async def ask(self, body: bytes = BODY, **said: Any) -> Answer:
        """In one piece. said: as `build` takes it."""
        self.writer.write(b"".join(build(body, **said)))
        return await self.read()

    async def ask_in_pieces(self, body: bytes = BODY, **said: Any) -> Answer:
        """It begins with its head, in a task."""
        front = self._rig.gateway._front
        before = front.under_way
        head, body = build(body, **said)
        self.writer.write(head)
        await wait_until(lambda: front.under_way == before + 1)
        self.writer.write(body)
        return await self.read()

    async def read(self) -> Answer:
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            status, *lines = head.decode().rstrip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await self.reader.readexactly(int(headers["content-length"]))
        return Answer(int(status.split()[1]), headers, body)


@asynccontextmanager
async def calling(rig: Rig) -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
    try:
        yield Caller(rig, reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def warm(
    first: RoutingTable, ways: Ways, chosen: GatewaySettings | None = None, body: bytes = BODY
) -> AsyncIterator[tuple[Rig, Caller]]:
    """A gateway that has an idle connection to the provider that it likes best."""
    async with serving(first, chosen) as rig, calling(rig) as caller:
        answer = await caller.ask(body)
        assert answer.status == 200
        ways.forget()
        yield rig, caller


def comparable(answer: Answer) -> Answer:
    headers = {name: value for name, value in answer.headers.items() if name not in VARYING}
    return Answer(answer.status, headers, answer.body)


# -- providers


def in_turn(*scripts: Script) -> Script:
    """The first request gets the first, and so on; whatever follows gets the last."""

    async def script(
        upstream: RawUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await scripts[min(upstream.requests, len(scripts)) - 1](upstream, reader, writer)

    return script


def in_packets(*pieces: bytes, then_close: bool = False) -> Script:
    """Each is read before the next is sent: both ends live on one loop, a few turns are enough."""

    async def script(_: RawUpstream, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            for _turn in range(5):
                await asyncio.sleep(0)
        if then_close:
            writer.close()

    return script


async def hang_up(_: RawUpstream, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def hang_up_hard(_: RawUpstream, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    reset(writer)


async def answer_when_released(
    upstream: RawUpstream, _: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await upstream.release.wait()
    writer.write(WHOLE)


async def keep_silent(_: RawUpstream, reader: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await reader.read()  # until the other side closes


def stalling(piece: bytes) -> Script:
    """Says this and no more."""

    async def script(
        upstream: RawUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(piece)
        await reader.read()

    return script


GOOD_ANSWER = answering(GOOD)


# -- what is left


class UnderWay(NamedTuple):
    requests: int
    bytes: int
    attempts: int
    """As the circuits count them."""
    upstream: int
    """Places in pools."""
    deadlines: int


NOTHING = UnderWay(0, 0, 0, 0, 0)


def count_under_way(rig: Rig) -> UnderWay:
    gateway = rig.gateway
    load = gateway._front.load
    return UnderWay(
        requests=load.requests,
        bytes=load.bytes,
        attempts=sum(state.view().in_flight for state in gateway._state.endpoints.values()),
        upstream=sum(pool.busy + pool.queued + pool.lingering for pool in gateway._transport.statistics()),
        deadlines=len(gateway._front.room.keeper._waiting),
    )


async def read_counters(rig: Rig) -> list[str]:
    """Those that are not zero."""
    text = (await rig.look("/metrics")).body.decode()
    return sorted(COUNTERS.findall(text))


# -- the ordinary request


async def test_the_second_request_takes_no_task(ways: Ways, fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url))) as rig, calling(rig) as caller:
        first = await caller.ask()
        begun = dataclasses.replace(ways)
        ways.forget()
        tasks = len(asyncio.all_tasks())
        second = await caller.ask()

        assert (first.status, begun) == (200, GONE_ON)
        assert (second.status, ways) == (200, EXPRESS)
        assert len(asyncio.all_tasks()) == tasks
        assert count_under_way(rig) == NOTHING


TELLING = (
    "content-type: application/json\r\nx-request-id: theirs\r\nopenai-processing-ms: 7\r\n"
    "openai-version: 2020-10-01\r\nx-ratelimit-remaining-requests: 9\r\nset-cookie: a=b"
)


@pytest.mark.parametrize("limits", [[], [Limit(name="rpm", amount=9, window_s=60)]])
async def test_its_answer_is_that_of_the_ordinary_way(ways: Ways, limits: Sequence[Limit]) -> None:
    answers = []
    async with scripted(answering(GOOD, headers=TELLING)) as upstream:
        first = table(provider(upstream.url), tenants=[tenant(limits=limits)])
        async with warm(first, ways) as (_, caller):
            answers.append(await caller.ask())
            without_task = dataclasses.replace(ways)
        ways.forget()
        async with warm(first, ways) as (_, caller):
            answers.append(await caller.ask_in_pieces())
    express_answer, ordinary_answer = answers

    assert (without_task, ways) == (EXPRESS, ORDINARY)
    assert comparable(express_answer) == comparable(ordinary_answer)
    assert express_answer.headers.keys() == ordinary_answer.headers.keys()
    assert express_answer.headers["x-request-id"] == "theirs"
    assert express_answer.body == GOOD
    assert len(express_answer.headers["x-headgate-request-id"]) == 24
    assert float(express_answer.headers["x-headgate-overhead-ms"]) < 1000


async def test_the_provider_sees_the_same_request(ways: Ways) -> None:
    async with (
        scripted(GOOD_ANSWER) as upstream,
        warm(table(provider(upstream.url)), ways) as (_, caller),
    ):
        ids = [(await caller.ask()).headers["x-headgate-request-id"]]
        without_task = dataclasses.replace(ways)
        ids.append((await caller.ask_in_pieces()).headers["x-headgate-request-id"])
    seen = [
        sorted(head.replace(request_id.encode(), b"ID").split(b"\r\n"))
        for head, request_id in zip(upstream.heads[1:], ids, strict=True)
    ]

    assert without_task == EXPRESS
    assert seen[0] == seen[1]
    assert f"authorization: Bearer {UPSTREAM_KEY}".encode() in seen[0]
    assert b"x-request-id: ID" in seen[0]


async def test_an_embedding_and_a_renamed_model_are_ordinary_too(ways: Ways, fake: FakeProvider) -> None:
    renamed = route(targets=[build_target(model="other")])
    async with warm(table(provider(fake.url), routes=[renamed]), ways) as (_, caller):
        head, body = build(b'{"model":"gpt","input":"x"}')
        caller.writer.write(head.replace(b"chat/completions", b"embeddings") + body)
        answer = await caller.read()

    assert ways == EXPRESS
    assert (answer.json["object"], answer.json["model"]) == ("list", "other")
    assert answer.headers["x-headgate-model"] == "gpt"


async def test_answers_of_other_shapes_than_plain_json_are_ordinary_too(ways: Ways) -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    async with (
        scripted(in_turn(GOOD_ANSWER, saying(chunked, then_close=False))) as upstream,
        warm(table(provider(upstream.url)), ways) as (_, caller),
    ):
        answer = await caller.ask()

    assert (answer.status, answer.body, ways) == (200, b"{}", EXPRESS)


# -- what is not ordinary


HEDGED = replace(route("hedged", name="second"), hedge=Hedge(after_s=5.0, max_extra=1))


@pytest.mark.parametrize(
    ("body", "key", "status", "code"),
    [
        (b'{"model":"hedged"}', KEY, 200, None),
        (BODY, "wrong", 401, "HG1002"),
        (b'{"model":"nobody"}', KEY, 404, "HG1003"),
        (b'{"model":', KEY, 400, "HG1004"),
        (b"{}", KEY, 400, "HG1005"),
        (b"", KEY, 400, "HG1004"),
    ],
)
async def test_what_is_not_ordinary_is_left_to_a_task(
    ways: Ways, fake: FakeProvider, body: bytes, key: str, status: int, code: str | None
) -> None:
    first = table(provider(fake.url), routes=[route(), HEDGED])
    async with warm(first, ways) as (rig, caller):
        answer = await caller.ask(body, key=key.encode())
        await wait_until(lambda: count_under_way(rig) == NOTHING)
        again = await caller.ask()

    assert (answer.status, again.status) == (status, 200)
    assert answer.json.get("error", {}).get("headgate") == code
    assert ways == Ways(rides=1, tasks=1)


async def test_a_stream_is_left_to_a_task(ways: Ways, fake: FakeProvider) -> None:
    async with warm(table(provider(fake.url)), ways) as (_, caller):
        caller.writer.write(b"".join(build(STREAM)))
        events = await caller.reader.readuntil(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        streamed = dataclasses.replace(ways)
        after = await caller.ask()

    assert b"text/event-stream" in events
    assert (streamed, after.status, ways) == (ORDINARY, 200, Ways(rides=1, tasks=1))


async def test_a_gateway_that_tells_its_decisions_uses_tasks(ways: Ways, fake: FakeProvider) -> None:
    telling = dataclasses.replace(settings(), debug_headers=True)
    async with warm(table(provider(fake.url)), ways, telling) as (_, caller):
        answer = await caller.ask()

    assert ways == ORDINARY
    assert answer.headers["x-headgate-decisions"] == "chat/openai/e0 chosen: Weighted"


async def begin_to_stop(rig: Rig) -> asyncio.Task[None]:
    stopping = asyncio.create_task(rig.gateway.stop(5.0))
    await wait_until(lambda: rig.gateway._front.draining)
    return stopping


async def test_a_draining_gateway_refuses_in_a_task(ways: Ways, fake: FakeProvider) -> None:
    fake.script = FakeScript(tokens_per_s=20, answer="one two three four")
    async with serving(table(provider(fake.url))) as rig, calling(rig) as caller:
        caller.writer.write(b"".join((*build(STREAM), *build())))
        await caller.reader.readuntil(b"data: ")
        ways.forget()
        stopping = await begin_to_stop(rig)
        await caller.reader.readuntil(b"0\r\n\r\n")
        answer = await caller.read()
        await stopping

    assert (answer.status, answer.error["headgate"]) == (503, "HG1012")
    assert (ways, fake.seen.requests) == (ORDINARY, 1)


async def test_a_request_under_way_at_the_end_is_answered_and_its_connection_closed(ways: Ways) -> None:
    async with (
        scripted(in_turn(GOOD_ANSWER, answer_when_released)) as upstream,
        warm(table(provider(upstream.url)), ways) as (rig, caller),
    ):
        caller.writer.write(b"".join(build()))
        await wait_until(lambda: upstream.requests == 2)
        stopping = await begin_to_stop(rig)
        upstream.release.set()
        answer, rest = await caller.read(), await caller.reader.read()
        await stopping

    assert (answer.status, answer.headers["connection"], rest) == (200, "close", b"")
    assert ways == EXPRESS


async def test_a_request_over_its_limit_is_refused_in_a_task_and_charged_nothing(
    ways: Ways, fake: FakeProvider
) -> None:
    limits = [Limit(name="rpm", amount=2, window_s=60)]
    async with warm(table(provider(fake.url), tenants=[tenant(limits=limits)]), ways) as (rig, caller):
        second, third = [await caller.ask() for _ in range(2)]
        under_way = count_under_way(rig)

    assert (second.status, second.headers["x-ratelimit-remaining-requests"]) == (200, "0")
    assert (third.status, third.error["headgate"]) == (429, "HG1007")
    assert ways == Ways(rides=1, tasks=1)
    assert (fake.seen.requests, under_way) == (2, NOTHING)


async def test_a_request_that_goes_on_in_a_task_is_charged_once(ways: Ways, fake: FakeProvider) -> None:
    limits = [Limit(name="rpm", amount=9, window_s=60)]
    async with (
        scripted(in_turn(GOOD_ANSWER, answering(b"", "503 Down"))) as upstream,
        warm(
            table(
                provider(upstream.url),
                provider(fake.url, name="azure"),
                routes=[route(targets=BOTH)],
                tenants=[tenant(limits=limits)],
            ),
            ways,
        ) as (_, caller),
    ):
        answer = await caller.ask()

    assert ways == GONE_ON
    assert (answer.status, answer.headers["x-ratelimit-remaining-requests"]) == (200, "7")


async def test_a_request_too_many_is_refused_in_a_task(ways: Ways) -> None:
    one = dataclasses.replace(settings(), max_requests=1)
    async with (
        scripted(in_turn(GOOD_ANSWER, answer_when_released)) as upstream,
        warm(table(provider(upstream.url)), ways, one) as (rig, caller),
        calling(rig) as other,
    ):
        caller.writer.write(b"".join(build()))
        await wait_until(lambda: upstream.requests == 2)
        refused = await other.ask()
        upstream.release.set()
        answer = await caller.read()
        metrics = (await rig.look("/metrics")).body.decode()

    assert (refused.status, refused.error["headgate"], answer.status) == (503, "HG1019", 200)
    assert ways == Ways(rides=1, tasks=1)
    assert 'headgate_requests_shed_total{too_much="requests"} 1.0' in metrics


SPENT = (
    "content-type: application/json\r\nx-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: %s"
)


async def test_a_limit_that_a_provider_told_of_sends_the_next_request_elsewhere_in_a_task(
    ways: Ways, fake: FakeProvider
) -> None:
    async with scripted(in_turn(GOOD_ANSWER, answering(GOOD, headers=SPENT % "1m0s"))) as upstream:
        providers = [provider(upstream.url), provider(fake.url, name="azure")]
        async with warm(table(*providers, routes=[route(targets=BOTH)]), ways) as (_, caller):
            told = await caller.ask()
            ways_told = dataclasses.replace(ways)
            ways.forget()
            after = await caller.ask()

    assert (told.headers["x-headgate-provider"], ways_told) == ("chat/openai", EXPRESS)
    assert (after.headers["x-headgate-provider"], ways) == ("chat/azure", ORDINARY)


async def test_a_limit_that_has_passed_is_minded_no_more(ways: Ways) -> None:
    async with (
        scripted(in_turn(GOOD_ANSWER, answering(GOOD, headers=SPENT % "20ms"), GOOD_ANSWER)) as upstream,
        warm(table(provider(upstream.url)), ways) as (rig, caller),
    ):
        await caller.ask()
        learnt = rig.gateway._state.learnt
        limited = not learnt.are_idle(time.monotonic())
        await wait_until(lambda: learnt.are_idle(time.monotonic()))
        ways.forget()
        answer = await caller.ask()

    assert limited
    assert (answer.status, ways) == (200, EXPRESS)


@pytest.mark.parametrize(
    ("ago_s", "way", "key"), [(59.0, ORDINARY, "Bearer second"), (60.0, EXPRESS, "Bearer first")]
)
async def test_a_credential_refused_of_late_is_minded_for_a_minute(
    ways: Ways,
    fake: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
    ago_s: float,
    way: Ways,
    key: str,
) -> None:
    async with warm(table(provider(fake.url, keys=["first", "second"])), ways) as (rig, caller):
        fake.script = FakeScript(keys=("second",))
        with monkeypatch.context() as patch:
            patch.setattr(rig.gateway._state.refusals, "_now", lambda: time.monotonic() - ago_s)
            refused = await caller.ask()
        refused_ways = dataclasses.replace(ways)
        fake.script = FakeScript()
        ways.forget()
        answer = await caller.ask()

    assert (refused.status, refused.headers["x-headgate-attempts"], refused_ways) == (200, "2", GONE_ON)
    assert (answer.status, ways) == (200, way)
    assert [seen.authorization for seen in fake.seen.latest][1:] == ["Bearer first", "Bearer second", key]


# -- what a provider can do to it


class Told(NamedTuple):
    """All that can be seen of one request behind a good one."""

    answer: Answer
    counters: list[str]
    circuits: Sequence[tuple[str, int, int]]
    asked: tuple[int, int]
    """How many requests the two providers had."""
    left: UnderWay


async def tell(
    script: Script, ways: Ways, *, whole: bool, helped: bool, timeouts: RouteTimeouts | None = None
) -> Told:
    """helped: there is another provider, and another attempt. `ways` has those of the second request."""
    only = route(max_attempts=1, timeouts=timeouts)
    async with scripted(in_turn(GOOD_ANSWER, script)) as upstream, scripted(GOOD_ANSWER) as other:
        providers = [provider(upstream.url), provider(other.url, name="azure")]
        routes = [route(targets=BOTH, timeouts=timeouts)] if helped else [only]
        async with warm(table(*providers, routes=routes), ways) as (rig, caller):
            answer = await (caller.ask() if whole else caller.ask_in_pieces())
            left = count_under_way(rig)
            counters = await read_counters(rig)
            circuits = [(r.circuit, r.requests, r.failures) for r in rig.gateway.reports()]
    return Told(comparable(answer), counters, circuits, (upstream.requests, other.requests), left)


LARGE = b'{"x":"%b"}' % (b"x" * LARGEST_BYTES)
PLAIN = "content-type: application/json\r\ncontent-encoding: identity"
GZIP = "content-type: application/json\r\ncontent-encoding: gzip"
DOWN = b'{"error":{"message":"the model is overloaded","code":503}}'

SCRIPTS: dict[str, tuple[Script, int, int]] = {
    # What the caller gets when nobody else can be asked, and when somebody can.
    "503": (answering(DOWN, "503 Service Unavailable"), 503, 200),
    "503 without words": (answering(b"", "503 Service Unavailable"), 503, 200),
    "429": (answering(b'{"error":{"message":"slow"}}', "429 Too Many", "retry-after: 60"), 429, 200),
    "401": (answering(b'{"error":{"message":"who?"}}', "401 Unauthorized"), 502, 200),
    "400": (answering(b'{"error":{"message":"what?"}}', "400 Bad Request"), 400, 400),
    "302": (answering(b"", "302 Found", "location: http://127.0.0.1:1/"), 502, 200),
    "an error with status 200": (answering(DOWN), 503, 200),
    "broken JSON": (answering(b'{"id":'), 502, 200),
    "an empty body": (answering(b""), 502, 200),
    "compressed": (answering(GOOD, headers=GZIP), 502, 200),
    "as it is": (answering(GOOD, headers=PLAIN), 200, 200),
    "large": (answering(LARGE), 200, 200),
    "in two packets": (in_packets(WHOLE[: -len(GOOD)], GOOD), 200, 200),
    "in three packets": (in_packets(WHOLE[:20], WHOLE[20:-5], WHOLE[-5:]), 200, 200),
    "a refusal in two packets": (
        in_packets(b"HTTP/1.1 503 Down\r\ncontent-length: %d\r\n\r\n" % len(DOWN), DOWN),
        503,
        200,
    ),
    "its last": (
        saying(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}", then_close=False),
        200,
        200,
    ),
    "ended by the connection": (saying(b"HTTP/1.1 200 OK\r\n\r\n{}"), 200, 200),
    "torn": (saying(WHOLE[:-5]), 502, 200),
    "torn later": (in_packets(WHOLE[:-5], then_close=True), 502, 200),
    "a byte and a cut": (saying(b"H"), 502, 200),
    "no HTTP": (saying(b"SSH-2.0-OpenSSH_9.2\r\n"), 502, 200),
    "dead with each request": (hang_up, 502, 200),
}


@pytest.mark.parametrize("helped", [False, True], ids=["alone", "helped"])
@pytest.mark.parametrize("name", SCRIPTS)
async def test_what_is_not_one_whole_good_answer_goes_on_as_on_the_ordinary_way(
    ways: Ways, name: str, helped: bool
) -> None:
    script, alone_status, helped_status = SCRIPTS[name]
    ordinary = await tell(script, ways, whole=False, helped=helped)
    ordinary_ways = dataclasses.replace(ways)
    ways.forget()
    told = await tell(script, ways, whole=True, helped=helped)

    assert (ordinary_ways, ways) == (ORDINARY, GONE_ON)
    assert told == ordinary
    assert told.answer.status == (helped_status if helped else alone_status)
    assert told.left == NOTHING


async def test_each_attempt_and_each_request_is_counted_once(ways: Ways) -> None:
    told = await tell(SCRIPTS["503"][0], ways, whole=True, helped=True)

    assert ways == GONE_ON
    assert (told.answer.headers["x-headgate-attempts"], told.asked) == ("2", (2, 1))
    assert told.counters == [
        'attempts_total{outcome="ok",provider="chat/azure"} 1.0',
        'attempts_total{outcome="ok",provider="chat/openai"} 1.0',
        'attempts_total{outcome="server_error",provider="chat/openai"} 1.0',
        'requests_total{route="chat/route",status="2xx"} 2.0',
        'retries_total{route="chat/route"} 1.0',
        'tokens_total{kind="input",route="chat/route"} 2.0',
        'tokens_total{kind="output",route="chat/route"} 4.0',
    ]
    assert told.circuits == [("Closed", 1, 0), ("Closed", 2, 1)]


async def test_a_good_answer_and_its_tokens_are_counted_once(ways: Ways) -> None:
    told = await tell(GOOD_ANSWER, ways, whole=True, helped=False)

    assert ways == EXPRESS
    assert told.counters == [
        'attempts_total{outcome="ok",provider="chat/openai"} 2.0',
        'requests_total{route="chat/route",status="2xx"} 2.0',
        'tokens_total{kind="input",route="chat/route"} 2.0',
        'tokens_total{kind="output",route="chat/route"} 4.0',
    ]
    assert told.circuits == [("Closed", 0, 0), ("Closed", 2, 0)]
    assert told.left == NOTHING


@pytest.mark.parametrize(("more_bytes", "way"), [(0, EXPRESS), (1, GONE_ON)])
async def test_the_largest_answer_still_takes_no_task(ways: Ways, more_bytes: int, way: Ways) -> None:
    frame = b'{"x":"%b"}'
    body = frame % (b"x" * (LARGEST_BYTES - len(frame % b"") + more_bytes))
    told = await tell(answering(body), ways, whole=True, helped=False)

    assert (told.answer.body, ways) == (body, way)


async def test_another_model_is_fallen_back_on(ways: Ways, fake: FakeProvider) -> None:
    first = replace(route(max_attempts=1), fallbacks=(FallbackRule(model="small"),))
    small = route("small", name="small", targets=[build_target("azure")])
    async with scripted(in_turn(GOOD_ANSWER, SCRIPTS["503"][0])) as upstream:
        providers = [provider(upstream.url), provider(fake.url, name="azure")]
        async with warm(table(*providers, routes=[first, small]), ways) as (rig, caller):
            answer = await caller.ask()
            counters = await read_counters(rig)

    assert (answer.status, ways) == (200, GONE_ON)
    assert answer.headers["x-headgate-fallback"] == "small; ServerError"
    assert 'fallbacks_total{reason="ServerError",route="chat/route"} 1.0' in counters


@pytest.mark.parametrize("how", [hang_up, hang_up_hard], ids=["FIN", "RST"])
async def test_a_connection_that_died_idle_is_replaced_without_a_word(ways: Ways, how: Script) -> None:
    async with (
        scripted(in_turn(GOOD_ANSWER, how, GOOD_ANSWER)) as upstream,
        warm(table(provider(upstream.url), routes=[route(max_attempts=1)]), ways) as (rig, caller),
    ):
        answer = await caller.ask()
        left, counters = count_under_way(rig), await read_counters(rig)
        died = dataclasses.replace(ways)
        ways.forget()
        after = await caller.ask()

    assert (answer.status, answer.headers["x-headgate-attempts"], died) == (200, "1", GONE_ON)
    assert left == NOTHING
    assert 'attempts_total{outcome="ok",provider="chat/openai"} 2.0' in counters
    assert not any("reset" in line for line in counters)
    assert (after.status, ways) == (200, EXPRESS)
    assert (upstream.requests, upstream.connections) == (4, 2)


async def test_it_is_not_sent_again_on_another_idle_connection(ways: Ways) -> None:
    """All that were kept may have died with the first."""

    async def script(upstream: RawUpstream, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if upstream.requests <= 3:
            await upstream.release.wait()
        if upstream.requests >= 5 and upstream.connections == 3:
            writer.close()
        else:
            writer.write(WHOLE)

    async with (
        scripted(script) as upstream,
        serving(table(provider(upstream.url))) as rig,
        calling(rig) as one,
        calling(rig) as two,
        calling(rig) as three,
    ):
        asked = [asyncio.create_task(caller.ask()) for caller in (one, two, three)]
        await wait_until(lambda: upstream.requests == 3)
        upstream.release.set()
        await asyncio.gather(*asked)
        await one.ask()
        ways.forget()
        answer = await two.ask()

    assert (answer.status, ways) == (200, GONE_ON)
    assert (upstream.requests, upstream.connections) == (6, 4)


async def test_what_a_provider_took_to_hang_up_is_not_our_overhead(ways: Ways) -> None:
    async def hang_up_late(_: RawUpstream, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        writer.close()

    script = in_turn(GOOD_ANSWER, hang_up_late, GOOD_ANSWER, hang_up_late, GOOD_ANSWER)
    async with (
        scripted(script) as upstream,
        warm(table(provider(upstream.url)), ways) as (_, caller),
    ):
        ordinary = await caller.ask_in_pieces()
        ways.forget()
        answer = await caller.ask()

    assert ways == GONE_ON
    assert float(ordinary.headers["x-headgate-overhead-ms"]) < 150
    assert float(answer.headers["x-headgate-overhead-ms"]) < 150


# -- deadlines


HASTY = RouteTimeouts(first_token_s=0.05)
SHORT = RouteTimeouts(total_s=0.05)


@pytest.mark.parametrize("helped", [False, True], ids=["alone", "helped"])
@pytest.mark.parametrize("timeouts", [HASTY, SHORT], ids=["first byte", "total"])
async def test_a_silent_provider_is_given_up_as_on_the_ordinary_way(
    ways: Ways, timeouts: RouteTimeouts, helped: bool
) -> None:
    ordinary = await tell(keep_silent, ways, whole=False, helped=helped, timeouts=timeouts)
    ways.forget()
    told = await tell(keep_silent, ways, whole=True, helped=helped, timeouts=timeouts)

    assert ways == GONE_ON
    assert told == ordinary
    assert told.answer.status == (200 if helped and timeouts is HASTY else 504)
    assert told.left == NOTHING
    assert any('outcome="timeout"' in line for line in told.counters)


async def answer_late_behind_the_head(
    _: RawUpstream, __: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(WHOLE[: -len(GOOD)])
    await asyncio.sleep(0.3)
    writer.write(GOOD)


@pytest.mark.parametrize(
    ("script", "timeouts"),
    [
        (stalling(WHOLE[: -len(GOOD)]), RouteTimeouts(first_token_s=0.1, idle_s=0.5)),
        (stalling(WHOLE[:-5]), RouteTimeouts(first_token_s=5.0, idle_s=0.1)),
        (answer_late_behind_the_head, RouteTimeouts(first_token_s=5.0, idle_s=0.1)),
    ],
    ids=["no body", "half a body", "a late body"],
)
async def test_an_answer_that_stalls_is_waited_for_as_on_the_ordinary_way(
    ways: Ways, script: Script, timeouts: RouteTimeouts
) -> None:
    ordinary = await tell(script, ways, whole=False, helped=False, timeouts=timeouts)
    ways.forget()
    told = await tell(script, ways, whole=True, helped=False, timeouts=timeouts)

    assert ways == GONE_ON
    assert told == ordinary


async def test_the_deadline_counts_from_the_requests_begin(ways: Ways) -> None:
    async def refuse_late(_: RawUpstream, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        writer.write(b"HTTP/1.1 503 Down\r\ncontent-length: 0\r\n\r\n")

    hurried = route(targets=BOTH, timeouts=RouteTimeouts(total_s=0.5))
    async with scripted(in_turn(GOOD_ANSWER, refuse_late)) as upstream, scripted(keep_silent) as other:
        providers = [provider(upstream.url), provider(other.url, name="azure")]
        async with warm(table(*providers, routes=[hurried]), ways) as (rig, caller):
            began_s = time.monotonic()
            answer = await caller.ask()
            took_s = time.monotonic() - began_s
            left = count_under_way(rig)

    assert ways == GONE_ON
    assert (answer.status, other.requests, left) == (504, 1, NOTHING)
    assert "chat/azure/e0 was too slow: not finished within 0.5 s; 2 attempts" in answer.error["message"]
    assert 0.5 <= took_s < 0.75


# -- callers that leave, and the end


async def test_a_caller_that_leaves_takes_its_upstream_along(ways: Ways) -> None:
    async with (
        scripted(in_turn(GOOD_ANSWER, keep_silent)) as upstream,
        warm(table(provider(upstream.url)), ways) as (rig, caller),
    ):
        caller.writer.write(b"".join(build()))
        await wait_until(lambda: upstream.requests == 2)
        waiting = count_under_way(rig)
        left_s = time.monotonic()
        caller.writer.close()
        async with asyncio.timeout(5):
            await upstream.wait_for_ends(1)
        took_s = time.monotonic() - left_s
        left, counters = count_under_way(rig), await read_counters(rig)
        (report,) = rig.gateway.reports()

    assert ways == EXPRESS
    assert waiting == UnderWay(requests=1, bytes=len(BODY), attempts=1, upstream=1, deadlines=1)
    assert took_s < 0.1
    assert left == NOTHING
    assert 'attempts_total{outcome="cancelled",provider="chat/openai"} 1.0' in counters
    assert 'requests_total{route="chat/route",status="4xx"} 1.0' in counters
    assert (report.circuit, report.requests, report.failures) == ("Closed", 1, 0)


@pytest.mark.parametrize("order", ["leaves and answers", "answers and leaves"])
@pytest.mark.parametrize("status", [200, 503])
async def test_a_caller_may_leave_in_the_step_in_which_the_answer_comes(
    ways: Ways, monkeypatch: pytest.MonkeyPatch, order: str, status: int
) -> None:
    """Both are there when the gateway looks at its sockets next."""
    answer = WHOLE if status == 200 else b"HTTP/1.1 503 Down\r\ncontent-length: 0\r\n\r\n"
    sock = socket.socket()
    gone = []
    send = HotConnection.answer

    def note_gone(self: HotConnection, lines: str, body: bytes) -> None:
        try:
            send(self, lines, body)
        except CallerGone:
            gone.append(True)
            raise
        gone.append(False)

    async def script(upstream: RawUpstream, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if upstream.requests == 1:
            writer.write(WHOLE)
        elif order == "leaves and answers":
            sock.close()
            writer.write(answer)
        else:
            writer.write(answer)
            sock.close()

    async with (
        scripted(script) as upstream,
        warm(table(provider(upstream.url), routes=[route(max_attempts=1)]), ways) as (rig, _),
    ):
        monkeypatch.setattr(HotConnection, "answer", note_gone)
        sock.connect(("127.0.0.1", rig.gateway.port))
        sock.sendall(b"".join(build()))
        await wait_until(lambda: upstream.requests == 2)
        await wait_until(lambda: count_under_way(rig) == NOTHING and len(rig.gateway._hot.connections) == 1)
        counters = await read_counters(rig)
        (report,) = rig.gateway.reports()

    assert ways == (EXPRESS if status == 200 else GONE_ON)
    assert gone == ([order == "leaves and answers"] if status == 200 else [])
    assert count_totals(counters, "requests") == 2
    assert count_totals(counters, "attempts") == 2
    assert (report.circuit, report.requests) == ("Closed", 2)


def count_totals(counters: Sequence[str], of: str) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in counters if line.startswith(f"{of}_total"))


async def test_the_end_of_the_gateway_leaves_nothing_of_requests_under_way(ways: Ways) -> None:
    async def script(
        upstream: RawUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if upstream.requests > 3:
            await reader.read()  # silent until it is closed
            return
        if upstream.requests == 3:
            upstream.release.set()
        await upstream.release.wait()  # so that there are three connections
        writer.write(WHOLE)

    async with (
        scripted(script) as upstream,
        serving(table(provider(upstream.url))) as rig,
        calling(rig) as one,
        calling(rig) as two,
        calling(rig) as three,
    ):
        callers = (one, two, three)
        await asyncio.gather(*(caller.ask() for caller in callers))
        ways.forget()
        for caller in callers:
            caller.writer.write(b"".join(build()))
        await wait_until(lambda: upstream.requests == 6)
        waiting = count_under_way(rig)
        await rig.gateway.stop(0.0)
        left = count_under_way(rig)
        await upstream.wait_for_ends(3)
        rests = [await caller.reader.read() for caller in callers]

    assert ways == Ways(rides=3, tasks=0)
    assert (waiting.requests, waiting.attempts, waiting.upstream) == (3, 3, 3)
    assert (left, rests) == (NOTHING, [b""] * 3)


# -- bugs of our own


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (PooledTransport, "prepare"),
        (Lane, "order"),
        (operation, "read_answer"),
        (ride, "build_fixed_lines"),
        (HotConnection, "answer"),
        (RequestBody, "build"),
        (PreparedRequest, "send_at_once"),
    ],
)
async def test_a_bug_is_answered_told_and_leaves_nothing(
    ways: Ways,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    owner: Any,
    name: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AttributeError("a bug")

    async with (
        scripted(GOOD_ANSWER) as upstream,
        serving(table(provider(upstream.url))) as rig,
        calling(rig) as caller,
    ):
        await caller.ask_in_pieces()
        ways.forget()
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fail)
            answer = await caller.ask()
        left = count_under_way(rig)
        broken = dataclasses.replace(ways)
        ways.forget()
        after = await caller.ask()
        counters = await read_counters(rig)
    logged = capsys.readouterr().out

    assert (answer.status, answer.error["headgate"], broken) == (500, "HG1017", GONE_ON)
    assert answer.headers["x-headgate-request-id"] in logged
    assert "request failed by a bug" in logged
    assert "AttributeError: a bug" in logged
    assert UPSTREAM_KEY not in logged
    assert left == NOTHING
    assert (after.status, ways) == (200, EXPRESS)
    assert 'requests_total{route="chat/route",status="5xx"} 1.0' in counters


async def test_an_attempt_that_a_bug_ends_is_counted_as_on_the_ordinary_way(
    ways: Ways, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: bytes) -> None:
        raise AttributeError("a bug")

    monkeypatch.setattr("gateway_runtime.providers.operation.read_answer", fail)
    told = []
    for whole in (False, True):
        async with (
            scripted(GOOD_ANSWER) as upstream,
            serving(table(provider(upstream.url))) as rig,
            calling(rig) as caller,
        ):
            await caller.ask_in_pieces()
            ways.forget()
            answer = await (caller.ask() if whole else caller.ask_in_pieces())
            told.append((answer.status, await read_counters(rig)))
    ordinary, express_told = told

    assert ways == GONE_ON
    assert express_told == ordinary


@pytest.mark.parametrize("name", ["503", "a dead connection", "a head without a body"])
async def test_a_bug_at_the_handing_over_is_answered_and_leaves_nothing(
    ways: Ways, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AttributeError("a bug")

    scripts = {
        "503": SCRIPTS["503"][0],
        "a dead connection": hang_up,
        "a head without a body": stalling(WHOLE[: -len(GOOD)]),
    }
    async with (
        scripted(in_turn(GOOD_ANSWER, scripts[name])) as upstream,
        warm(table(provider(upstream.url)), ways) as (rig, caller),
    ):
        monkeypatch.setattr(ride, "Journey", fail)
        answer = await caller.ask()
        left = count_under_way(rig)

    assert (answer.status, answer.error["headgate"], ways) == (500, "HG1017", GONE_ON)
    assert left == NOTHING


async def test_a_bug_at_a_deadline_is_answered_and_takes_nobody_elses_deadline(
    ways: Ways, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AttributeError("a bug")

    hasty = route(max_attempts=1, timeouts=HASTY)
    async with (
        scripted(in_turn(GOOD_ANSWER, keep_silent)) as upstream,
        warm(table(provider(upstream.url), routes=[hasty]), ways) as (rig, caller),
        calling(rig) as other,
    ):
        with monkeypatch.context() as patch:
            patch.setattr(ride, "explain_lateness", fail)
            caller.writer.write(b"".join(build()))
            await wait_until(lambda: count_under_way(rig).deadlines == 1)
            await wait_until(lambda: count_under_way(rig).deadlines == 0)
        innocent = asyncio.create_task(other.ask())
        done, _ = await asyncio.wait([innocent], timeout=5)
        answer = await asyncio.wait_for(caller.reader.read(12), 5) if done else b""
        innocent.cancel()

    assert done
    assert (innocent.result().status, answer) == (504, b"HTTP/1.1 500")


async def test_a_bug_before_a_request_is_begun_is_answered_too(
    ways: Ways, fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AttributeError("a bug")

    async with warm(table(provider(fake.url)), ways) as (rig, caller):
        with monkeypatch.context() as patch:
            patch.setattr("gateway_runtime.server.express.charge", fail)
            caller.writer.write(b"".join(build()))
            answer = await asyncio.wait_for(caller.reader.read(12), 5)
        left = count_under_way(rig)

    assert answer == b"HTTP/1.1 500"
    assert left == NOTHING


async def test_a_key_that_is_no_text_is_refused_like_any_unknown_one(ways: Ways, fake: FakeProvider) -> None:
    async with warm(table(provider(fake.url)), ways) as (_, caller):
        caller.writer.write(b"".join(build(key=b"\xff")))
        answer = await asyncio.wait_for(caller.reader.read(12), 5)

    assert answer == b"HTTP/1.1 401"


async def test_a_key_that_is_no_text_behind_another_request_harms_nobody(ways: Ways) -> None:
    async with (
        scripted(in_turn(GOOD_ANSWER, answer_when_released, GOOD_ANSWER)) as upstream,
        warm(table(provider(upstream.url)), ways) as (rig, caller),
        calling(rig) as other,
    ):
        caller.writer.write(b"".join((*build(), *build(key=b"\xff"))))
        await wait_until(lambda: upstream.requests == 2)
        upstream.release.set()
        answer = await caller.read()
        innocent = await other.ask()
        refusal = await asyncio.wait_for(caller.reader.read(12), 5)

    assert (answer.status, innocent.status, upstream.connections) == (200, 200, 1)
    assert refusal == b"HTTP/1.1 401"


async def test_a_providers_header_that_is_no_text_passes(ways: Ways) -> None:
    async def script(_: RawUpstream, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nx-request-id: \xff\r\ncontent-length: %d\r\n\r\n" % len(GOOD))
        writer.write(GOOD)

    async with (
        scripted(in_turn(GOOD_ANSWER, script)) as upstream,
        warm(table(provider(upstream.url)), ways) as (_, caller),
    ):
        caller.writer.write(b"".join(build()))
        head = await caller.reader.readuntil(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nx-request-id: \xff\r\n" in head


# -- one connection


async def test_requests_that_come_together_are_answered_in_order_each_once(
    ways: Ways, fake: FakeProvider
) -> None:
    fake.script = FakeScript(answer="{prompt}")
    bodies = [b'{"model":"gpt","messages":[{"role":"user","content":"n%d"}]}' % n for n in range(20)]
    async with warm(table(provider(fake.url)), ways) as (rig, caller):
        caller.writer.write(b"".join(b"".join(build(body)) for body in bodies))
        answers = [await caller.read() for _ in bodies]
        more = await caller.ask(bodies[0])
        left = count_under_way(rig)

    assert [answer.text for answer in (*answers, more)] == [f"n{n}" for n in (*range(20), 0)]
    assert len({answer.headers["x-headgate-request-id"] for answer in answers}) == 20
    assert ways == Ways(rides=21, tasks=0)
    assert (fake.seen.requests, left) == (22, NOTHING)


async def test_ordinary_and_other_requests_take_turns_on_a_connection(ways: Ways, fake: FakeProvider) -> None:
    async with warm(table(provider(fake.url)), ways) as (_, caller):
        requests = [build(), build(key=b"wrong"), build(), build(b"{"), build()]
        caller.writer.write(b"".join(b"".join(request) for request in requests))
        answers = [await caller.read() for _ in requests]
        slow = await caller.ask_in_pieces()
        last = await caller.ask()

    assert [answer.status for answer in answers] == [200, 401, 200, 400, 200]
    assert (slow.status, last.status) == (200, 200)
    assert ways == Ways(rides=4, tasks=3)


async def test_a_caller_that_has_not_taken_its_last_answer_goes_the_ordinary_way(ways: Ways) -> None:
    bodies = [b'{"n":%d,"x":"%b"}' % (n, b"x" * 30_000) for n in range(4)]
    answers = [answering(body) for body in bodies]
    async with (
        scripted(in_turn(GOOD_ANSWER, *answers)) as upstream,
        serving(table(provider(upstream.url))) as rig,
    ):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", rig.gateway.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=1024)  # reads 2 KiB ahead
        caller = Caller(rig, reader, writer)
        (connection,) = rig.gateway._hot.connections
        ours: socket.socket = connection._transport.get_extra_info("socket")
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await caller.ask()
        ways.forget()
        writer.write(b"".join(build()) * 4)
        await wait_until(lambda: upstream.requests == 4 and connection._drained is not None)
        begun = dataclasses.replace(ways)
        got = [await caller.read() for _ in bodies]
        left = count_under_way(rig)
        ways.forget()
        after = await caller.ask()
        writer.transport.abort()

    assert begun == Ways(rides=3, tasks=2)
    assert [answer.body for answer in got] == bodies
    assert (left, after.status, ways) == (NOTHING, 200, EXPRESS)


# -- tables that change


async def test_a_new_key_holds_at_the_next_request(ways: Ways, fake: FakeProvider) -> None:
    async with warm(table(provider(fake.url)), ways) as (rig, caller):
        await rig.apply(table(provider(fake.url), tenants=[tenant(key="another")]))
        old = await caller.ask()
        ways.forget()
        new = await caller.ask(key=b"another")

    assert (old.status, new.status, ways) == (401, 200, EXPRESS)


async def test_a_removed_route_is_gone_at_the_next_request(ways: Ways, fake: FakeProvider) -> None:
    async with warm(table(provider(fake.url)), ways) as (rig, caller):
        await rig.apply(table(provider(fake.url), routes=[route("other")]))
        gone = await caller.ask()
        ways.forget()
        other = await caller.ask(b'{"model":"other"}')

    assert (gone.status, other.status, ways) == (404, 200, EXPRESS)


async def test_a_model_taken_from_a_tenant_is_refused_at_the_next_request(
    ways: Ways, fake: FakeProvider
) -> None:
    async with warm(table(provider(fake.url)), ways) as (rig, caller):
        await rig.apply(table(provider(fake.url), tenants=[tenant(models=["other"])]))
        answer = await caller.ask()

    assert (answer.status, ways) == (404, ORDINARY)


async def test_a_changed_credential_is_sent_with_the_next_request(ways: Ways, fake: FakeProvider) -> None:
    async with warm(table(provider(fake.url)), ways) as (rig, caller):
        await rig.apply(table(provider(fake.url, keys=["sk-rotated"])))
        answer = await caller.ask()

    assert (answer.status, ways) == (200, EXPRESS)
    assert [seen.authorization for seen in fake.seen.latest] == [
        f"Bearer {UPSTREAM_KEY}",
        "Bearer sk-rotated",
    ]


async def test_an_edited_weight_holds_at_the_next_request(
    ways: Ways, fake: FakeProvider, other_fake: FakeProvider
) -> None:
    def weigh(openai: int, azure: int) -> Route:
        return route(targets=[build_target(weight=openai), build_target("azure", weight=azure)])

    providers = [provider(fake.url), provider(other_fake.url, name="azure")]
    async with warm(table(*providers, routes=[weigh(1, 0)]), ways) as (rig, caller):
        await rig.apply(table(*providers, routes=[weigh(0, 1)]))
        second, third = await caller.ask(), await caller.ask()
        await rig.apply(table(*providers, routes=[weigh(1, 0)]))
        fourth = await caller.ask()

    assert [answer.headers["x-headgate-provider"] for answer in (second, third, fourth)] == [
        "chat/azure",
        "chat/azure",
        "chat/openai",
    ]
    assert ways == Ways(rides=3, tasks=1)


async def test_a_route_that_begins_to_hedge_is_ordinary_no_more(ways: Ways, fake: FakeProvider) -> None:
    async with warm(table(provider(fake.url)), ways) as (rig, caller):
        await rig.apply(table(provider(fake.url), routes=[replace(route(), hedge=HEDGED.hedge)]))
        answer = await caller.ask()

    assert (answer.status, ways) == (200, ORDINARY)


async def test_a_new_deadline_holds_at_the_next_request(ways: Ways) -> None:
    async with (
        scripted(in_turn(GOOD_ANSWER, keep_silent)) as upstream,
        warm(table(provider(upstream.url)), ways) as (rig, caller),
    ):
        hasty = route(max_attempts=1, timeouts=RouteTimeouts(first_token_s=0.05))
        await rig.apply(table(provider(upstream.url), routes=[hasty]))
        answer = await caller.ask()

    assert (answer.status, ways) == (504, GONE_ON)
    assert "no first byte within 0.05 s" in answer.error["message"]


@pytest.mark.parametrize("status", [200, 503])
async def test_a_request_under_way_to_an_endpoint_that_leaves_is_finished(
    ways: Ways, fake: FakeProvider, status: int
) -> None:
    """With the table that it began with: its second provider is gone from the new one as well."""

    async def script(upstream: RawUpstream, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upstream.release.wait()
        writer.write(WHOLE if status == 200 else b"HTTP/1.1 503 Down\r\ncontent-length: 0\r\n\r\n")

    async with scripted(in_turn(GOOD_ANSWER, script)) as upstream, scripted(GOOD_ANSWER) as second:
        providers = [provider(upstream.url), provider(second.url, name="azure")]
        async with warm(table(*providers, routes=[route(targets=BOTH)]), ways) as (rig, caller):
            caller.writer.write(b"".join(build()))
            await wait_until(lambda: upstream.requests == 2)
            other = provider(fake.url, name="other")
            await rig.apply(table(other, routes=[route(targets=[build_target("other")])]))
            upstream.release.set()
            answer = await caller.read()
            await upstream.wait_for_ends(1)
            finished = dataclasses.replace(ways)
            left = count_under_way(rig)
            after = await caller.ask()

    assert answer.status == 200
    assert answer.headers["x-headgate-provider"] == ("chat/openai" if status == 200 else "chat/azure")
    assert (finished, left) == (EXPRESS if status == 200 else GONE_ON, NOTHING)
    assert after.headers["x-headgate-provider"] == "chat/other"


# -- circuits


async def test_a_trial_is_made_and_closes_the_circuit(ways: Ways) -> None:
    fragile = replace(CIRCUIT, consecutive_failures=1, open_s=0.05)
    async with scripted(in_turn(GOOD_ANSWER, SCRIPTS["503"][0], GOOD_ANSWER)) as upstream:
        first = table(provider(upstream.url, circuit=fragile), routes=[route(max_attempts=1)])
        async with warm(first, ways) as (rig, caller):
            failed = await caller.ask()
            (opened,) = rig.gateway.reports()
            await wait_until(lambda: rig.gateway.reports()[0].circuit == "HalfOpen")
            ways.forget()
            answer = await caller.ask()
            (closed,) = rig.gateway.reports()

    assert (failed.status, opened.circuit) == (503, "Open")
    assert (answer.status, closed.circuit, ways) == (200, "Closed", EXPRESS)


async def test_a_trial_whose_caller_leaves_is_free_for_the_next(ways: Ways) -> None:
    fragile = replace(CIRCUIT, consecutive_failures=1, open_s=0.05)
    async with scripted(in_turn(GOOD_ANSWER, SCRIPTS["503"][0], keep_silent, GOOD_ANSWER)) as upstream:
        first = table(provider(upstream.url, circuit=fragile), routes=[route(max_attempts=1)])
        async with warm(first, ways) as (rig, caller):
            await caller.ask()
            await wait_until(lambda: rig.gateway.reports()[0].circuit == "HalfOpen")
            ways.forget()
            async with calling(rig) as leaving:
                leaving.writer.write(b"".join(build()))
                await wait_until(lambda: upstream.requests == 3)
                refused = await caller.ask()
            await wait_until(lambda: count_under_way(rig) == NOTHING)
            answer = await caller.ask()

    assert (refused.status, refused.error["headgate"]) == (503, "HG1010")
    assert answer.status == 200


# -- the access log


@pytest.mark.parametrize("whole", [True, False], ids=["express", "ordinary"])
async def test_its_line_in_the_access_log_is_that_of_the_ordinary_way(ways: Ways, whole: bool) -> None:
    async with (
        scripted(GOOD_ANSWER) as upstream,
        warm(table(provider(upstream.url)), ways, settings(access_log=True)) as (_, caller),
    ):
        with capture_logs() as logs:
            answer = await (caller.ask() if whole else caller.ask_in_pieces())
    (line,) = logs

    assert ways == (EXPRESS if whole else ORDINARY)
    assert line.pop("duration_ms") >= 0
    assert line.pop("request_id") == answer.headers["x-headgate-request-id"]
    assert line == {
        "event": "request",
        "log_level": "info",
        "path": "/v1/chat/completions",
        "tenant": "chat/team",
        "route": "chat/route",
        "model": "gpt",
        "provider": "chat/openai",
        "attempts": 1,
        "status": 200,
        "error": None,
        "fallback": None,
        "decisions": ("chat/openai/e0 chosen: Weighted",),
        "input_tokens": 1,
        "output_tokens": 2,
    }


async def log_requests(
    first: RoutingTable, ways: Ways, caller_asks: Sequence[bool]
) -> list[tuple[object, object, object]]:
    """Status, attempts and decisions of requests behind a good one. caller_asks: whether in one piece."""
    async with warm(first, ways, settings(access_log=True)) as (_, caller):
        with capture_logs() as logs:
            for whole in caller_asks:
                await (caller.ask() if whole else caller.ask_in_pieces())
    lines = [line for line in logs if line["event"] == "request"]
    return [(line["status"], line["attempts"], line["decisions"]) for line in lines]


@pytest.mark.parametrize("helped", [True, False], ids=["helped", "alone"])
async def test_its_decisions_are_told_as_on_the_ordinary_way_when_a_circuit_opens(
    ways: Ways, fake: FakeProvider, helped: bool
) -> None:
    """One request opens the circuit, the other finds it open."""
    fragile = replace(CIRCUIT, consecutive_failures=1)
    targets = BOTH if helped else ()
    told = []
    for whole in (False, True):
        async with scripted(in_turn(GOOD_ANSWER, SCRIPTS["503"][0])) as upstream:
            providers = [provider(upstream.url, circuit=fragile), provider(fake.url, name="azure")]
            first = table(*providers, routes=[route(targets=targets)])
            ways.forget()
            told.append(await log_requests(first, ways, [whole, whole]))
    ordinary, express_told = told

    assert ways.rides == 2
    assert express_told == ordinary
