"""A chat's messages: the hub's in, Google's `contents` and `systemInstruction` out.

    system, developer  -> systemInstruction, in their order
    user, tool         -> a turn of the role `user`
    assistant          -> a turn of the role `model`

Turns of one role that follow each other become one: https://ai.google.dev/api/caching#Content. What the model
thought goes back as the thoughts that it was, as Google's own SDK has it in its chats, and a call's signature
with its call: https://ai.google.dev/gemini-api/docs/thought-signatures.

The subtle rule: Gemini 3 refuses a chat in which a turn's first call has no signature. Chats that began with
another provider, or passed through a client that forgets, have none; for them Google's page names a word that
turns the check off. And before Gemini 3 a result names a function, not a call; so results go in the order of
their calls, whatever order the caller has them in.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import (
    ChatRequest,
    Message,
    Part,
    RefusalPart,
    TextPart,
    ThinkingBlock,
    ToolCall,
)
from gateway_runtime.providers.wires.google.api import Api
from gateway_runtime.providers.wires.google.media import build_media
from gateway_runtime.providers.wires.google.models import Traits

_UNSIGNED: Final = "skip_thought_signature_validator"
"""https://ai.google.dev/gemini-api/docs/thought-signatures#faqs."""

_OUR_ID: Final = re.compile(r"call_\d{1,4}")
"""What `pieces` calls a call to which Google gave no id; such an id may come twice in a chat."""

_RESERVED: Final = frozenset({"output", "error"})

_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Contents:
    """One per request: `add` each message, then read what came of it."""

    __slots__ = ("_api", "_calls", "_count", "_losses", "_results", "_traits", "_turns", "system")

    def __init__(self, api: Api, traits: Traits, losses: Losses) -> None:
        self._api = api
        self._traits = traits
        self._losses = losses
        self._turns: list[tuple[str, list[object]]] = []
        self._calls: dict[str, tuple[int, ToolCall]] = {}
        """By id, the last that has it, and which call of the chat it is."""
        self._count = 0
        self._results: list[tuple[int, list[object]]] = []
        """Since the last message that was none: of which call, and its parts."""
        self.system: list[object] = []

    def add_all(self, chat: ChatRequest) -> None:
        """Raises GatewayError MALFORMED_BODY and UNSUPPORTED."""
        for i, message in enumerate(chat.messages):
            where = f"messages[{i}]"
            if message.role != "tool":
                self._place_results()
                if message.name is not None:
                    self._losses.add(f"{where}.name")
            if message.role == "user":
                self._get_turn("user").extend(self._build_parts(message.content, where))
            elif message.role == "assistant":
                self._add_answer(message, where)
            elif message.role == "tool":
                self._add_result(message, where)
            else:
                self._add_system(message, where)
        self._place_results()

    def build(self) -> list[dict[str, object]]:
        """The turns. Google wants one at least: instructions alone are then what the user says."""
        turns: list[dict[str, object]] = [
            {"role": role, "parts": parts} for role, parts in self._turns if parts
        ]
        if turns:
            return turns
        said, self.system = self.system, []
        return [{"role": "user", "parts": said or [{"text": ""}]}]

    def _get_turn(self, role: str) -> list[object]:
        if not self._turns or self._turns[-1][0] != role:
            self._turns.append((role, []))
        return self._turns[-1][1]

    def _add_system(self, message: Message, where: str) -> None:
        content = message.content
        if isinstance(content, list):
            for i, part in enumerate(content):
                if not isinstance(part, TextPart):
                    self._losses.add(f"{where}.content[{i}]", "instructions are text alone")
            content = [part for part in content if isinstance(part, TextPart)]
        self.system.extend(self._build_parts(content, where))

    def _add_answer(self, message: Message, where: str) -> None:
        turn = self._get_turn("model")
        if message.thinking_blocks is not None:
            for i, block in enumerate(message.thinking_blocks):
                if not isinstance(block, ThinkingBlock):
                    self._losses.add(f"{where}.thinking_blocks[{i}]", "another provider encrypted it")
                elif block.thinking:
                    turn.append({"text": block.thinking, "thought": True})
        elif message.reasoning_content:
            turn.append({"text": message.reasoning_content, "thought": True})
        turn.extend(self._build_parts(message.content, where))
        if message.refusal:
            turn.append({"text": message.refusal})
        for i, call in enumerate(message.tool_calls or ()):
            self._calls[call.id] = (self._count, call)
            self._count += 1
            turn.append(self._build_call(call, f"{where}.tool_calls[{i}]", first=i == 0))

    def _build_call(self, call: ToolCall, where: str, *, first: bool) -> dict[str, object]:
        built: dict[str, object] = {"name": call.function.name}
        if call.function.arguments.strip():
            try:
                built["args"] = _object_decoder.decode(call.function.arguments)
            except (msgspec.DecodeError, RecursionError):
                self._losses.add(f"{where}.function.arguments", "they are no JSON object")
        if self._traits.third and not _OUR_ID.fullmatch(call.id):
            built["id"] = call.id
        part: dict[str, object] = {"functionCall": built}
        google = None if call.extra_content is None else call.extra_content.google
        if google is not None and google.thought_signature:
            part["thoughtSignature"] = google.thought_signature
        elif first and self._traits.third:
            part["thoughtSignature"] = _UNSIGNED
        return part

    def _add_result(self, message: Message, where: str) -> None:
        if message.tool_call_id is None:
            raise GatewayError(
                ErrorCode.MALFORMED_BODY, f"`{where}.tool_call_id` is missing: name the call that this is of."
            )
        found = self._calls.get(message.tool_call_id)
        if found is None:
            raise GatewayError(
                ErrorCode.MALFORMED_BODY,
                f"`{where}.tool_call_id` is no id of a tool call in an earlier message of the assistant. "
                "Send the message with the call, too.",
            )
        place, call = found
        text, media = self._split_result(message.content, where)
        built: dict[str, object] = {"name": call.function.name, "response": _build_result(text, message)}
        if self._traits.third and not _OUR_ID.fullmatch(call.id):
            built["id"] = call.id
        parts: list[object] = [{"functionResponse": built}]
        if media and self._traits.third:
            # https://ai.google.dev/gemini-api/docs/function-calling#multimodal
            built["parts"] = media
        else:
            parts += media
        self._results.append((place, parts))

    def _place_results(self) -> None:
        if self._results:
            turn = self._get_turn("user")
            for _, parts in sorted(self._results, key=lambda result: result[0]):
                turn.extend(parts)
            self._results.clear()

    def _split_result(self, content: str | list[Part] | None, where: str) -> tuple[str, list[object]]:
        if not isinstance(content, list):
            return content or "", []
        texts = [part.text for part in content if isinstance(part, TextPart)]
        rest = [part for part in content if not isinstance(part, TextPart)]
        return "\n".join(texts), self._build_parts(rest, where)

    def _build_parts(self, content: str | Sequence[Part] | None, where: str) -> list[object]:
        """Without empty texts, which Google refuses."""
        if not content:
            return []
        if isinstance(content, str):
            return [{"text": content}]
        built: list[object] = []
        for i, part in enumerate(content):
            if isinstance(part, TextPart):
                if part.text:
                    built.append({"text": part.text})
            elif isinstance(part, RefusalPart):
                built.append({"text": part.refusal})
            else:
                built.append(build_media(part, f"{where}.content[{i}]", self._api))
        return built


def _build_result(text: str, message: Message) -> Mapping[str, object]:
    """https://ai.google.dev/api/caching#FunctionResponse: `output` and `error` have a meaning there; without
    them the whole object is the output. An object with `$ref` stays a text: Gemini 3 takes its value for the
    name of an attached file, and refuses names that it does not find.
    """
    if message.is_error:
        return {"error": text}
    if text.lstrip()[:1] == "{" and '"$ref"' not in text:
        try:
            result = _object_decoder.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return {"output": text}
        return {"output": result} if result.keys() & _RESERVED else result
    return {"output": text}
