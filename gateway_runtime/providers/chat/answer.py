"""What a model says: a ChatAnswer, whole, or ChatChunks, one piece of a stream after the other.

Wires make them, dialects write them. Neither knows the id of our request or the time: what a provider does
not tell is empty here, and the dialect fills it in.
"""

from typing import Literal, TypeAlias

import msgspec

from gateway_runtime.providers.chat.request import AnyThinkingBlock, ExtraContent, ToolCall
from gateway_runtime.providers.usage import Usage

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter"]


class Annotation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A source on the web that the answer's text rests on."""

    url: str
    title: str = ""
    start_index: int = 0
    end_index: int = 0
    """Of the text that rests on it, in characters; both 0 where the provider does not say."""


class AnswerMessage(msgspec.Struct, frozen=True):
    content: str | None = None
    refusal: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning_content: str | None = None
    thinking_blocks: tuple[AnyThinkingBlock, ...] = ()
    """The same with signatures: `reasoning_content` is then their text."""
    annotations: tuple[Annotation, ...] = ()
    citations: tuple[msgspec.Raw, ...] = ()
    """Sources that are no web pages, as the provider writes them."""


class ChatChoice(msgspec.Struct, frozen=True):
    message: AnswerMessage
    finish_reason: FinishReason
    index: int = 0
    logprobs: msgspec.Raw | None = None
    """In OpenAI's shape."""
    stop_sequence: str | None = None
    """Which of the caller's it stopped at, where the provider tells."""


class ChatAnswer(msgspec.Struct, frozen=True):
    choices: tuple[ChatChoice, ...]
    usage: Usage | None = None
    """None: the provider told none that can be read."""
    id: str = ""
    model: str = ""
    """As the provider calls it."""


class ToolCallDelta(msgspec.Struct, frozen=True):
    """A piece of a tool call. The first piece has `id` and `name`; those after it only more arguments."""

    index: int
    """Of the call among the answer's calls: 0, 1, ..."""
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    extra_content: ExtraContent | None = None


class ChatChunk(msgspec.Struct, frozen=True, gc=False):
    """A piece of one choice. Most have one member set; nothing else hangs on which come together."""

    content: str | None = None
    reasoning_content: str | None = None
    thinking_block: AnyThinkingBlock | None = None
    """A whole block, behind the pieces of its text which came as `reasoning_content`: it is told again here,
    with the signature, and is not to be added to them.
    """
    refusal: str | None = None
    tool_call: ToolCallDelta | None = None
    annotation: Annotation | None = None
    citation: msgspec.Raw | None = None
    logprobs: msgspec.Raw | None = None
    finish_reason: FinishReason | None = None
    """The last of its choice."""
    stop_sequence: str | None = None
    index: int = 0
