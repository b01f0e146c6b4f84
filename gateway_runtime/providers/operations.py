"""What callers may ask, by path: an Operation for each.

`server.front` finds one for a request's path. What depends on the caller's side hangs on it: how errors look,
how a stream ends, and which wires take the request as it is.
"""

from typing import Final, Literal, Protocol, TypeAlias

import msgspec

from gateway_runtime.providers.answer import Answer, Fault, is_error, read_answer, read_facts
from gateway_runtime.providers.dialect import Asked, Dialect
from gateway_runtime.providers.dialects.anthropic.dialect import AnthropicMessages
from gateway_runtime.providers.dialects.anthropic.passthrough import MessagesReader, read_message
from gateway_runtime.providers.dialects.openai_chat import OpenAIChat
from gateway_runtime.providers.request_body import RequestBody
from gateway_runtime.providers.stream import StreamReader
from gateway_runtime.providers.wire import CallerStream, Wire
from gateway_runtime.providers.wires.anthropic.wire import AnthropicWire
from gateway_runtime.providers.wires.openai.wire import AzureWire, OpenAIWire

Kind: TypeAlias = Literal["chat", "embeddings", "count"]
Manner: TypeAlias = Literal["openai", "anthropic"]


class Operation(Protocol):
    path: str
    """The caller's."""
    kind: Kind
    """What it is, where it has to be translated."""
    dialect: Dialect
    manner: Manner
    """Of the headers of answers."""
    asks_usage: bool
    """Its streams tell their usage only where `stream_options` ask for it."""

    def find_path(self, wire: Wire, model: str) -> str | None:
        """Where it goes as it is, behind the endpoint's URL. None: the wire speaks something else."""

    def read_answer(self, body: bytes) -> Answer:
        """Of a provider that speaks the same."""

    def open_stream(self, *, hide_usage: bool) -> CallerStream:
        """The same."""

    def is_readable(self, status: int, body: bytes) -> bool:
        """Whether the caller's SDK finds words in a refusal of a provider that speaks the same."""


class OpenAIOperation:
    """See Operation."""

    dialect: Dialect = OpenAIChat()
    manner: Manner = "openai"

    def __init__(self, path: str, kind: Kind, upstream_path: str, *, asks_usage: bool = False) -> None:
        self.path = path
        self.kind: Kind = kind
        self.asks_usage = asks_usage
        self._upstream_path = upstream_path

    def find_path(self, wire: Wire, model: str) -> str | None:
        return wire.path_of(self._upstream_path, model) if isinstance(wire, OpenAIWire | AzureWire) else None

    def read_answer(self, body: bytes) -> Answer:
        return read_answer(body)

    def open_stream(self, *, hide_usage: bool) -> CallerStream:
        return StreamReader(hide_usage=hide_usage)

    def is_readable(self, status: int, body: bytes) -> bool:
        """An SDK looks for an object under `error`, and shows the whole body where there is none."""
        try:
            _worded_decoder.decode(body)
        except (msgspec.DecodeError, RecursionError):
            found = read_facts(body)
            return status < 500 and found is not None and not is_error(found)
        return True


class _CountedMessages(AnthropicMessages):
    def read_chat(self, body: RequestBody) -> Asked:
        return self.read_count(body)


class MessagesOperation:
    """See Operation."""

    path = "/v1/messages"
    kind: Kind = "chat"
    dialect: Dialect = AnthropicMessages()
    manner: Manner = "anthropic"
    asks_usage = False

    def find_path(self, wire: Wire, model: str) -> str | None:
        return "/messages" if isinstance(wire, AnthropicWire) else None

    def read_answer(self, body: bytes) -> Answer:
        return read_message(body)

    def open_stream(self, *, hide_usage: bool) -> CallerStream:
        return MessagesReader()

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


CHAT: Final = OpenAIOperation("/v1/chat/completions", "chat", "/chat/completions", asks_usage=True)
LANGCHAIN: Final = OpenAIOperation(
    "/v1/langchain/chat/completions", "chat", "/chat/completions", asks_usage=True
)
EMBEDDINGS: Final = OpenAIOperation("/v1/embeddings", "embeddings", "/embeddings")
LANGCHAIN_EMBEDDINGS: Final = OpenAIOperation("/v1/langchain/embeddings", "embeddings", "/embeddings")
MESSAGES: Final = MessagesOperation()
COUNT_TOKENS: Final = CountOperation()

OPERATIONS: Final[dict[str, Operation]] = {
    operation.path: operation
    for operation in (CHAT, EMBEDDINGS, MESSAGES, COUNT_TOKENS, LANGCHAIN, LANGCHAIN_EMBEDDINGS)
}
