"""Amazon Bedrock's wire: see `wire.Wire` for what each method takes and gives.

The subtle rule: with an access key, the request is signed as it goes out, with its body and its time. So
whoever changes path, host, content type or body after `authorize` gets a refusal.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from gateway_runtime.contract.secret import Secret
from gateway_runtime.providers.answer import Fault
from gateway_runtime.providers.chat.answer import ChatAnswer
from gateway_runtime.providers.chat.request import ChatRequest
from gateway_runtime.providers.error import ProviderError
from gateway_runtime.providers.wire import EmbeddingsAnswer, EmbeddingsRequest, Outgoing, Target
from gateway_runtime.providers.wires.bedrock.answer import read_answer
from gateway_runtime.providers.wires.bedrock.credentials import ApiKey, parse_credential
from gateway_runtime.providers.wires.bedrock.embeddings import build_embeddings, read_embeddings
from gateway_runtime.providers.wires.bedrock.error import read_error
from gateway_runtime.providers.wires.bedrock.request import build_chat
from gateway_runtime.providers.wires.bedrock.signature import sign
from gateway_runtime.providers.wires.bedrock.stream import BedrockStream

_SERVICE: Final = "bedrock"
"""As signatures name it; the host's `bedrock-runtime` is another word for the same."""
_SIGNED: Final = {"content-type": "application/json"}


class BedrockWire:
    name = "Amazon Bedrock"
    needs_inline_media = True

    def __init__(self, region: str) -> None:
        """region: `us-east-1`, the one of the endpoint; a signature for another is refused."""
        self._region = region

    def authorize(
        self, credential: Secret | None, outgoing: Outgoing, url: str, unix_s: float
    ) -> Mapping[str, str]:
        """Raises UnusableCredential, whose text may be logged, where the Secret holds none of the three forms
        that `credentials` lists.
        """
        if credential is None:
            return {}
        access = parse_credential(credential.reveal())
        if isinstance(access, ApiKey):
            return {"authorization": f"Bearer {access.token.reveal()}"}
        return sign(
            access,
            method="POST",
            url=url,
            headers=_SIGNED,
            body=outgoing.body,
            region=self._region,
            service=_SERVICE,
            unix_s=unix_s,
        )

    def build_chat(self, chat: ChatRequest, present: AbstractSet[str], target: Target) -> Outgoing:
        return build_chat(chat, present, target)

    def read_chat(self, body: bytes, chat: ChatRequest) -> ChatAnswer | Fault:
        return read_answer(body)

    def open_chat(self, chat: ChatRequest) -> BedrockStream:
        return BedrockStream()

    def read_error(self, status: int, body: bytes) -> ProviderError:
        return read_error(status, body)

    def build_embeddings(self, asked: EmbeddingsRequest, target: Target) -> Outgoing:
        return build_embeddings(asked, target)

    def read_embeddings(self, body: bytes, asked: EmbeddingsRequest) -> EmbeddingsAnswer | Fault:
        return read_embeddings(body, asked)
