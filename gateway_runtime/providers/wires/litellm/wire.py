"""LitellmWire: one provider of the long tail, through litellm. See `wire.Wire`.

    LitellmWire("databricks", "https://adb-1.azuredatabricks.net/serving-endpoints")

One per provider and endpoint URL: an answer does not tell whose it is, and litellm wants to know the URL
before it says what stands behind it. It is made when a table is loaded, and loads litellm then.

The one subtle rule: litellm never sees a key. It is asked once for the headers of a made-up one; what it does
to that is what is done to all keys. So no variable of the environment takes a key's place, and no request
makes it fetch a token.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Final

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.contract.secret import Secret
from gateway_runtime.providers.answer import Fault
from gateway_runtime.providers.chat.answer import ChatAnswer
from gateway_runtime.providers.chat.request import ChatRequest
from gateway_runtime.providers.error import ProviderError, read_error
from gateway_runtime.providers.wire import EmbeddingsAnswer, EmbeddingsRequest, Outgoing, Target
from gateway_runtime.providers.wires.litellm.answer import read_answer
from gateway_runtime.providers.wires.litellm.foreign import translate_answer
from gateway_runtime.providers.wires.litellm.load import (
    Config,
    Litellm,
    LitellmMissing,
    check_config,
    load_litellm,
)
from gateway_runtime.providers.wires.litellm.providers import SUPPORTED, UNSUPPORTED
from gateway_runtime.providers.wires.litellm.request import Destination, build_chat, find_path
from gateway_runtime.providers.wires.litellm.stream import LitellmStream

_KEY: Final = "0made-up-key0"
_OURS: Final = frozenset({"accept", "content-type", "user-agent"})
"""Headers that the gateway sets by itself."""
_ANY_MODEL: Final = "model"
_MOST_MODELS: Final = 256
_PREFIXES: Final = {"snowflake": "pat/"}
"""A key that begins so is another kind of key, with other headers: litellm's way to say it."""


class UnsupportedProvider(Exception):
    """litellm's transformers do not serve it purely, or not at all. The message says why."""


class _Listed(msgspec.Struct):
    class _Item(msgspec.Struct):
        message: str
        code: int | str | None = None

    errors: list[_Item]


_listed_decoder = msgspec.json.Decoder(_Listed)


class LitellmWire:
    needs_inline_media: Final = True

    def __init__(self, provider: str, base_url: str, litellm: Litellm | None = None) -> None:
        """provider: litellm's name for it, one of SUPPORTED. base_url: of the endpoint. litellm: the one that
        is installed, unless a test has another. Raises LitellmMissing, UnsupportedProvider.
        """
        if provider not in SUPPORTED:
            raise UnsupportedProvider(_explain(provider))
        self.name = f"{provider} (litellm)"
        self._provider = provider
        self._base_url = base_url.rstrip("/")
        self._litellm = load_litellm() if litellm is None else litellm
        self._find_destination = lru_cache(_MOST_MODELS)(self._make_destination)
        any_model = self._find_destination(_ANY_MODEL)
        check_config(any_model.config)
        self._config = any_model.config
        self._headers = self._ask_headers(any_model.config, _KEY)
        prefix = _PREFIXES.get(provider)
        self._prefixed = (
            None if prefix is None else (prefix, self._ask_headers(any_model.config, prefix + _KEY))
        )
        if not any(_KEY in value for value in self._headers.values()):
            raise UnsupportedProvider(f"litellm puts no key into the headers of a request to {provider}")
        try:
            find_path(any_model, stream=False)
        except GatewayError as error:
            raise UnsupportedProvider(f"litellm does not send to {self._base_url} for {provider}") from error

    def authorize(
        self, credential: Secret | None, outgoing: Outgoing, url: str, unix_s: float
    ) -> Mapping[str, str]:
        if credential is None:
            return {}
        key, headers = credential.reveal(), self._headers
        if self._prefixed is not None and key.startswith(self._prefixed[0]):
            prefix, headers = self._prefixed
            key = key.removeprefix(prefix)
        return {name: value.replace(_KEY, key) for name, value in headers.items()}

    def build_chat(self, chat: ChatRequest, present: AbstractSet[str], target: Target) -> Outgoing:
        model = target.model.removeprefix(f"{self._provider}/")
        if self._provider == "snowflake" and model.lower().startswith(("claude-", "claude_")):
            raise GatewayError(
                ErrorCode.UNSUPPORTED,
                "Claude on snowflake is not served through litellm, which speaks Anthropic's API there. Use "
                "a provider of type openai-compatible with `baseUrl` https://<account>.snowflakecomputing.com"
                "/api/v2/cortex/v1.",
            )
        return build_chat(self._find_destination(model), chat, present, target, {})

    def read_chat(self, body: bytes, chat: ChatRequest) -> ChatAnswer | Fault:
        json_tool = self._find_json_tool(chat)
        answer = read_answer(body, json_tool, self._provider)
        if answer is None:
            translated = translate_answer(self._litellm, self._config, body)
            answer = None if translated is None else read_answer(translated, json_tool, self._provider)
        return answer or Fault("malformed", "its body is not an answer in the provider's shape")

    def open_chat(self, chat: ChatRequest) -> LitellmStream:
        return LitellmStream(self._config, self._provider, self._find_json_tool(chat))

    def read_error(self, status: int, body: bytes) -> ProviderError:
        """Cloudflare lists what it has to say: https://developers.cloudflare.com/fundamentals/api/reference."""
        error = read_error(body)
        if not error.message:
            try:
                first = next(iter(_listed_decoder.decode(body).errors), None)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return error
            if first is not None:
                return ProviderError(first.message, "" if first.code is None else str(first.code))
        return error

    def build_embeddings(self, asked: EmbeddingsRequest, target: Target) -> Outgoing:
        raise GatewayError(
            ErrorCode.UNSUPPORTED,
            f"Embeddings of {self._provider} are not served through litellm. Use a provider of type "
            "openai-compatible, where its API has OpenAI's `/embeddings`.",
        )

    def read_embeddings(self, body: bytes, asked: EmbeddingsRequest) -> EmbeddingsAnswer | Fault:
        return Fault("malformed", "it has no embeddings")

    def _make_destination(self, model: str) -> Destination:
        config = self._litellm.find_config(self._provider, model)
        if config is None:
            raise LitellmMissing(f"litellm has nothing for chats with {self._provider}")
        supported = frozenset(config.get_supported_openai_params(model) or ())
        return Destination(self._provider, self._base_url, config, model, supported)

    def _ask_headers(self, config: Config, key: str) -> dict[str, str]:
        """Lower case; `_KEY` stands where a key belongs."""
        headers = config.validate_environment(
            headers={},
            model=_ANY_MODEL,
            messages=[],
            optional_params={},
            litellm_params={},
            api_key=key,
            api_base=self._base_url,
        )
        return {name.lower(): value for name, value in headers.items() if name.lower() not in _OURS}

    def _find_json_tool(self, chat: ChatRequest) -> str:
        asked = chat.response_format
        return "" if asked is None or asked.type == "text" else self._litellm.json_tool


def _explain(provider: str) -> str:
    why = UNSUPPORTED.get(provider)
    if why is not None:
        return f"{provider} is not served through litellm: {why}"
    return (
        f"{provider} is not served through litellm; these are: {', '.join(SUPPORTED)}. For an API like "
        "OpenAI's use type openai-compatible"
    )
