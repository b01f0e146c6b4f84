"""The messages of a chat for Converse: the hub's one after the other in, `system` and `messages` out.

    system, developer    -> `system`, wherever they stand
    user, tool           -> turns of the user; a tool's result is a `toolResult` block
    assistant            -> turns of the assistant: what it thought, what it said, its calls

Blocks: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html

The subtle rules: turns alternate, so neighbours of one role become one; a block of blank text is refused, so
it is left out; and a mark for the cache is a block of its own behind what it marks.
"""

import hashlib
import re
from typing import Final

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import (
    AudioPart,
    CacheControl,
    FilePart,
    ImagePart,
    Message,
    Part,
    RefusalPart,
    TextPart,
    ThinkingBlock,
    ToolCall,
)
from gateway_runtime.providers.wires.bedrock.media import (
    Block,
    DocumentNames,
    build_audio,
    build_document,
    build_image,
)
from gateway_runtime.providers.wires.bedrock.model import Family, Model

_CACHE_POINT: Final[Block] = {"cachePoint": {"type": "default"}}
"""For 5 minutes, unless it says more."""
_LONG_CACHE_POINT: Final[Block] = {"cachePoint": {"type": "default", "ttl": "1h"}}
_FITTING_ID: Final = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")

_arguments_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Conversation:
    """Takes a request's messages in their order; `add` raises GatewayError."""

    __slots__ = ("_documents", "_losses", "_model", "called", "system", "turns")

    def __init__(self, model: Model, losses: Losses) -> None:
        self._model = model
        self._losses = losses
        self._documents = DocumentNames()
        self.system: list[Block] = []
        self.turns: list[Block] = []
        self.called: dict[str, None] = {}
        """Names of the tools that were called, in the order of their first calls."""

    def add(self, place: int, message: Message) -> None:
        """place: among the request's messages."""
        role = message.role
        where = f"messages[{place}]"
        if message.name is not None and role != "tool":
            self._losses.add(f"{where}.name")
        if role == "assistant":
            blocks = self._build_said(where, message)
        elif role == "tool":
            blocks = self._build_result(where, message)
        elif role == "user":
            blocks = self._build_content(where, message.content, media=True)
        else:
            self.system += self._build_content(where, message.content, media=False)
            self.mark(self.system, message.cache_control, f"{where}.cache_control")
            return
        self.mark(blocks, message.cache_control, f"{where}.cache_control")
        if blocks:
            self._add_turn("assistant" if role == "assistant" else "user", blocks)

    def mark(self, blocks: list[Block], cache: CacheControl | None, where: str) -> None:
        """Behind the last of `blocks`, unless it is marked."""
        if cache is None:
            return
        if not self._model.caches or not blocks:
            self._losses.tell(where)
            return
        long = cache.ttl == "1h" and self._model.family is not Family.NOVA
        if not long and cache.ttl not in (None, "5m"):
            self._losses.tell(f"{where}.ttl")
        if "cachePoint" not in blocks[-1]:
            blocks.append(_LONG_CACHE_POINT if long else _CACHE_POINT)

    def _add_turn(self, role: str, blocks: list[Block]) -> None:
        if self.turns and self.turns[-1]["role"] == role:
            said = self.turns[-1]["content"]
            assert isinstance(said, list)
            said += blocks
        else:
            self.turns.append({"role": role, "content": blocks})

    def _build_content(self, where: str, content: str | list[Part] | None, *, media: bool) -> list[Block]:
        """media: more than text has a place there."""
        if content is None:
            return []
        if isinstance(content, str):
            return [{"text": content}] if _is_said(content) else []
        blocks: list[Block] = []
        for place, part in enumerate(content):
            at = f"{where}.content[{place}]"
            block: Block | None
            match part:
                case TextPart(text=text) | RefusalPart(refusal=text):
                    block = {"text": text} if _is_said(text) else None
                case _ if not media:
                    self._losses.add(at, "only a user's message and a tool's result take more than text")
                    block = None
                case _:
                    block = self._build_media(at, part)
            if block is not None:
                blocks.append(block)
            if isinstance(part, TextPart | ImagePart | FilePart):
                self.mark(blocks, part.cache_control, f"{at}.cache_control")
        return blocks

    def _build_media(self, where: str, part: ImagePart | FilePart | AudioPart) -> Block | None:
        if isinstance(part, ImagePart):
            if part.image_url.detail not in (None, "auto"):
                self._losses.tell(f"{where}.image_url.detail")
            return build_image(part.image_url.url, where, self._losses)
        if isinstance(part, FilePart):
            return build_document(part.file, where, self._documents, self._losses)
        return build_audio(part)

    def _build_said(self, where: str, message: Message) -> list[Block]:
        blocks = self._build_thoughts(where, message)
        blocks += self._build_content(where, message.content, media=False)
        if message.refusal is not None and _is_said(message.refusal):
            blocks.append({"text": message.refusal})
        for place, call in enumerate(message.tool_calls or ()):
            blocks.append(self._build_call(f"{where}.tool_calls[{place}]", call))
        return blocks

    def _build_thoughts(self, where: str, message: Message) -> list[Block]:
        """What has no signature is left out: no model takes it, and makers ask not to send it. Clients give
        back what they got, so that is no reason to refuse.
        """
        if message.thinking_blocks is None:
            if message.reasoning_content:
                self._losses.tell(f"{where}.reasoning_content")
            return []
        blocks: list[Block] = []
        for place, thought in enumerate(message.thinking_blocks):
            if not self._model.takes_reasoning:
                self._losses.tell(f"{where}.thinking_blocks")
            elif not isinstance(thought, ThinkingBlock):
                blocks.append({"reasoningContent": {"redactedContent": thought.data}})
            elif thought.signature:
                text = {"text": thought.thinking, "signature": thought.signature}
                blocks.append({"reasoningContent": {"reasoningText": text}})
            else:
                self._losses.tell(f"{where}.thinking_blocks[{place}]")
        return blocks

    def _build_call(self, where: str, call: ToolCall) -> Block:
        name = call.function.name
        self.called[name] = None
        if call.extra_content is not None:
            self._losses.tell(f"{where}.extra_content")  # Google's, which nobody else can read
        arguments: object = {}
        if call.function.arguments.strip():
            try:
                _arguments_decoder.decode(call.function.arguments)
                arguments = msgspec.Raw(call.function.arguments.encode())
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                self._losses.add(f"{where}.function.arguments", "a call's arguments are a JSON object there")
        return {"toolUse": {"toolUseId": _fit_id(call.id), "name": name, "input": arguments}}

    def _build_result(self, where: str, message: Message) -> list[Block]:
        if message.tool_call_id is None:
            raise GatewayError(
                ErrorCode.MALFORMED_BODY, f"`{where}` does not fit: a tool's result needs a `tool_call_id`."
            )
        content = self._build_content(where, message.content, media=True)
        # A mark has no place inside: it stands behind the whole result.
        marks = [block for block in content if "cachePoint" in block]
        inside = [block for block in content if "cachePoint" not in block]
        result: Block = {"toolUseId": _fit_id(message.tool_call_id), "content": inside}
        if message.is_error:
            # https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolResultBlock.html
            if self._model.family in (Family.CLAUDE, Family.NOVA, Family.UNKNOWN):
                result["status"] = "error"
            else:
                self._losses.tell(f"{where}.is_error")
        return [{"toolResult": result}, *marks[-1:]]


def _is_said(text: str) -> bool:
    return bool(text) and not text.isspace()


def _fit_id(call_id: str) -> str:
    """Ids of other providers may be longer, or have other letters, than Bedrock takes; the same id gives the
    same one in the call and in its result.
    """
    if _FITTING_ID.fullmatch(call_id):
        return call_id
    return f"call_{hashlib.sha256(call_id.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
