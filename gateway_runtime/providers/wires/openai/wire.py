"""OpenAI's wire, and Azure's, which differs in its paths and in the header of its key.

    OpenAI       the endpoint's URL ends in `/v1`; https://platform.openai.com/docs/api-reference/chat
    Azure        it ends with the resource's host. With an API version the deployment stands in the path:
                 https://learn.microsoft.com/azure/ai-services/openai/reference. Without one, the v1 API:
                 https://learn.microsoft.com/azure/ai-services/openai/api-version-lifecycle

The subtle rule: at Azure a model's name is a deployment's, which a customer chose, and it may become a piece
of the path. It is quoted whole, so that no name leads to another path.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final
from urllib.parse import quote

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import AzureOptions
from gateway_runtime.providers.answer import Fault
from gateway_runtime.providers.chat.answer import ChatAnswer
from gateway_runtime.providers.chat.request import ChatRequest
from gateway_runtime.providers.error import ProviderError, read_error
from gateway_runtime.providers.wire import EmbeddingsAnswer, EmbeddingsRequest, Outgoing, Target
from gateway_runtime.providers.wires.openai import answer, embeddings, request
from gateway_runtime.providers.wires.openai.stream import OpenAIStream

_CHAT: Final = "/chat/completions"
_EMBEDDINGS: Final = "/embeddings"

_OF_A_DEPLOYMENT: Final = frozenset(
    {
        "/audio/speech",
        "/audio/transcriptions",
        "/audio/translations",
        "/chat/completions",
        "/completions",
        "/embeddings",
        "/images/edits",
        "/images/generations",
    }
)
"""Azure's others name the model in the body, or none: `/responses`, `/files`, `/batches`, `/models`."""


class OpenAIWire:
    """See `wire.Wire`. 4 µs for a small request, 9 with tools and their results."""

    name = "OpenAI"
    needs_inline_media = False
    _names_deployments = False

    def path_of(self, upstream_path: str, model: str) -> str:
        """Behind the endpoint's URL. upstream_path: as OpenAI has it behind `/v1`: `/embeddings`."""
        return upstream_path

    def authorize(
        self, credential: Secret | None, outgoing: Outgoing, url: str, unix_s: float
    ) -> Mapping[str, str]:
        """None: self-hosted servers may want no key."""
        return {} if credential is None else {"authorization": f"Bearer {credential.reveal()}"}

    def build_chat(self, chat: ChatRequest, present: AbstractSet[str], target: Target) -> Outgoing:
        body, dropped = request.build_body(
            chat, present, target, self.name, deployment=self._names_deployments
        )
        return Outgoing(self.path_of(_CHAT, target.model), body, {}, dropped)

    def read_chat(self, body: bytes, chat: ChatRequest) -> ChatAnswer | Fault:
        return answer.read_answer(body)

    def open_chat(self, chat: ChatRequest) -> OpenAIStream:
        return OpenAIStream()

    def read_error(self, status: int, body: bytes) -> ProviderError:
        return read_error(body)

    def build_embeddings(self, asked: EmbeddingsRequest, target: Target) -> Outgoing:
        body, dropped = embeddings.build_body(asked, target, self.name)
        return Outgoing(self.path_of(_EMBEDDINGS, target.model), body, {}, dropped)

    def read_embeddings(self, body: bytes, asked: EmbeddingsRequest) -> EmbeddingsAnswer | Fault:
        return embeddings.read_vectors(body, asked)


class AzureWire(OpenAIWire):
    name = "Azure OpenAI"
    _names_deployments = True

    def __init__(self, options: AzureOptions) -> None:
        self._version = None if options.api_version is None else quote(options.api_version, safe="")
        self._has_tokens = bool(options.tenant or options.client or options.workload)

    def path_of(self, upstream_path: str, model: str) -> str:
        """Raises GatewayError MALFORMED_BODY for a name that can be no deployment's."""
        if self._version is None:
            return f"/openai/v1{upstream_path}"
        if upstream_path not in _OF_A_DEPLOYMENT:
            joint = "&" if "?" in upstream_path else "?"
            return f"/openai{upstream_path}{joint}api-version={self._version}"
        if not model.strip("."):
            # Quoted or not, `..` is a step up for whoever tidies paths.
            raise GatewayError(ErrorCode.MALFORMED_BODY, f"`model`: `{model}` cannot name a deployment.")
        return f"/openai/deployments/{quote(model, safe='')}{upstream_path}?api-version={self._version}"

    def authorize(
        self, credential: Secret | None, outgoing: Outgoing, url: str, unix_s: float
    ) -> Mapping[str, str]:
        """credential: the resource's key, or a token of Entra where the options name its application."""
        if credential is None or self._has_tokens:
            return super().authorize(credential, outgoing, url, unix_s)
        return {"api-key": credential.reveal()}
