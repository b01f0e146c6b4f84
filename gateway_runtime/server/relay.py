"""An answer on its way from a provider to the caller: read, judged, and passed on when it is good.

`attempt` makes a Relay for each request that it sends. Nothing goes out before it is known that something
good comes in: a whole JSON answer is read first, a stream begins with its first good event. A sound or a file
is not read at all. The three ways stand together, and make this long, because they share the waiting and the
bookkeeping.

The one subtle rule: a stream is passed on up to its last whole event. When it breaks off, the caller has no
torn event, only the error event after it, and no clean end of the connection.
"""

import asyncio
import math
from contextlib import suppress
from typing import Final

from gateway_runtime.contract.secret import REDACTED, Secret
from gateway_runtime.contract.table import Credential
from gateway_runtime.engine.learnt import LearntLimits, LimitKey, read_wait
from gateway_runtime.engine.plan import Choice
from gateway_runtime.engine.retry import Outcome, classify
from gateway_runtime.providers.answer import Fault
from gateway_runtime.providers.cause import Cause
from gateway_runtime.providers.translation import Translation
from gateway_runtime.providers.usage import Usage
from gateway_runtime.providers.wire import CallerStream
from gateway_runtime.server.address import Addressed
from gateway_runtime.server.bound import measure_body
from gateway_runtime.server.call import Call, Ended, PassedAnswer, Sent
from gateway_runtime.server.cost import find_prices
from gateway_runtime.server.endpoint import Attempt
from gateway_runtime.server.headers import (
    JSON,
    build_event_headers,
    build_headers,
    parse_retry_after,
    select_passed,
)
from gateway_runtime.server.paced import PacedBody
from gateway_runtime.server.patience import Patience
from gateway_runtime.server.refusal import interrupt_stream
from gateway_runtime.upstream.exchange import DiedIdle, UpstreamAnswer, UpstreamFailure
from gateway_runtime.upstream.trust import settings_of

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""2,048 embeddings of 3,072 dimensions as JSON text are some 60 MB, the largest answer that OpenAI gives."""

MAX_ERROR_BYTES: Final = 1024 * 1024

LAST_WORDS_S: Final = 1.0
"""For a caller to take the event that says its stream broke off: one that reads nothing must not outlive its
deadline. A guess.
"""

_OUTCOMES: Final = {
    Cause.BAD_REQUEST: Outcome.CALLER_ERROR,
    Cause.CONTEXT_TOO_LONG: Outcome.CALLER_ERROR,
    Cause.CONTENT_FILTERED: Outcome.CALLER_ERROR,
    Cause.REQUEST_TOO_LARGE: Outcome.UNSUITABLE,
    Cause.NOT_FOUND: Outcome.UNSUITABLE,
    Cause.QUOTA_SPENT: Outcome.UNSUITABLE,
    Cause.CREDENTIAL_REFUSED: Outcome.CREDENTIAL_REFUSED,
    Cause.RATE_LIMITED: Outcome.RATE_LIMITED,
    Cause.OVERLOADED: Outcome.SERVER_ERROR,
    Cause.TIMED_OUT: Outcome.TIMEOUT,
    Cause.SERVER_ERROR: Outcome.SERVER_ERROR,
}
"""What the engine makes of a provider's words; neither of the two knows the other."""


class Relay:
    __slots__ = (
        "_answer",
        "_call",
        "_choice",
        "_credential",
        "_is_noted",
        "_is_unread",
        "_learnt",
        "_patience",
        "_secret",
        "_sent_s",
        "_state",
        "_translation",
        "_waited_s",
        "_waiting",
        "begun",
        "sent",
        "waits_for_caller",
    )

    def __init__(
        self,
        call: Call,
        choice: Choice,
        credential: Credential | None,
        state: Attempt,
        learnt: LearntLimits,
        patience: Patience,
    ) -> None:
        self._call = call
        self._choice = choice
        self._credential = credential
        self._state = state
        self._learnt = learnt
        self._patience = patience
        self._translation: Translation
        """Set with the request."""
        self._secret: Secret | None = None
        self._answer: UpstreamAnswer | None = None
        self._sent_s = 0.0
        self._waited_s = 0.0
        """Of the request, before this attempt."""
        self._is_noted = False
        """What its stream used is."""
        self._is_unread = False
        """What goes out is nothing that an event could follow."""
        self._waiting = False
        """For the first of the answer; that time is the provider's, not ours."""
        self.begun = False
        """Bytes of a stream have gone out."""
        self.waits_for_caller = False
        """To take what has come of a stream, or to send more of its own body."""
        self.sent = False
        """A whole answer has, as far as the caller takes it."""

    async def run(self, addressed: Addressed, *, again: bool = False) -> Ended:
        """again: it met a connection that had died idle."""
        call = self._call
        request, self._translation, self._secret = addressed
        if not again:
            self._begin_to_wait(call.clock.now())
        tls = settings_of(self._choice.provider)
        if request.body is not None and not isinstance(request.body, bytes):
            request = request._replace(body=PacedBody(request.body, self, self._patience))
        answer = await call.transport.send(request, self._patience.expect_first_byte, tls, again=again)
        return await self._judge(answer)

    async def go_on(self, sent: Sent, addressed: Addressed) -> Ended:
        """`sent` is what became of the request."""
        self._begin_to_wait(sent.at_s)
        if isinstance(sent.result, DiedIdle):
            return await self.run(addressed, again=True)
        _, self._translation, self._secret = addressed
        if isinstance(sent.result, UpstreamFailure):
            raise sent.result
        self._patience.expect_first_byte(sent.at_s)
        return await self._judge(sent.result)

    async def _judge(self, answer: UpstreamAnswer) -> Ended:
        self._answer = answer
        self.waits_for_caller = False  # whatever it said, it said without the rest of the body
        outcome = classify(answer.status)
        self._learn(answer, outcome)
        if answer.headers.get("content-encoding", "identity") != "identity":
            return Ended(Outcome.MALFORMED, "it is compressed, although that was declined")
        if outcome is Outcome.OK:
            operation = self._call.question.operation
            if operation.reads_type and operation.passes(answer.headers.get("content-type", "")):
                return await self._relay_bytes(answer, answer.headers.get("content-type", ""))
            streamed = self._call.question.body.stream
            return await (self._relay_stream(answer) if streamed else self._relay_body(answer))
        if outcome is Outcome.MALFORMED:
            return Ended(outcome, f"status {answer.status}, which is no answer to a request")
        return await self._judge_refusal(answer, outcome)

    async def interrupt(self, ended: Ended) -> None:
        """Ends a stream that has begun, with an event that says so: the provider's own, if it gave one."""
        error = interrupt_stream(self._choice.endpoint.id, ended.reason)
        self._call.record.error = error.code
        self._call.books.keep(self._call.record)
        if self._is_unread:
            self._call.reply.cut()
            return
        dialect = self._call.question.dialect
        event = dialect.build_error_event(error)
        if ended.passed is not None and ended.passed.body is not None:
            event = dialect.build_last_event(ended.passed.body)
        reply = self._call.reply
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await reply.write(event)
        reply.cut()

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
        read = self._translation.read_answer(body)
        self._note_usage(read.usage)
        if read.usage is None and read.fault is None:
            self._note_untold()
        if read.fault is not None:
            return self._end_at(read.fault, answer)
        self._note_first_byte()
        self._state.end(Outcome.OK, "")  # whether the caller takes the answer says nothing of the endpoint
        self._patience.rest()
        self._note_translation()
        headers = build_headers(call.record, call.clock.now(), JSON)
        headers.update(select_passed(answer.headers))
        self.sent = True
        call.books.keep(call.record, answer.status)
        await call.reply.send(answer.status, headers, read.body)
        return Ended(Outcome.OK, answered=True)

    async def _relay_bytes(self, answer: UpstreamAnswer, content_type: str) -> Ended:
        """Of any type, unread: a sound, a file. What has come when it breaks off has gone out, and the
        connection is cut, so that nobody takes it for whole.
        """
        call = self._call
        self._is_unread = True
        held = b""
        full = False

        def take(chunk: bytes) -> bool:
            """False: the task has to go on with it."""
            nonlocal held, full
            self._patience.expect_more()
            if not self.begun:
                held = chunk
                return False
            full = not call.reply.write_now(chunk)
            return not full

        more = True
        while more:
            if self.begun:
                self._patience.expect_more()
            more = await answer.pump(take)
            if held:
                await self._begin(held, self._build_byte_headers(answer, content_type))
                held = b""
            elif full:
                full = False
                await self._wait_for_caller()
        self._answer = None
        if not self.begun:
            await self._begin(b"", self._build_byte_headers(answer, content_type))
        call.books.keep(call.record, 200)
        await call.reply.end()
        return Ended(Outcome.OK, answered=True)

    def _build_byte_headers(self, answer: UpstreamAnswer, content_type: str) -> dict[str, str]:
        self._stop_waiting()
        self._note_translation()
        record = self._call.record
        headers = build_headers(record, self._call.clock.now(), content_type or "application/octet-stream")
        if "content-disposition" in answer.headers:
            headers["content-disposition"] = answer.headers["content-disposition"]
        return headers

    async def _relay_stream(self, answer: UpstreamAnswer) -> Ended:
        """A comment is no sign that the first token is near: only a good event ends the wait for it."""
        reader = self._translation.open_stream()
        held = b""
        full = False

        def take(chunk: bytes) -> bool:
            """False: the task has to go on with it."""
            nonlocal held, full
            data = reader.feed(chunk)
            if reader.done:
                self._close_stream(reader)
            if data and not self.begun:
                held = data
                return False
            if data and not self._call.reply.write_now(data):
                full = True
                return False
            if reader.events:
                self._patience.expect_more()
            return not reader.ended

        try:
            more = True
            while more and not reader.ended:
                if reader.events:
                    self._patience.expect_more()
                more = await answer.pump(take)
                if held:
                    await self._begin(held)
                    held = b""
                elif full:
                    full = False
                    await self._wait_for_caller()
            if rest := reader.finish():
                self._close_stream(reader)
                await self._write(rest)
        finally:
            self._note_stream(reader)
        if reader.fault is not None:
            return self._end_at(reader.fault, answer)
        return await self._end_stream(answer)

    async def _end_stream(self, answer: UpstreamAnswer) -> Ended:
        """[DONE] and the end of the body mostly come together, and then the connection has gone back to the
        pool. A provider that leaves its stream open after [DONE] loses the connection a little later; the
        caller waits for neither.
        """
        self._answer = None
        answer.linger()
        self._call.books.keep(self._call.record, 200)
        await self._call.reply.end()
        return Ended(Outcome.OK, answered=True)

    async def _write(self, data: bytes) -> None:
        if not self.begun:
            await self._begin(data)
        elif not self._call.reply.write_now(data):
            await self._wait_for_caller()

    async def _begin(self, data: bytes, headers: dict[str, str] | None = None) -> None:
        """The stream, with the first that may go out of it. headers: where it is not one of events."""
        self._patience.rest()
        self._stop_waiting()
        self._note_first_byte()
        self.begun = True
        if headers is None:
            self._note_translation()
            headers = build_event_headers(self._call.record, self._call.clock.now())
        if self._answer is not None:
            headers.update(select_passed(self._answer.headers))
        await self._call.reply.begin(200, headers)
        if data:
            await self._write(data)

    async def _wait_for_caller(self) -> None:
        self._patience.rest()
        self.waits_for_caller = True
        await self._call.reply.drain()
        self.waits_for_caller = False

    def _end_at(self, fault: Fault, answer: UpstreamAnswer) -> Ended:
        """A provider that says 200 and then no good answer."""
        if fault.cause is None:
            outcome = Outcome.RESET if fault.kind == "torn" else Outcome.MALFORMED
            return Ended(outcome, fault.reason, self.begun)
        headers = select_passed(answer.headers, error=True)
        passed = PassedAnswer(fault.status, headers, self._redact(self._translation.build_fault(fault)))
        return Ended(_OUTCOMES[fault.cause], fault.reason, self.begun, passed=passed)

    async def _judge_refusal(self, answer: UpstreamAnswer, outcome: Outcome) -> Ended:
        said = answer.whole()
        if said is None:
            said = await self._read(answer, MAX_ERROR_BYTES)
        refusal = self._translation.read_refusal(answer.status, said)
        if answer.status != 401:  # that is about the credential, whatever the words; 403 may be about a model
            outcome = _OUTCOMES[refusal.cause]
        body = None if refusal.body is None else self._redact(refusal.body)
        headers = select_passed(answer.headers, error=True)
        retry_after_s = parse_retry_after(answer.headers, self._call.clock.unix())
        if retry_after_s is None and refusal.retry_after_s is not None:
            retry_after_s = refusal.retry_after_s
            headers["retry-after"] = str(max(1, math.ceil(retry_after_s)))
        passed = PassedAnswer(refusal.status, headers, body)
        return Ended(
            outcome,
            f"{answer.status} from upstream",
            retry_after_s=retry_after_s,
            passed=passed,
        )

    def _learn(self, answer: UpstreamAnswer, outcome: Outcome) -> None:
        """What the provider tells of its own limits."""
        now_s = self._call.clock.now()
        limited = outcome is Outcome.RATE_LIMITED
        wait_s = read_wait(
            answer.headers, parse_retry_after(answer.headers, self._call.clock.unix()) if limited else None
        )
        if wait_s is not None:
            name = "" if self._credential is None else self._credential.name
            key = LimitKey(self._choice.endpoint.id, name, self._choice.model)
            self._learnt.note(key, wait_s, now_s, sent_s=self._sent_s)

    def _redact(self, body: bytes) -> bytes:
        """Some servers quote the key that they refuse."""
        if self._secret is None:
            return body
        return body.replace(self._secret.reveal().encode(), REDACTED.encode())

    async def _read(self, answer: UpstreamAnswer, limit_bytes: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        while chunk := await answer.next_chunk():
            self._patience.expect_more()
            parts.append(chunk)
            size += len(chunk)
            if size > limit_bytes:
                raise UpstreamFailure(Outcome.MALFORMED, f"it is longer than {limit_bytes} bytes")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _begin_to_wait(self, sent_s: float) -> None:
        self._sent_s = sent_s
        self._waited_s = self._call.record.waited_s
        self._waiting = True

    def _stop_waiting(self) -> None:
        if self._waiting:
            self._waiting = False
            record = self._call.record
            # Not a sum: copies of a race wait at the same time.
            record.waited_s = max(record.waited_s, self._waited_s + self._call.clock.now() - self._sent_s)

    def _note_translation(self) -> None:
        """Its answer is the one that goes out."""
        record = self._call.record
        record.provider = self._choice.provider
        record.upstream_model = self._choice.model
        record.dropped = self._translation.outgoing.dropped

    def _close_stream(self, reader: CallerStream) -> None:
        """Before its last event goes out, which is where callers stop to read."""
        self._note_stream(reader)
        self._call.books.keep(self._call.record, 200)

    def _note_stream(self, reader: CallerStream) -> None:
        """However it ended: what was used so far was used."""
        if self._is_noted:
            return
        self._is_noted = True
        record = self._call.record
        self._note_usage(reader.usage)
        record.events = reader.events
        if reader.usage is None and reader.events:
            self._note_untold()
        if reader.done:
            record.done_s = self._call.clock.now()

    def _note_usage(self, usage: Usage | None) -> None:
        if usage is not None:
            self._call.record.note_usage(usage, find_prices(self._choice))

    def _note_untold(self) -> None:
        """It answers, and tells no usage."""
        self._call.record.note_untold(measure_body(self._call.question.body), find_prices(self._choice))

    def _note_first_byte(self) -> None:
        self._state.note_first_byte(self._call.clock.now() - self._sent_s)
