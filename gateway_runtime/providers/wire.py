"""What a provider speaks: the interface that every wire has. One file in `wires` implements it for one API.

    build_*     hub's request, target  -> Outgoing: path, headers and body for the provider
    read_*      provider's body        -> hub's answer, or a Fault
    open_*      a stream's pieces      -> ChatChunks, as they come
    read_error  a refusal              -> ProviderError, whose words `cause` judges
    authorize   a credential           -> the headers that carry it

Pure throughout: no socket, no clock, no chance, no environment; what a wire is given is never changed. The
server fetches what has to be fetched (tokens, images by URL) before it calls.

The one subtle rule: a wire never says where a request goes. It gives the path behind the endpoint's URL, and
the endpoint is the operator's word; so no wire can send a key to a host that nobody configured.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple, Protocol

from gateway_runtime.contract.secret import Secret
from gateway_runtime.providers.answer import Fault
from gateway_runtime.providers.chat.answer import ChatAnswer, ChatChunk
from gateway_runtime.providers.chat.request import ChatRequest
from gateway_runtime.providers.error import ProviderError
from gateway_runtime.providers.usage import Usage


class Target(NamedTuple):
    """What a wire must know of the model that is asked."""

    model: str
    """As the provider calls it."""
    max_output_tokens: int | None = None
    """The most that it can write, if known: for APIs that insist on a limit when the caller has none."""
    drop: bool = False
    """What the provider cannot express is dropped, not refused."""


class Outgoing(NamedTuple):
    path: str
    """Behind the endpoint's URL, with its query: `/messages`."""
    body: bytes
    headers: Mapping[str, str] = {}
    """Beside `content-type: application/json` and what `authorize` says. Lower case."""
    dropped: tuple[str, ...] = ()
    """What of the request the provider does not hear of."""


class EmbeddingsRequest(NamedTuple):
    texts: tuple[str, ...]
    dimensions: int | None = None
    present: AbstractSet[str] = frozenset()
    """The names of the body's top level that are not null."""
    base64: bool = False
    """How the caller wants the vectors; no wire's concern."""


class EmbeddingsAnswer(NamedTuple):
    vectors: tuple[tuple[float, ...], ...]
    """In the order of the texts."""
    usage: Usage | None = None
    model: str = ""


class RerankRequest(NamedTuple):
    query: str
    documents: tuple[str, ...]
    top_n: int | None = None


class Ranked(NamedTuple):
    document: int
    """Its place among those that were asked about."""
    score: float


class ChatStream(Protocol):
    """The provider's end of one streamed answer. `feed` and `finish` never raise: a `fault` says what is
    wrong.
    """

    id: str
    """The provider's; empty until it is known, if it has one. Known before the first chunk is given."""
    model: str
    usage: Usage | None
    """The last that is known: all of it, when the stream is done."""
    done: bool
    """The answer is whole; nothing follows."""
    fault: Fault | None
    """The answer is no good from here on; what `feed` gave back with it is good."""

    def feed(self, data: bytes) -> list[ChatChunk]:
        """data: of the body, split anywhere."""

    def finish(self) -> list[ChatChunk]:
        """The body has ended. Sets `fault` (kind `torn`) when the answer was not whole."""


class CallerStream(Protocol):
    """The caller's end of it: the provider's bytes in, the caller's out, by the rules of `stream`."""

    events: int
    """Good ones so far."""
    done: bool
    fault: Fault | None

    @property
    def usage(self) -> Usage | None: ...

    @property
    def ended(self) -> bool: ...

    def feed(self, chunk: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


class Wire(Protocol):
    name: str
    """For people: `Anthropic`."""

    @property
    def needs_inline_media(self) -> bool:
        """It takes images and files in the request alone, not by URL."""

    def authorize(
        self, credential: Secret | None, outgoing: Outgoing, url: str, unix_s: float
    ) -> Mapping[str, str]:
        """The headers that carry the credential. url: where it goes, whole. unix_s: now, for APIs that sign.
        Most wires look at the credential alone.
        """

    def build_chat(self, chat: ChatRequest, present: AbstractSet[str], target: Target) -> Outgoing:
        """present: the names of the caller's top level that are not null. Raises GatewayError (UNSUPPORTED,
        MALFORMED_BODY).
        """

    def read_chat(self, body: bytes, chat: ChatRequest) -> ChatAnswer | Fault:
        """body: of an answer with status 200. chat: what was asked."""

    def open_chat(self, chat: ChatRequest) -> ChatStream: ...

    def read_error(self, status: int, body: bytes) -> ProviderError:
        """body: of an answer with a status from 400."""

    def build_embeddings(self, asked: EmbeddingsRequest, target: Target) -> Outgoing:
        """Raises GatewayError (UNSUPPORTED), also where the provider has none."""

    def read_embeddings(self, body: bytes, asked: EmbeddingsRequest) -> EmbeddingsAnswer | Fault: ...
