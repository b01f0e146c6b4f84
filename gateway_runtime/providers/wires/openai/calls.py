"""Tool calls of one choice in a stream of OpenAI's API: their pieces in, the hub's out.

Format: https://platform.openai.com/docs/api-reference/chat-streaming/streaming#choices-delta-tool_calls. The
first piece of a call has its id and name, the others add to its arguments; `index` says whose piece it is.

The subtle rule: not every server keeps to that. Gemini's compatible API gives each call whole and calls all
of them number 0, or gives no number; others repeat id and name with every piece, or tell the name later than
the id. So an id that was not heard before, together with a name, begins a call; and a call is held back until
its name is known.
"""

import msgspec

from gateway_runtime.providers.chat.answer import ChatChunk, ToolCallDelta
from gateway_runtime.providers.chat.request import ABSENT
from gateway_runtime.providers.wires.openai.answer import read_arguments, read_extra


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | dict[str, object] | None = None


class CallPiece(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None
    extra_content: msgspec.Raw = ABSENT


class _Call:
    __slots__ = ("held", "id", "place", "told")

    def __init__(self, place: int, call_id: str) -> None:
        self.place = place
        self.id = call_id
        self.held = ""
        """Arguments that came before the name."""
        self.told = False


class Calls:
    """Of one choice. False while there is none."""

    __slots__ = ("_by_number", "_calls", "_choice")

    def __init__(self, choice: int) -> None:
        self._choice = choice
        self._calls: list[_Call] = []
        self._by_number: dict[int, _Call] = {}

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def has_unnamed(self) -> bool:
        return any(not call.told for call in self._calls)

    def take(self, pieces: list[CallPiece], chunks: list[ChatChunk]) -> None:
        for piece in pieces:
            function = piece.function
            name = (function.name if function is not None else None) or ""
            arguments = "" if function is None else read_arguments(function.arguments)
            call = self._find(piece, name)
            if call.told:
                if arguments:
                    self._tell(ToolCallDelta(call.place, arguments=arguments), chunks)
            elif name:
                call.told = True
                extra = read_extra(piece.extra_content)
                self._tell(ToolCallDelta(call.place, call.id, name, call.held + arguments, extra), chunks)
            else:
                call.held += arguments

    def _find(self, piece: CallPiece, name: str) -> _Call:
        known = self._calls[-1] if self._calls else None
        if piece.index is not None:
            known = self._by_number.get(piece.index)
        if known is None or (piece.id and name and piece.id != known.id and known.told):
            place = len(self._calls)
            known = _Call(place, piece.id or f"call_{place}")
            self._calls.append(known)
            if piece.index is not None:
                self._by_number[piece.index] = known
        return known

    def _tell(self, delta: ToolCallDelta, chunks: list[ChatChunk]) -> None:
        chunks.append(ChatChunk(tool_call=delta, index=self._choice))
