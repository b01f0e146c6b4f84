"""CohereWire: see `providers.wire.Wire`, and this folder's docstring.

It ranks, too, beside what every wire does: `build_rerank` and `read_rerank`. The subtle rule: Cohere takes
images by URL itself, so nothing is fetched for it; a private deployment that cannot reach the web says so.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from gateway_runtime.contract.secret import Secret
from gateway_runtime.providers.answer import Fault
from gateway_runtime.providers.chat.answer import ChatAnswer
from gateway_runtime.providers.chat.request import ChatRequest
from gateway_runtime.providers.error import ProviderError
from gateway_runtime.providers.wire import (
    EmbeddingsAnswer,
    EmbeddingsRequest,
    Outgoing,
    Ranked,
    RerankRequest,
    Target,
)
from gateway_runtime.providers.wires.cohere import answer, error, ranking, request, vectors
from gateway_runtime.providers.wires.cohere.stream import CohereStream


class CohereWire:
    name = "Cohere"
    needs_inline_media = False

    def authorize(
        self, credential: Secret | None, outgoing: Outgoing, url: str, unix_s: float
    ) -> Mapping[str, str]:
        return {} if credential is None else {"authorization": f"Bearer {credential.reveal()}"}

    def build_chat(self, chat: ChatRequest, present: AbstractSet[str], target: Target) -> Outgoing:
        return request.build_chat(chat, present, target)

    def read_chat(self, body: bytes, chat: ChatRequest) -> ChatAnswer | Fault:
        return answer.read_chat(body, chat)

    def open_chat(self, chat: ChatRequest) -> CohereStream:
        return CohereStream(chat)

    def read_error(self, status: int, body: bytes) -> ProviderError:
        return error.read_error(status, body)

    def build_embeddings(self, asked: EmbeddingsRequest, target: Target) -> Outgoing:
        return vectors.build_embeddings(asked, target)

    def read_embeddings(self, body: bytes, asked: EmbeddingsRequest) -> EmbeddingsAnswer | Fault:
        return vectors.read_embeddings(body, asked)

    def build_rerank(self, asked: RerankRequest, target: Target) -> Outgoing:
        return ranking.build_rerank(asked, target)

    def read_rerank(self, body: bytes) -> tuple[Ranked, ...] | Fault:
        """The documents that Cohere gives back, the best first."""
        return ranking.read_rerank(body)
