"""What a caller speaks: the interface that every dialect has. One file in `dialects` implements it for one
API.

    read_chat         caller's body     -> the hub's request
    build_answer      hub's answer      -> caller's body
    open_writer       ChatChunks        -> the events of a caller's stream
    build_*error*     an error, ours or a provider's -> its body or event in the caller's shape

Pure throughout. The request's id and the time, which the hub does not know, come in a Stamp.

The one subtle rule: what the official SDK of a dialect raises depends on status, type and shape of an error.
So a provider's refusal reaches the caller with its own words and the caller's own shape.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple, Protocol

from gateway_runtime.contract.errors import GatewayError
from gateway_runtime.providers.cause import Cause
from gateway_runtime.providers.chat.answer import ChatAnswer, ChatChunk
from gateway_runtime.providers.chat.request import ChatRequest
from gateway_runtime.providers.error import ProviderError
from gateway_runtime.providers.request_body import RequestBody
from gateway_runtime.providers.usage import Usage


class Stamp(NamedTuple):
    """What an answer has to say and its provider may not have said."""

    request_id: str
    unix_s: int
    model: str
    """As the provider calls it."""


class Asked(NamedTuple):
    chat: ChatRequest
    present: AbstractSet[str]
    """The hub's names of what the caller said at the top level, and the caller's own for what the hub does
    not know: see `losses`.
    """


class ChunkWriter(Protocol):
    """The caller's end of one streamed answer. What it gives back is whole events."""

    def write(self, chunks: Sequence[ChatChunk]) -> bytes: ...

    def end(self, usage: Usage | None) -> bytes:
        """The answer is whole: everything up to the dialect's last event."""


class Dialect(Protocol):
    name: str
    """For people: `Anthropic messages`."""

    def read_chat(self, body: RequestBody) -> Asked:
        """Raises GatewayError MALFORMED_BODY, which names the member, or UNSUPPORTED."""

    def build_answer(self, answer: ChatAnswer, asked: Asked, stamp: Stamp) -> bytes: ...

    def open_writer(self, asked: Asked, stamp: Stamp) -> ChunkWriter:
        """stamp: with the provider's own id and its name of the model, where it told them."""

    def build_error(self, error: GatewayError) -> bytes:
        """The JSON body of an answer that the gateway gives by itself."""

    def build_error_event(self, error: GatewayError) -> bytes:
        """The same as the last event of a stream that has begun. The official SDK raises at it."""

    def build_provider_error(self, error: ProviderError, cause: Cause) -> bytes:
        """The JSON body that passes a provider's refusal on."""

    def build_last_event(self, body: bytes) -> bytes:
        """body: of an error, in the caller's shape. It ends a stream that has begun."""
