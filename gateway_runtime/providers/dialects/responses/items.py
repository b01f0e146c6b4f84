"""The `input` of a request to the Responses API: its items in, the hub's messages out.

Format: https://platform.openai.com/docs/api-reference/responses/create#responses_create-input.

    message               a message of its role
    reasoning             what the assistant's next message or call was thought with; alone it says nothing
    function_call         a call of the assistant's message
    function_call_output  a tool's message
    any other             is told as `input[3]`, which no wire takes

The subtle rule: what the API tells in a row of items, the hub tells in one message. Reasoning, text and calls
that follow each other are one turn of the assistant, or a provider would miss the thoughts of a call, and see
two turns where there was one.
"""

from typing import Final

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.chat.request import (
    AnyThinkingBlock,
    Audio,
    AudioPart,
    CacheControl,
    ExtraContent,
    File,
    FilePart,
    FunctionCall,
    ImagePart,
    ImageUrl,
    Message,
    Part,
    RefusalPart,
    Role,
    TextPart,
    ToolCall,
    refuse_member,
)
from gateway_runtime.providers.dialects.responses.thoughts import open_blocks

_MARKED: Final = CacheControl("ephemeral")


class _Breakpoint(msgspec.Struct):
    """https://platform.openai.com/docs/guides/prompt-caching: the same as Anthropic's mark."""


class _Part(msgspec.Struct):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    input_audio: Audio | None = None
    prompt_cache_breakpoint: _Breakpoint | None = None


_Content = str | list[_Part]


class _Kind(msgspec.Struct):
    type: str | None = None


class _Message(msgspec.Struct):
    role: Role
    content: _Content


class _Call(msgspec.Struct):
    call_id: str
    name: str
    arguments: str
    extra_content: ExtraContent | None = None
    """Not OpenAI's: `answer` writes it for Google's models."""


class _Output(msgspec.Struct):
    call_id: str
    output: _Content


class _Text(msgspec.Struct):
    text: str = ""


class _Reasoning(msgspec.Struct):
    summary: list[_Text] | None = None
    content: list[_Text] | None = None
    encrypted_content: str | None = None


_items_decoder = msgspec.json.Decoder(str | list[_Kind])
_raws_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_message_decoder = msgspec.json.Decoder(_Message)
_call_decoder = msgspec.json.Decoder(_Call)
_output_decoder = msgspec.json.Decoder(_Output)
_reasoning_decoder = msgspec.json.Decoder(_Reasoning)


def read_items(raw: msgspec.Raw, lost: set[str]) -> list[Message]:
    """raw: the member. lost: gets the names of what no message can say. Raises GatewayError
    MALFORMED_BODY.
    """
    try:
        kinds = _items_decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _place_problem(error, "input") from error
    if isinstance(kinds, str):
        return [Message("user", kinds)]
    reader = _Reader(lost)
    for place, (kind, item) in enumerate(zip(kinds, _raws_decoder.decode(raw), strict=True)):
        where = f"input[{place}]"
        try:
            reader.take(kind.type or "message", item, where)
        except msgspec.ValidationError as error:
            raise _place_problem(error, where) from error
    reader.end_turn()
    return reader.messages


class _Reader:
    def __init__(self, lost: set[str]) -> None:
        self.messages: list[Message] = []
        self._lost = lost
        self._content: str | list[Part] | None = None
        self._calls: list[ToolCall] = []
        self._blocks: list[AnyThinkingBlock] = []
        self._thoughts: list[str] = []

    def take(self, kind: str, item: msgspec.Raw, where: str) -> None:
        match kind:
            case "message":
                self._take_message(_message_decoder.decode(item), where)
            case "function_call":
                call = _call_decoder.decode(item)
                function = FunctionCall(call.name, call.arguments)
                self._calls.append(ToolCall(call.call_id, function, call.extra_content))
            case "function_call_output":
                self.end_turn()
                output = _output_decoder.decode(item)
                content = self._read_content(output.output, f"{where}.output")
                self.messages.append(Message("tool", content, tool_call_id=output.call_id))
            case "reasoning":
                self._take_reasoning(_reasoning_decoder.decode(item))
            case _:
                self._lost.add(where)

    def end_turn(self) -> None:
        """Of the assistant, if one has begun."""
        if self._content is not None or self._calls:
            thoughts = "\n".join(self._thoughts)
            self.messages.append(
                Message(
                    "assistant",
                    self._content,
                    tool_calls=self._calls or None,
                    reasoning_content=thoughts or None,
                    thinking_blocks=self._blocks or None,
                )
            )
        self._content = None
        self._calls, self._blocks, self._thoughts = [], [], []

    def _take_message(self, message: _Message, where: str) -> None:
        content = self._read_content(message.content, f"{where}.content")
        if message.role != "assistant":
            self.end_turn()
            self.messages.append(Message(message.role, content))
            return
        if self._content is not None:
            self.end_turn()
        self._content = content

    def _take_reasoning(self, reasoning: _Reasoning) -> None:
        if self._content is not None and not self._calls:
            self.end_turn()  # the thoughts of the next turn
        blocks = open_blocks(reasoning.encrypted_content)
        self._blocks += blocks
        self._thoughts += [text.text for text in reasoning.content or reasoning.summary or () if text.text]

    def _read_content(self, content: _Content, where: str) -> str | list[Part]:
        if isinstance(content, str):
            return content
        parts: list[Part] = []
        for number, part in enumerate(content):
            read = _read_part(part)
            if read is None:
                self._lost.add(f"{where}[{number}]")
            else:
                parts.append(read)
        only = parts[0] if len(parts) == 1 else None
        return only.text if isinstance(only, TextPart) and only.cache_control is None else parts


def _read_part(part: _Part) -> Part | None:
    """None: the hub has none of this kind, or it has nothing in it."""
    mark = None if part.prompt_cache_breakpoint is None else _MARKED
    match part.type:
        case "input_text" | "output_text" | "text" if part.text is not None:
            return TextPart(part.text, mark)
        case "input_image" if part.image_url is not None:
            return ImagePart(ImageUrl(part.image_url, part.detail), mark)
        case "input_image" if part.file_id is not None:
            return FilePart(File(file_id=part.file_id), mark)
        case "input_file":
            data = part.file_data or part.file_url
            if data is not None or part.file_id is not None:
                return FilePart(File(data, part.file_id, part.filename), mark)
        case "input_audio" if part.input_audio is not None:
            return AudioPart(part.input_audio)
        case "refusal" if part.refusal is not None:
            return RefusalPart(part.refusal)
    return None


def _place_problem(error: msgspec.ValidationError, where: str) -> GatewayError:
    """With the path within the whole body."""
    problem = str(error)
    if "`$" in problem:
        return refuse_member(problem.replace("`$", f"`$.{where}"))
    return GatewayError(
        ErrorCode.MALFORMED_BODY, f"`{where}` does not fit: {problem[0].lower()}{problem[1:]}."
    )
