"""What a caller asks of a model: a ChatRequest, and how it is read from OpenAI's JSON.

Dialects make it, wires read it, nobody changes it. A member that is absent and one that is null are the
same here: None. What this module does not list is no part of a chat as the hub knows it; `losses` tells the
caller.

Format: https://platform.openai.com/docs/api-reference/chat/create. Members that OpenAI does not have are
marked, with whose they are.
"""

import re
from typing import Final, Literal, TypeAlias

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError

ABSENT: Final = msgspec.Raw()
"""A member that is JSON of any kind, and is not there; `is_there` looks at null, too."""

Role: TypeAlias = Literal["system", "developer", "user", "assistant", "tool"]


class CacheControl(msgspec.Struct, frozen=True, omit_defaults=True):
    """Anthropic's mark: the prompt up to here is worth keeping in the provider's cache."""

    type: Literal["ephemeral"]
    ttl: str | None = None
    """`5m` or `1h`."""


class TextPart(msgspec.Struct, frozen=True, omit_defaults=True, tag="text"):
    text: str
    cache_control: CacheControl | None = None


class ImageUrl(msgspec.Struct, frozen=True, omit_defaults=True):
    url: str
    """`https://...`, or `data:image/png;base64,...`."""
    detail: str | None = None


class ImagePart(msgspec.Struct, frozen=True, omit_defaults=True, tag="image_url"):
    image_url: ImageUrl
    cache_control: CacheControl | None = None


class File(msgspec.Struct, frozen=True, omit_defaults=True):
    file_data: str | None = None
    """`data:application/pdf;base64,...`; `https://...` is ours, for providers that fetch by themselves."""
    file_id: str | None = None
    """Of a file that the provider keeps: other providers do not have it."""
    filename: str | None = None


class FilePart(msgspec.Struct, frozen=True, omit_defaults=True, tag="file"):
    file: File
    cache_control: CacheControl | None = None


class Audio(msgspec.Struct, frozen=True):
    data: str
    """Base64."""
    format: str
    """`wav`, `mp3`."""


class AudioPart(msgspec.Struct, frozen=True, tag="input_audio"):
    input_audio: Audio


class RefusalPart(msgspec.Struct, frozen=True, tag="refusal"):
    """In an assistant's message of an earlier turn."""

    refusal: str


Part: TypeAlias = TextPart | ImagePart | FilePart | AudioPart | RefusalPart


class FunctionCall(msgspec.Struct, frozen=True):
    name: str
    arguments: str
    """JSON, as the model wrote it, which may be none."""


class GoogleExtra(msgspec.Struct, frozen=True, omit_defaults=True):
    thought_signature: str | None = None


class ExtraContent(msgspec.Struct, frozen=True, omit_defaults=True):
    """Google's, as its own OpenAI-compatible API spells it: what has to come back in the next turn."""

    google: GoogleExtra | None = None


class ToolCall(msgspec.Struct, frozen=True, omit_defaults=True, tag="function"):
    id: str
    function: FunctionCall
    extra_content: ExtraContent | None = None


class ThinkingBlock(msgspec.Struct, frozen=True, omit_defaults=True, tag="thinking"):
    """Anthropic's; Bedrock has it too. It comes back in the next turn as it was, or it is refused."""

    thinking: str
    signature: str | None = None


class RedactedThinkingBlock(msgspec.Struct, frozen=True, tag="redacted_thinking"):
    data: str


AnyThinkingBlock: TypeAlias = ThinkingBlock | RedactedThinkingBlock


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    role: Role
    content: str | list[Part] | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    """Of a tool's result: to which call it belongs."""
    reasoning_content: str | None = None
    """What the model thought in an earlier turn, in words: DeepSeek's, vLLM's and LiteLLM's name for it."""
    thinking_blocks: list[AnyThinkingBlock] | None = None
    """The same with signatures; LiteLLM's name for it. Where both are there, this one counts."""
    cache_control: CacheControl | None = None
    """LiteLLM's: the mark for the whole message."""
    is_error: bool = False
    """Anthropic's, of a tool's result: the tool failed."""


class Function(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    description: str | None = None
    parameters: msgspec.Raw = ABSENT
    """JSON Schema. ABSENT: the function takes none."""
    strict: bool | None = None


class Tool(msgspec.Struct, frozen=True, omit_defaults=True):
    type: str
    """`function`; any other is a tool of the provider's own, which no other provider has."""
    function: Function | None = None
    cache_control: CacheControl | None = None


class _Named(msgspec.Struct, frozen=True):
    name: str


class NamedToolChoice(msgspec.Struct, frozen=True):
    type: Literal["function"]
    function: _Named


ToolChoice: TypeAlias = Literal["none", "auto", "required"] | NamedToolChoice


class JsonSchema(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    schema: msgspec.Raw = ABSENT
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(msgspec.Struct, frozen=True, omit_defaults=True):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class Thinking(msgspec.Struct, frozen=True, omit_defaults=True):
    """Anthropic's."""

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: int | None = None
    display: Literal["summarized", "omitted"] | None = None
    """Whether the thoughts come in words."""


class StreamOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    model: str
    """As the caller calls it; a wire sends its target's."""
    messages: list[Message]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    """The older name of the next; `output_limit` knows both."""
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    """Anthropic's, Google's, Cohere's, vLLM's."""
    n: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    user: str | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    """`none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`."""
    thinking: Thinking | None = None
    """Anthropic's; where both are there, this one counts."""
    metadata: dict[str, str] | None = None
    service_tier: str | None = None

    @property
    def output_limit(self) -> int | None:
        """Tokens that the answer may have at most, as far as the caller says."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def stops(self) -> list[str]:
        if self.stop is None:
            return []
        return [self.stop] if isinstance(self.stop, str) else self.stop


_decoder = msgspec.json.Decoder(ChatRequest)
_WHERE: Final = re.compile(r" - at `\$\.?(.*)`$")


def read_chat(body: bytes) -> ChatRequest:
    """OpenAI's JSON. Raises GatewayError MALFORMED_BODY, which names the member."""
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise refuse_member(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise GatewayError(
            ErrorCode.MALFORMED_BODY, f"The request body is not valid JSON: {error}."
        ) from error


def is_there(raw: msgspec.Raw) -> bool:
    return bytes(raw) not in (b"", b"null")


def refuse_member(problem: str) -> GatewayError:
    """problem: as msgspec words it, "Expected `str`, got `int` - at `$.messages[0].role`"."""
    where = _WHERE.search(problem)
    what = problem[: where.start()] if where else problem
    what = what[:1].lower() + what[1:]
    if where is None:
        return GatewayError(ErrorCode.MALFORMED_BODY, f"The request body does not fit: {what}.")
    return GatewayError(ErrorCode.MALFORMED_BODY, f"`{where[1]}` does not fit: {what}.")
