"""OllamaWire: see `providers.wire.Wire`, and this folder's docstring.

The subtle rule: Ollama takes images in the request alone. Whoever asks for `build_chat` has fetched what
callers gave by URL, and put it into data URLs.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from gateway_runtime.contract.secret import Secret
from gateway_runtime.providers.answer import Fault
from gateway_runtime.providers.chat.answer import ChatAnswer
from gateway_runtime.providers.chat.request import ChatRequest
from gateway_runtime.providers.error import ProviderError
from gateway_runtime.providers.wire import EmbeddingsAnswer, EmbeddingsRequest, Outgoing, Target
from gateway_runtime.providers.wires.ollama import answer, error, request, vectors
from gateway_runtime.providers.wires.ollama.stream import OllamaStream


class OllamaWire:
    name = "Ollama"
    needs_inline_media = True

    def authorize(
        self, credential: Secret | None, outgoing: Outgoing, url: str, unix_s: float
    ) -> Mapping[str, str]:
        """A server of one's own asks for none; ollama.com, and proxies before a server, take a bearer token:
        https://github.com/ollama/ollama/blob/main/docs/api/authentication.mdx.
        """
        return {} if credential is None else {"authorization": f"Bearer {credential.reveal()}"}

    def build_chat(self, chat: ChatRequest, present: AbstractSet[str], target: Target) -> Outgoing:
        return request.build_chat(chat, present, target)

    def read_chat(self, body: bytes, chat: ChatRequest) -> ChatAnswer | Fault:
        return answer.read_chat(body)

    def open_chat(self, chat: ChatRequest) -> OllamaStream:
        return OllamaStream()

    def read_error(self, status: int, body: bytes) -> ProviderError:
        return error.read_error(body)

    def build_embeddings(self, asked: EmbeddingsRequest, target: Target) -> Outgoing:
        return vectors.build_embeddings(asked, target)

    def read_embeddings(self, body: bytes, asked: EmbeddingsRequest) -> EmbeddingsAnswer | Fault:
        return vectors.read_embeddings(body, asked)
