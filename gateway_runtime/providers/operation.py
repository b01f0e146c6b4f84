"""What callers may ask, by kind: how each kind of question goes to a provider that speaks the same, and how
its answer is read.

    OpenAIOperation    of OpenAI's API, with the model in its body
    ResponsesOperation its Responses, which the provider may keep
    KeptOperation      about something that a provider keeps: a Response, a file, a batch
    MessagesOperation, CountOperation   of Anthropic's

`operations` lists them all. The subtle rule: `find_path` says None for every wire that speaks something else,
and `translation` then goes through the hub, where the hub knows the kind.
"""

from typing import Final, Literal, Protocol, TypeAlias
from urllib.parse import quote

import msgspec

from gateway_runtime.providers.answer import Answer, Fault, is_error, read_answer, read_facts
from gateway_runtime.providers.dialect import Asked, Dialect
from gateway_runtime.providers.dialects.anthropic.dialect import AnthropicMessages
from gateway_runtime.providers.dialects.anthropic.passthrough import MessagesReader, read_message
from gateway_runtime.providers.dialects.openai_chat import OpenAIChat
from gateway_runtime.providers.dialects.responses.dialect import OpenAIResponses
from gateway_runtime.providers.kept import What, seal_object
from gateway_runtime.providers.request_body import RequestBody
from gateway_runtime.providers.seal import Seal
from gateway_runtime.providers.stream import StreamReader
from gateway_runtime.providers.token_usage import read_typed_answer
from gateway_runtime.providers.typed_stream import TypedStreamReader
from gateway_runtime.providers.wire import CallerStream, Wire
from gateway_runtime.providers.wires.anthropic.wire import AnthropicWire
from gateway_runtime.providers.wires.openai.wire import AzureWire, OpenAIWire

Kind: TypeAlias = Literal["chat", "embeddings", "count", "rerank", "other"]
Manner: TypeAlias = Literal["openai", "anthropic"]
Takes: TypeAlias = Literal["json", "form", "nothing"]
Bytes: TypeAlias = Literal["never", "unless json", "always"]
"""When an answer passes as it comes, unread and of whatever type: see `relay`."""

_JSON: Final = "application/json"


class Operation(Protocol):
    path: str
    """The caller's."""
    method: str
    kind: Kind
    """What it is, where it has to be translated; `other` cannot be."""
    dialect: Dialect
    manner: Manner
    """Of the headers of answers."""
    takes: Takes
    asks_usage: bool
    """Its streams tell their usage only where `stream_options` ask for it."""
    default_model: str | None
    """What its API means by a body without a model."""
    names_model: bool
    """Its body has one, by which the route is found."""
    may_race: bool
    """A slow one may be hedged: it leaves nothing behind but its answer."""
    may_repeat: bool
    """One that may have reached a provider can be sent again. False: it could make a second of its kind."""
    refers: bool
    """Its body names what providers keep."""

    reads_type: bool
    """Of an answer: `passes` asks for it."""

    def find_path(self, wire: Wire, model: str) -> str | None:
        """Where it goes as it is, behind the endpoint's URL. None: the wire speaks something else."""

    def passes(self, content_type: str) -> bool:
        """Whether an answer of this type goes to the caller as it comes, unread."""

    def read_answer(self, body: bytes) -> Answer:
        """Of a provider that speaks the same."""

    def open_stream(self, *, hide_usage: bool, seal: Seal | None = None) -> CallerStream:
        """The same."""

    def seal_answer(self, body: bytes, seal: Seal) -> bytes:
        """With the ids of what the provider keeps as the caller gets them."""

    def is_readable(self, status: int, body: bytes) -> bool:
        """Whether the caller's SDK finds words in a refusal of a provider that speaks the same."""


class OpenAIOperation:
    """See Operation. Providers that speak OpenAI's API take it at the same path."""

    dialect: Dialect = OpenAIChat()
    manner: Manner = "openai"
    refers = False
    names_model = True

    def __init__(
        self,
        path: str,
        kind: Kind,
        upstream_path: str,
        *,
        method: str = "POST",
        takes: Takes = "json",
        asks_usage: bool = False,
        default_model: str | None = None,
        may_race: bool = False,
        may_repeat: bool = True,
        bytes_: Bytes = "never",
        last_events: frozenset[str] = frozenset(),
        at_azure: bool = True,
    ) -> None:
        """upstream_path: behind `/v1`. last_events: of a stream whose events have types; empty for those that
        end with [DONE]. at_azure: it is there, too.
        """
        self.path = path
        self.method = method
        self.kind: Kind = kind
        self.takes: Takes = takes
        self.asks_usage = asks_usage
        self.default_model = default_model
        self.may_race = may_race
        self.may_repeat = may_repeat
        self.reads_type = bytes_ != "never"
        self._bytes = bytes_
        self._last_events = last_events
        self._at_azure = at_azure
        self._upstream_path = upstream_path

    def find_path(self, wire: Wire, model: str) -> str | None:
        if not isinstance(wire, OpenAIWire | AzureWire):
            return None
        if isinstance(wire, AzureWire) and not self._at_azure:
            return None
        return wire.path_of(self._upstream_path, model)

    def passes(self, content_type: str) -> bool:
        if self._bytes == "never":
            return False
        return self._bytes == "always" or content_type.partition(";")[0].strip().lower() != _JSON

    def read_answer(self, body: bytes) -> Answer:
        return read_typed_answer(body) if self.kind == "other" else read_answer(body)

    def open_stream(self, *, hide_usage: bool, seal: Seal | None = None) -> CallerStream:
        if self._last_events:
            return TypedStreamReader(self._last_events)
        return StreamReader(hide_usage=hide_usage)

    def seal_answer(self, body: bytes, seal: Seal) -> bytes:
        return body

    def is_readable(self, status: int, body: bytes) -> bool:
        """An SDK looks for an object under `error`, and shows the whole body where there is none."""
        try:
            _worded_decoder.decode(body)
        except (msgspec.DecodeError, RecursionError):
            found = read_facts(body)
            return status < 500 and found is not None and not is_error(found)
        return True


class ResponsesOperation(OpenAIOperation):
    """See Operation. Its streams and answers name what the provider keeps."""

    dialect: Dialect = OpenAIResponses()
    refers = True

    def read_answer(self, body: bytes) -> Answer:
        return read_typed_answer(body)

    def open_stream(self, *, hide_usage: bool, seal: Seal | None = None) -> CallerStream:
        return TypedStreamReader(LAST_OF_A_RESPONSE, seal)

    def seal_answer(self, body: bytes, seal: Seal) -> bytes:
        return seal_object(body, seal)


LAST_OF_A_RESPONSE: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})


class KeptOperation(ResponsesOperation):
    """See Operation. About something that a provider keeps, or is to keep; no model is named."""

    refers = False
    names_model = False

    def __init__(
        self,
        method: str,
        path: str,
        what: What,
        *,
        takes: Takes = "nothing",
        query: frozenset[str] = frozenset(),
        bytes_: Bytes = "never",
        lists: bool = False,
    ) -> None:
        """path: with `{id}` where the caller names one. query: what it may ask for behind it. lists: it asks
        for all that there are.
        """
        may_repeat = method != "POST"
        upstream = path.removeprefix("/v1")
        super().__init__(
            path, "other", upstream, method=method, takes=takes, may_repeat=may_repeat, bytes_=bytes_
        )
        if what != "Response":
            self.dialect = OpenAIChat()
        self.what: What = what
        self.query = query
        self.lists = lists

    def find_id(self, path: str) -> str | None:
        """That which the caller names, empty where none is to be named. path: decoded. None: not its path."""
        before, name, after = self.path.partition("{id}")
        if not name:
            return "" if path == before else None
        if not (path.startswith(before) and path.endswith(after)) or len(path) <= len(before) + len(after):
            return None
        found = path[len(before) : len(path) - len(after)]
        return None if "/" in found else found

    def at(self, kept_id: str, query: str) -> "KeptOperation":
        """The same for one thing. kept_id: the provider's. query: encoded."""
        placed = object.__new__(KeptOperation)
        placed.__dict__.update(self.__dict__)
        path = self._upstream_path.replace("{id}", quote(kept_id, safe=""))
        placed._upstream_path = f"{path}?{query}" if query else path
        return placed

    def read_answer(self, body: bytes) -> Answer:
        """A failed Response that was asked for is a good answer: it tells why it failed. Whether a job cost
        tokens was counted when it was made.
        """
        found = read_facts(body)
        return Answer(None, Fault("malformed", "its body is not a JSON object") if found is None else None)


class _CountedMessages(AnthropicMessages):
    def read_chat(self, body: RequestBody) -> Asked:
        return self.read_count(body)


class MessagesOperation:
    """See Operation."""

    path = "/v1/messages"
    method = "POST"
    kind: Kind = "chat"
    dialect: Dialect = AnthropicMessages()
    manner: Manner = "anthropic"
    takes: Takes = "json"
    asks_usage = False
    default_model: str | None = None
    names_model = True
    may_race = True
    may_repeat = True
    refers = False
    reads_type = False

    def find_path(self, wire: Wire, model: str) -> str | None:
        return "/messages" if isinstance(wire, AnthropicWire) else None

    def passes(self, content_type: str) -> bool:
        return False

    def read_answer(self, body: bytes) -> Answer:
        return read_message(body)

    def open_stream(self, *, hide_usage: bool, seal: Seal | None = None) -> CallerStream:
        return MessagesReader()

    def seal_answer(self, body: bytes, seal: Seal) -> bytes:
        return body

    def is_readable(self, status: int, body: bytes) -> bool:
        try:
            _worded_decoder.decode(body)
        except (msgspec.DecodeError, RecursionError):
            return False
        return True


class CountOperation(MessagesOperation):
    """Of tokens: Anthropic's own API counts them, for other providers `server.request` estimates."""

    path = "/v1/messages/count_tokens"
    kind: Kind = "count"
    dialect: Dialect = _CountedMessages()

    def find_path(self, wire: Wire, model: str) -> str | None:
        return "/messages/count_tokens" if isinstance(wire, AnthropicWire) else None

    def read_answer(self, body: bytes) -> Answer:
        return Answer(None, None if _is_count(body) else Fault("malformed", "its body is no count of tokens"))


class _Worded(msgspec.Struct):
    """An error's shape, as far as SDKs insist on it."""

    error: dict[str, msgspec.Raw]


_worded_decoder = msgspec.json.Decoder(_Worded)


class _Count(msgspec.Struct):
    input_tokens: int


_count_decoder = msgspec.json.Decoder(_Count)


def _is_count(body: bytes) -> bool:
    try:
        _count_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
