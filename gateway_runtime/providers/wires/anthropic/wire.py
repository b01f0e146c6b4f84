"""Anthropic's wire: see `providers.wire.Wire`. The endpoint's URL ends in `/v1`:
`https://api.anthropic.com/v1`.

https://platform.claude.com/docs/en/api/overview (authentication), .../api/versioning.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.contract.secret import Secret
from gateway_runtime.providers.answer import Fault
from gateway_runtime.providers.chat.answer import ChatAnswer
from gateway_runtime.providers.chat.request import ChatRequest
from gateway_runtime.providers.error import ProviderError
from gateway_runtime.providers.wire import EmbeddingsAnswer, EmbeddingsRequest, Outgoing, Target
from gateway_runtime.providers.wires.anthropic.answer import read_chat
from gateway_runtime.providers.wires.anthropic.refusal import read_error
from gateway_runtime.providers.wires.anthropic.request import build_chat
from gateway_runtime.providers.wires.anthropic.stream import AnthropicStream

_VERSION: Final = "2023-06-01"
"""2026-10-21 refuses `temperature`, `top_p` and `top_k` for every model, and gives nothing that is needed
here.
"""
_OAUTH_PREFIX: Final = "sk-ant-oat"
_OAUTH_BETA: Final = "oauth-2025-04-20"
"""Without it, such tokens are refused."""


class AnthropicWire:
    name = "Anthropic"
    needs_inline_media = False

    def authorize(
        self, credential: Secret | None, outgoing: Outgoing, url: str, unix_s: float
    ) -> Mapping[str, str]:
        headers = {"anthropic-version": _VERSION}
        if credential is None:
            return headers
        key = credential.reveal()
        if key.startswith(_OAUTH_PREFIX):
            headers["authorization"] = f"Bearer {key}"
            headers["anthropic-beta"] = _OAUTH_BETA
        else:
            headers["x-api-key"] = key
        return headers

    def build_chat(self, chat: ChatRequest, present: AbstractSet[str], target: Target) -> Outgoing:
        return build_chat(chat, present, target)

    def read_chat(self, body: bytes, chat: ChatRequest) -> ChatAnswer | Fault:
        return read_chat(body)

    def open_chat(self, chat: ChatRequest) -> AnthropicStream:
        return AnthropicStream()

    def read_error(self, status: int, body: bytes) -> ProviderError:
        return read_error(body)

    def build_embeddings(self, asked: EmbeddingsRequest, target: Target) -> Outgoing:
        raise GatewayError(
            ErrorCode.UNSUPPORTED,
            "Anthropic's API has no embeddings. Ask for a model of another provider.",
        )

    def read_embeddings(self, body: bytes, asked: EmbeddingsRequest) -> EmbeddingsAnswer | Fault:
        return Fault("malformed", "it has no embeddings")
