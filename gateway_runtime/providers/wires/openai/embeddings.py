"""Embeddings as OpenAI's API has them: the hub's request to a body, a body to the hub's answer.

Format: https://platform.openai.com/docs/api-reference/embeddings. The vectors are asked for as numbers: what
the caller wants them in is the dialect's part.
"""

from typing import Final

import msgspec

from gateway_runtime.providers.answer import Fault, build_fault
from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.error import read_error
from gateway_runtime.providers.usage import NO_USAGE, read_usage
from gateway_runtime.providers.wire import EmbeddingsAnswer, EmbeddingsRequest, Target
from gateway_runtime.providers.wires.openai.answer import NO_ERROR, decode, tells_error

_TAKES: Final = frozenset({"input", "dimensions", "encoding_format"})


class _Vector(msgspec.Struct, gc=False):
    embedding: tuple[float, ...]
    index: int


class _Vectors(msgspec.Struct):
    data: list[_Vector] | None = None
    model: str | None = None
    usage: msgspec.Raw = NO_USAGE
    error: msgspec.Raw = NO_ERROR


_decoder = msgspec.json.Decoder(_Vectors)
_encoder = msgspec.json.Encoder()


def build_body(asked: EmbeddingsRequest, target: Target, provider: str) -> tuple[bytes, tuple[str, ...]]:
    """The body, and what was dropped. Raises GatewayError UNSUPPORTED."""
    losses = Losses(provider, drop=target.drop)
    losses.check(asked.present, _TAKES)
    body: dict[str, object] = {"model": target.model, "input": asked.texts}
    if asked.dimensions is not None:
        body["dimensions"] = asked.dimensions
    return _encoder.encode(body), losses.dropped


def read_vectors(body: bytes, asked: EmbeddingsRequest) -> EmbeddingsAnswer | Fault:
    answer = decode(body, _decoder, "its body")
    if isinstance(answer, Fault):
        return answer
    if tells_error(answer.error):
        return build_fault(read_error(body))
    found = sorted(answer.data or (), key=lambda vector: vector.index)
    if [vector.index for vector in found] != list(range(len(asked.texts))):
        return Fault("malformed", "its answer does not have one vector for each text")
    return EmbeddingsAnswer(
        tuple(vector.embedding for vector in found), read_usage(answer.usage), answer.model or ""
    )
