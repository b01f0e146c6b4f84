"""From a caller's request to a provider's, and back: both ends of one attempt, whatever each of them speaks.

    Question + Wire + Target -> translate -> Translation: what goes out, and how what comes back is read

`server` makes a Question for each request and asks `translate` for each attempt. Four kinds of Translation:

    Passing            both speak the same: bytes pass, `model` is spliced in
    ChatTranslation    a chat through the hub of `chat`
    EmbeddingsTranslation
    RerankTranslation

The one subtle rule: a Translation belongs to one attempt. What it has learnt of one provider's answer says
nothing about the next one's.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol, assert_never

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.contract.ids import EndpointId, ProviderId, TenantId
from gateway_runtime.contract.secret import Secret
from gateway_runtime.providers.answer import Fault
from gateway_runtime.providers.cause import Cause, find_cause, judge_error
from gateway_runtime.providers.chat.answer import ChatChunk
from gateway_runtime.providers.chat.request import ChatRequest
from gateway_runtime.providers.dialect import Asked, ChunkWriter, Dialect, Stamp
from gateway_runtime.providers.embeddings import build_embeddings, read_embeddings
from gateway_runtime.providers.error import ProviderError
from gateway_runtime.providers.operation import Operation
from gateway_runtime.providers.request_body import RequestBody
from gateway_runtime.providers.rerank import RerankAsked, build_ranking, check_losses, read_rerank
from gateway_runtime.providers.seal import Seal
from gateway_runtime.providers.usage import Usage
from gateway_runtime.providers.wire import (
    CallerStream,
    ChatStream,
    EmbeddingsRequest,
    Outgoing,
    Target,
    Wire,
)
from gateway_runtime.providers.wires.cohere.wire import CohereWire

_COMMON_STATUSES: Final = frozenset({400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503, 504, 529})
"""Those which SDKs know; others are a provider's own (Cohere's 498, Bedrock's 424)."""


class Read(NamedTuple):
    """A whole answer, as the caller gets it."""

    body: bytes
    usage: Usage | None
    fault: Fault | None


class Refusal(NamedTuple):
    cause: Cause
    status: int
    body: bytes | None
    """For the caller. None: it says nothing that the caller's SDK could read."""
    retry_after_s: float | None = None
    """As the body says it."""


class Translation(Protocol):
    outgoing: Outgoing

    def read_answer(self, body: bytes) -> Read:
        """body: of a whole answer with status 200."""

    def open_stream(self) -> CallerStream: ...

    def read_refusal(self, status: int, body: bytes) -> Refusal:
        """status: from 400."""

    def build_fault(self, fault: Fault) -> bytes:
        """The JSON for the caller, of a fault of kind `error`."""


class Owner(NamedTuple):
    """Who is asked for by the ids that go out."""

    salt: Secret
    tenant: TenantId


class Pin(NamedTuple):
    """What is asked about is kept there, and nowhere else."""

    provider: ProviderId
    endpoint: EndpointId | None
    """None: any of the provider's."""


class Question:
    """What a caller asks, read as far as somebody needed it."""

    __slots__ = ("_asked", "_embeddings", "body", "headers", "operation", "owner", "pin", "unproved")

    def __init__(
        self,
        operation: Operation,
        body: RequestBody,
        headers: Mapping[str, str],
        *,
        owner: Owner | None = None,
        pin: Pin | None = None,
        unproved: str | None = None,
    ) -> None:
        """headers: the caller's that a provider which speaks the same has to see. owner: of what is kept from
        now on. pin: where it has to go. unproved: the member that names what may be another's at a provider
        which keeps it.
        """
        self.operation = operation
        self.body = body
        self.headers = headers
        self.owner = owner
        self.pin = pin
        self.unproved = unproved
        self._asked: Asked | None = None
        self._embeddings: EmbeddingsRequest | None = None

    @property
    def dialect(self) -> Dialect:
        return self.operation.dialect

    def with_body(self, body: RequestBody) -> "Question":
        """The same in other words of the caller's."""
        return Question(
            self.operation, body, self.headers, owner=self.owner, pin=self.pin, unproved=self.unproved
        )

    def chat(self) -> Asked:
        """Raises GatewayError for what is no chat."""
        if self._asked is None:
            self._asked = self.dialect.read_chat(self.body)
        return self._asked

    def replace_chat(self, chat: ChatRequest) -> None:
        """With what it named by URL in it."""
        self._asked = self.chat()._replace(chat=chat)

    def embeddings(self) -> EmbeddingsRequest:
        """Raises GatewayError."""
        if self._embeddings is None:
            self._embeddings = read_embeddings(self.body)
        return self._embeddings


def translate(
    question: Question,
    wire: Wire,
    target: Target,
    stamp: Stamp,
    *,
    ask_usage: bool,
    endpoint: EndpointId | None = None,
) -> Translation:
    """ask_usage: of OpenAI's streams. endpoint: which keeps what is made. Raises GatewayError: this provider
    cannot serve it.
    """
    operation = question.operation
    path = operation.find_path(wire, target.model)
    if path is not None:
        seal = None
        if question.owner is not None and endpoint is not None:
            seal = Seal(*question.owner, endpoint)
        if question.unproved is not None:
            raise _refuse_unproved(question.unproved, wire)
        return Passing(question, path, target.model, seal, ask_usage=ask_usage and operation.asks_usage)
    match operation.kind:
        case "chat":
            return ChatTranslation(question, wire, target, stamp)
        case "embeddings":
            return EmbeddingsTranslation(question, wire, target, stamp)
        case "count":
            raise GatewayError(ErrorCode.UNSUPPORTED, f"{wire.name}'s API does not count tokens beforehand.")
        case "rerank" if isinstance(wire, CohereWire):
            return RerankTranslation(question, wire, target, stamp)
        case "rerank" | "other":
            raise GatewayError(
                ErrorCode.UNSUPPORTED,
                f"{operation.method} {operation.path} cannot be said in {wire.name}'s API. Ask for a model "
                "of another provider.",
            )
        case never:
            assert_never(never)


class Passing:
    """See Translation."""

    __slots__ = ("_operation", "_reads_usage", "_seal", "outgoing")

    def __init__(
        self, question: Question, path: str, model: str, seal: Seal | None = None, *, ask_usage: bool
    ) -> None:
        """path: behind the endpoint's URL. seal: for the ids of what is kept."""
        body = question.body
        operation = question.operation
        self._operation = operation
        self._reads_usage = body.wants_usage
        self._seal = seal
        data = b""  # a form's is no JSON: see `server.upload`
        if operation.takes == "json":
            data = body.build(model if operation.names_model else body.model, ask_usage=ask_usage)
        self.outgoing = Outgoing(path, data, question.headers)

    def read_answer(self, body: bytes) -> Read:
        found = self._operation.read_answer(body)
        if self._seal is not None and found.fault is None:
            body = self._operation.seal_answer(body, self._seal)
        return Read(body, found.usage, found.fault)

    def open_stream(self) -> CallerStream:
        return self._operation.open_stream(hide_usage=not self._reads_usage, seal=self._seal)

    def read_refusal(self, status: int, body: bytes) -> Refusal:
        readable = self._operation.is_readable(status, body)
        return Refusal(find_cause(status, body), status, body if readable else None)

    def build_fault(self, fault: Fault) -> bytes:
        return fault.body


class ChatTranslation:
    """See Translation."""

    __slots__ = ("_asked", "_dialect", "_stamp", "_wire", "outgoing")

    def __init__(self, question: Question, wire: Wire, target: Target, stamp: Stamp) -> None:
        self._dialect = question.dialect
        self._asked = asked = question.chat()
        self._wire = wire
        self._stamp = stamp
        self.outgoing = wire.build_chat(asked.chat, asked.present, target)

    def read_answer(self, body: bytes) -> Read:
        answer = self._wire.read_chat(body, self._asked.chat)
        if isinstance(answer, Fault):
            return Read(b"", None, answer)
        return Read(self._dialect.build_answer(answer, self._asked, self._stamp), answer.usage, None)

    def open_stream(self) -> CallerStream:
        return TranslatedStream(self._wire.open_chat(self._asked.chat), self._open_writer)

    def read_refusal(self, status: int, body: bytes) -> Refusal:
        return _read_refusal(self._wire, self._dialect, status, body)

    def build_fault(self, fault: Fault) -> bytes:
        return _build_fault(self._dialect, fault)

    def _open_writer(self, stream: ChatStream) -> ChunkWriter:
        stamp = self._stamp
        return self._dialect.open_writer(
            self._asked, Stamp(stream.id or stamp.request_id, stamp.unix_s, stream.model or stamp.model)
        )


class EmbeddingsTranslation:
    """See Translation."""

    __slots__ = ("_asked", "_dialect", "_stamp", "_wire", "outgoing")

    def __init__(self, question: Question, wire: Wire, target: Target, stamp: Stamp) -> None:
        self._dialect = question.dialect
        self._asked = asked = question.embeddings()
        self._wire = wire
        self._stamp = stamp
        self.outgoing = wire.build_embeddings(asked, target)

    def read_answer(self, body: bytes) -> Read:
        answer = self._wire.read_embeddings(body, self._asked)
        if isinstance(answer, Fault):
            return Read(b"", None, answer)
        return Read(build_embeddings(answer, self._asked, self._stamp.model), answer.usage, None)

    def open_stream(self) -> CallerStream:
        raise AssertionError("embeddings do not stream")

    def read_refusal(self, status: int, body: bytes) -> Refusal:
        return _read_refusal(self._wire, self._dialect, status, body)

    def build_fault(self, fault: Fault) -> bytes:
        return _build_fault(self._dialect, fault)


class RerankTranslation:
    """See Translation."""

    __slots__ = ("_asked", "_dialect", "_stamp", "_wire", "outgoing")

    def __init__(self, question: Question, wire: CohereWire, target: Target, stamp: Stamp) -> None:
        self._dialect = question.dialect
        self._asked: RerankAsked = read_rerank(question.body)
        self._wire = wire
        self._stamp = stamp
        dropped = check_losses(self._asked, wire.name, drop=target.drop)
        self.outgoing = wire.build_rerank(self._asked.request, target)._replace(dropped=dropped)

    def read_answer(self, body: bytes) -> Read:
        answer = self._wire.read_rerank(body)
        if isinstance(answer, Fault):
            return Read(b"", None, answer)
        ranking = build_ranking(answer, self._asked, self._stamp)
        if isinstance(ranking, Fault):
            return Read(b"", None, ranking)
        return Read(ranking, None, None)

    def open_stream(self) -> CallerStream:
        raise AssertionError("rankings do not stream")

    def read_refusal(self, status: int, body: bytes) -> Refusal:
        return _read_refusal(self._wire, self._dialect, status, body)

    def build_fault(self, fault: Fault) -> bytes:
        return _build_fault(self._dialect, fault)


class TranslatedStream:
    """See CallerStream. The provider's end makes chunks, the caller's end writes them."""

    __slots__ = ("_open_writer", "_stream", "_writer", "done", "events", "fault")

    def __init__(self, stream: ChatStream, open_writer: Callable[[ChatStream], ChunkWriter]) -> None:
        """open_writer: called with the first chunk, when the provider's id is known."""
        self._stream = stream
        self._open_writer = open_writer
        self._writer: ChunkWriter | None = None
        self.events = 0
        self.done = False
        self.fault: Fault | None = None

    @property
    def usage(self) -> Usage | None:
        return self._stream.usage

    @property
    def ended(self) -> bool:
        return self.done or self.fault is not None

    def feed(self, chunk: bytes) -> bytes:
        if self.ended:
            return b""
        return self._write(self._stream.feed(chunk))

    def finish(self) -> bytes:
        if self.ended:
            return b""
        return self._write(self._stream.finish())

    def _write(self, chunks: list[ChatChunk]) -> bytes:
        stream = self._stream
        written = b""
        if chunks:
            self.events += len(chunks)
            if self._writer is None:
                self._writer = self._open_writer(stream)
            written = self._writer.write(chunks)
        self.fault = stream.fault
        if stream.done and stream.fault is None:
            if self._writer is None:
                self.fault = Fault("malformed", "its stream says nothing")
            else:
                self.done = True
                written += self._writer.end(stream.usage)
        return written


def _refuse_unproved(member: str, wire: Wire) -> GatewayError:
    return GatewayError(
        ErrorCode.UNSUPPORTED,
        f"`{member}` was not given by this provider ({wire.name}), which would look it up. Leave the item "
        "out, or send its encrypted content with it.",
    )


def _read_refusal(wire: Wire, dialect: Dialect, status: int, body: bytes) -> Refusal:
    error = wire.read_error(status, body)
    cause = judge_error(status, error)
    told = status if status in _COMMON_STATUSES else cause.status
    return Refusal(cause, told, dialect.build_provider_error(error, cause), error.retry_after_s)


def _build_fault(dialect: Dialect, fault: Fault) -> bytes:
    error = fault.error or ProviderError()
    return dialect.build_provider_error(error, fault.cause or Cause.SERVER_ERROR)
