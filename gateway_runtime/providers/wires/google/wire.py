"""GoogleWire and VertexWire: the two doors to Gemini, as `wire.Wire` asks for them.

    GoogleWire  /models/{model}:generateContent                     x-goog-api-key
    VertexWire  /projects/{project}/locations/{location}            authorization: Bearer
                /publishers/google/models/{model}:generateContent

Streams: `:streamGenerateContent?alt=sse`. The endpoints are https://generativelanguage.googleapis.com/v1beta,
and https://{location}-aiplatform.googleapis.com/v1 or, for the location `global`,
https://aiplatform.googleapis.com/v1. Sources: https://ai.google.dev/api/generate-content and
https://cloud.google.com/vertex-ai/docs/reference/rest.

The subtle rule: a model's name is one segment of the path, whatever is in it, and the method follows it in
the same segment. So no name, not even `..`, leads to another path.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from urllib.parse import quote

from gateway_runtime.contract.secret import Secret
from gateway_runtime.providers.answer import Fault
from gateway_runtime.providers.chat.answer import ChatAnswer
from gateway_runtime.providers.chat.request import ChatRequest
from gateway_runtime.providers.error import ProviderError
from gateway_runtime.providers.wire import EmbeddingsAnswer, EmbeddingsRequest, Outgoing, Target
from gateway_runtime.providers.wires.google import answer, embeddings, error, request
from gateway_runtime.providers.wires.google.api import GEMINI, VERTEX, Api
from gateway_runtime.providers.wires.google.stream import GoogleStream


class _GenerateContent:
    """What both do alike."""

    needs_inline_media = True
    """The Gemini API fetches nothing. Vertex AI fetches some, within limits of its own; so it is not asked
    to.
    """

    def __init__(self, api: Api, models: str) -> None:
        """models: the path up to a model's name."""
        self.name = api.name
        self._api = api
        self._models = models

    def build_chat(self, chat: ChatRequest, present: AbstractSet[str], target: Target) -> Outgoing:
        body, dropped = request.build_chat(chat, present, target, self._api)
        method = "streamGenerateContent?alt=sse" if chat.stream else "generateContent"
        return Outgoing(self._build_path(target.model, method), body, dropped=dropped)

    def read_chat(self, body: bytes, chat: ChatRequest) -> ChatAnswer | Fault:
        return answer.read_chat(body)

    def open_chat(self, chat: ChatRequest) -> GoogleStream:
        return GoogleStream()

    def read_error(self, status: int, body: bytes) -> ProviderError:
        return error.read_error(body)

    def read_embeddings(self, body: bytes, asked: EmbeddingsRequest) -> EmbeddingsAnswer | Fault:
        return embeddings.read_embeddings(body, asked)

    def _build_path(self, model: str, method: str) -> str:
        return f"{self._models}{quote(_strip(model), safe='')}:{method}"


class GoogleWire(_GenerateContent):
    """The Gemini API."""

    def __init__(self) -> None:
        super().__init__(GEMINI, "/models/")

    def authorize(
        self, credential: Secret | None, outgoing: Outgoing, url: str, unix_s: float
    ) -> Mapping[str, str]:
        return {} if credential is None else {"x-goog-api-key": credential.reveal()}

    def build_embeddings(self, asked: EmbeddingsRequest, target: Target) -> Outgoing:
        body, dropped = embeddings.build_batch(asked, _strip(target.model), target, self._api)
        return Outgoing(self._build_path(target.model, "batchEmbedContents"), body, dropped=dropped)


class VertexWire(_GenerateContent):
    """Vertex AI. The credential is an access token, minted elsewhere."""

    def __init__(self, project: str, location: str) -> None:
        where = f"/projects/{quote(project, safe='')}/locations/{quote(location, safe='')}"
        super().__init__(VERTEX, f"{where}/publishers/google/models/")

    def authorize(
        self, credential: Secret | None, outgoing: Outgoing, url: str, unix_s: float
    ) -> Mapping[str, str]:
        return {} if credential is None else {"authorization": f"Bearer {credential.reveal()}"}

    def build_embeddings(self, asked: EmbeddingsRequest, target: Target) -> Outgoing:
        if embeddings.takes_one_content(_strip(target.model)):
            method = "embedContent"
            body, dropped = embeddings.build_content(asked, target, self._api)
        else:
            method = "predict"
            body, dropped = embeddings.build_instances(asked, target, self._api)
        return Outgoing(self._build_path(target.model, method), body, dropped=dropped)


def _strip(model: str) -> str:
    """The list of models calls them `models/gemini-2.5-flash`."""
    return model.removeprefix("models/")
