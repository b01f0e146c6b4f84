"""Embeddings, both ways: https://github.com/ollama/ollama/blob/main/docs/api.md#generate-embeddings.

The subtle rule: Ollama cuts a text that is too long unless it is told otherwise. It is told: half a text
found under a whole one's name is worse than an error, and an error is what OpenAI's API promises.
"""

from typing import Annotated, Final

import msgspec

from gateway_runtime.providers.answer import Fault, build_fault
from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import ABSENT, is_there
from gateway_runtime.providers.usage import Usage
from gateway_runtime.providers.wire import EmbeddingsAnswer, EmbeddingsRequest, Outgoing, Target
from gateway_runtime.providers.wires.ollama.error import read_error

_TAKES: Final = frozenset({"dimensions", "encoding_format", "input"})


class _Answer(msgspec.Struct):
    embeddings: tuple[tuple[float, ...], ...] = ()
    model: str = ""
    prompt_eval_count: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] | None = None
    error: msgspec.Raw = ABSENT


_decoder = msgspec.json.Decoder(_Answer)
_encoder = msgspec.json.Encoder()


def build_embeddings(asked: EmbeddingsRequest, target: Target) -> Outgoing:
    losses = Losses("Ollama", drop=target.drop)
    losses.check(asked.present, _TAKES)
    body: dict[str, object] = {"model": target.model, "input": asked.texts, "truncate": False}
    if asked.dimensions is not None:
        body["dimensions"] = asked.dimensions
    return Outgoing("/embed", _encoder.encode(body), dropped=losses.dropped)


def read_embeddings(body: bytes, asked: EmbeddingsRequest) -> EmbeddingsAnswer | Fault:
    try:
        answer = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Fault("malformed", "its body is not embeddings in Ollama's shape")
    if is_there(answer.error):
        return build_fault(read_error(body))
    if len(answer.embeddings) != len(asked.texts):
        return Fault("malformed", f"it has {len(answer.embeddings)} embeddings for {len(asked.texts)} texts")
    count = answer.prompt_eval_count
    return EmbeddingsAnswer(answer.embeddings, None if count is None else Usage(count, 0), answer.model)
