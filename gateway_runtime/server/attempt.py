"""One attempt: a request sent to one endpoint with one credential, and its answer relayed or judged.

`request` calls `make_attempt` for each choice in turn. Either the answer went to the caller (`answered`), or
nothing did and the attempt may be repeated elsewhere: nothing goes out before it is known that something good
comes in. A whole JSON answer is read first; a stream begins with its first whole event.

The one subtle rule: a stream is passed on up to its last whole event. When it breaks off, the caller has no
torn event, only the error event after it, and no clean end of the connection.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from gateway_runtime.contract.secret import REDACTED, Secret
from gateway_runtime.contract.table import Timeouts
from gateway_runtime.engine.balance import Choice
from gateway_runtime.engine.retry import Outcome, classify
from gateway_runtime.providers import openai, sse
from gateway_runtime.server.endpoint import Attempt, Clock
from gateway_runtime.server.headers import (
    JSON,
    build_event_headers,
    build_headers,
    parse_retry_after,
    select_passed,
)
from gateway_runtime.server.metrics import Metrics
from gateway_runtime.server.patience import Patience, Timekeeper
from gateway_runtime.server.record import Record
from gateway_runtime.server.refusal import interrupt_stream
from gateway_runtime.server.upstream import Transport, UpstreamAnswer, UpstreamFailure, UpstreamRequest

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""2,048 embeddings of 3,072 dimensions as JSON text are some 60 MB, the largest answer that OpenAI gives."""

MAX_ERROR_BYTES: Final = 1024 * 1024

_STREAM_OPENINGS: Final = (b":", b"data", b"event", b"id", b"retry")


class Reply(Protocol):
    """The way back to the caller, which `front` gives. Each raises CallerGone when nobody listens."""

    async def send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """A whole answer."""

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """A stream; `write` as often as there is something, then `end` or `cut`."""

    async def write(self, data: bytes) -> None: ...

    async def end(self) -> None: ...

    def cut(self) -> None:
        """Closes the connection without a clean end, so that nobody takes the answer for whole."""


class CallerGone(Exception):
    """The caller's connection is closed."""


class Call(NamedTuple):
    """What stays the same over all attempts of a request."""

    facts: openai.RequestFacts
    body: bytes
    path: str
    """Behind the endpoint's URL: `/chat/completions`."""
    record: Record
    reply: Reply
    transport: Transport
    metrics: Metrics
    clock: Clock
    keeper: Timekeeper


class PassedAnswer(NamedTuple):
    """A provider's refusal, fit to be passed on."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Ended(NamedTuple):
    """How an attempt ended. `reason` is one clause, empty when all was well."""

    outcome: Outcome
    reason: str = ""
    answered: bool = False
    retry_after_s: float | None = None
    passed: PassedAnswer | None = None


async def make_attempt(
    call: Call,
    choice: Choice,
    credential: Secret | None,
    state: Attempt,
    timeouts: Timeouts,
    deadline_s: float,
) -> Ended:
    """deadline_s: of the whole request, on the loop's clock. `state` is ended here, whatever happens."""
    request = UpstreamRequest(
        "POST",
        choice.endpoint.url + call.path,
        openai.build_headers(credential, call.record.request_id),
        openai.build_body(call.body, call.facts, choice.model),
        timeouts.connect_s,
    )
    now = call.clock.now
    patience = Patience(timeouts, min(now() + timeouts.total_s, deadline_s), call.keeper)
    relay = _Relay(call, choice, credential, state, patience)
    ended = Ended(Outcome.CANCELLED)
    try:
        with patience:
            ended = await relay.run(request)
    except UpstreamFailure as error:
        ended = Ended(error.outcome, error.reason, answered=relay.begun)
    except TimeoutError:
        if not patience.expired:
            raise
        ended = Ended(Outcome.TIMEOUT, patience.reason(), answered=relay.begun)
    finally:
        state.end(ended.outcome, ended.reason)
        call.metrics.count_attempt(choice.provider.id, ended.outcome)
        relay.close()
    if relay.begun and ended.outcome is not Outcome.OK:
        await relay.interrupt(ended.reason)
    return ended


class _Relay:
    __slots__ = (
        "_answer",
        "_call",
        "_choice",
        "_credential",
        "_heard",
        "_patience",
        "_sent_s",
        "_state",
        "_waiting",
        "begun",
    )

    def __init__(
        self, call: Call, choice: Choice, credential: Secret | None, state: Attempt, patience: Patience
    ) -> None:
        self._call = call
        self._choice = choice
        self._credential = credential
        self._state = state
        self._patience = patience
        self._answer: UpstreamAnswer | None = None
        self._sent_s = 0.0
        self._heard = False
        self._waiting = False
        """For the first of the answer; that time is the provider's, not ours."""
        self.begun = False
        """Bytes of a stream have gone out."""

    async def run(self, request: UpstreamRequest) -> Ended:
        call = self._call
        self._sent_s = call.clock.now()
        self._waiting = True
        self._answer = answer = await call.transport.send(request, self._patience.expect_first_byte)
        outcome = classify(answer.status)
        if answer.headers.get("content-encoding", "identity") != "identity":
            return Ended(Outcome.MALFORMED, "it is compressed, although that was declined")
        if outcome is Outcome.OK:
            return await (self._relay_stream(answer) if call.facts.stream else self._relay_body(answer))
        if outcome is Outcome.MALFORMED:
            return Ended(outcome, f"status {answer.status}, which is no answer to a request")
        return await self._judge_refusal(answer, outcome)

    async def interrupt(self, reason: str) -> None:
        """Ends a stream that has begun, with an event that says so."""
        error = interrupt_stream(self._choice.endpoint.id, reason)
        self._call.record.error = error.code
        await self._call.reply.write(openai.build_error_event(error))
        self._call.reply.cut()

    def close(self) -> None:
        self._stop_waiting()
        if self._answer is not None:
            self._answer.close()

    async def _relay_body(self, answer: UpstreamAnswer) -> Ended:
        call = self._call
        body = answer.whole()
        if body is None:
            body = await self._read(answer, MAX_ANSWER_BYTES)
        self._stop_waiting()
        if not openai.check_answer(body):
            return Ended(Outcome.MALFORMED, "its body is not a JSON object")
        self._note_first_byte()
        self._state.end(Outcome.OK, "")  # whether the caller takes the answer says nothing of the endpoint
        self._patience.rest()
        headers = build_headers(call.record, call.clock.now(), JSON)
        headers.update(select_passed(answer.headers))
        await call.reply.send(answer.status, headers, body)
        return Ended(Outcome.OK, answered=True)

    async def _relay_stream(self, answer: UpstreamAnswer) -> Ended:
        framer = sse.Framer()
        held = b""
        while chunk := await self._next_chunk(answer):
            try:
                events = framer.feed(chunk)
            except sse.OversizedEvent as error:
                return Ended(Outcome.MALFORMED, str(error), self.begun)
            whole = len(held) + len(chunk) - framer.pending_bytes
            data = held + chunk if held else chunk
            held = data[whole:]
            if not self.begun and not events and not _may_open_stream(data[:whole]):
                return Ended(Outcome.MALFORMED, "its body is not a stream of events")
            done = bool(events) and events[-1].data == openai.DONE
            if not all(openai.check_answer(event.data) for event in (events[:-1] if done else events)):
                return Ended(Outcome.MALFORMED, "an event of its stream is not a JSON object", self.begun)
            await self._write(data[:whole])
            if done:
                return await self._end_stream(answer)
        return Ended(Outcome.RESET, "its stream ended without [DONE]", self.begun)

    async def _end_stream(self, answer: UpstreamAnswer) -> Ended:
        """[DONE] and the end of the body mostly come together, and then the connection has gone back to the
        pool. A provider that leaves its stream open after [DONE] loses the connection a little later; the
        caller waits for neither.
        """
        self._answer = None
        answer.linger()
        await self._call.reply.end()
        return Ended(Outcome.OK, answered=True)

    async def _write(self, data: bytes) -> None:
        if not data:
            return
        self._patience.rest()
        if not self.begun:
            self._stop_waiting()
            self._note_first_byte()
            self.begun = True
            await self._call.reply.begin(200, self._build_event_headers())
        await self._call.reply.write(data)

    def _build_event_headers(self) -> dict[str, str]:
        headers = build_event_headers(self._call.record, self._call.clock.now())
        if self._answer is not None:
            headers.update(select_passed(self._answer.headers))
        return headers

    async def _judge_refusal(self, answer: UpstreamAnswer, outcome: Outcome) -> Ended:
        body = await self._read(answer, MAX_ERROR_BYTES)
        if self._credential is not None:
            # Some servers quote the key that they refuse.
            body = body.replace(self._credential.reveal().encode(), REDACTED.encode())
        passed = PassedAnswer(answer.status, select_passed(answer.headers, error=True), body)
        return Ended(
            outcome,
            f"{answer.status} from upstream",
            retry_after_s=parse_retry_after(answer.headers, self._call.clock.unix()),
            passed=passed,
        )

    async def _read(self, answer: UpstreamAnswer, limit_bytes: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        while chunk := await self._next_chunk(answer):
            parts.append(chunk)
            size += len(chunk)
            if size > limit_bytes:
                raise UpstreamFailure(Outcome.MALFORMED, f"it is longer than {limit_bytes} bytes")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _next_chunk(self, answer: UpstreamAnswer) -> bytes:
        if self._heard:
            self._patience.expect_more()
        chunk = await answer.next_chunk()
        self._heard = True
        return chunk

    def _stop_waiting(self) -> None:
        if self._waiting:
            self._waiting = False
            self._call.record.waited_s += self._call.clock.now() - self._sent_s

    def _note_first_byte(self) -> None:
        self._state.note_first_byte(self._call.clock.now() - self._sent_s)


def _may_open_stream(data: bytes) -> bool:
    """Whether lines without an event in them may stand at the beginning of a stream: a comment, mostly."""
    text = data.strip()
    return not text or text.startswith(_STREAM_OPENINGS)
