"""Embeddings, both ways: https://docs.cohere.com/reference/embed.

Cohere cuts a text that is too long unless it is told otherwise. It is told: half a text found under a whole
one's name is worse than an error, and an error is what OpenAI's API promises.

The subtle rule: Cohere asks what a text is for, and OpenAI's API has no word for it. All are documents here,
`search_document`; queries embedded as documents still find them, a little less well.
"""

from typing import Annotated, Final

import msgspec

from gateway_runtime.providers.answer import Fault
from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import ABSENT
from gateway_runtime.providers.usage import Usage
from gateway_runtime.providers.wire import EmbeddingsAnswer, EmbeddingsRequest, Outgoing, Target

_TAKES: Final = frozenset({"dimensions", "encoding_format", "input"})
_Count = Annotated[float, msgspec.Meta(ge=0, le=2**53 - 1)]


class _Vectors(msgspec.Struct):
    float: tuple[tuple[float, ...], ...]


class _Answer(msgspec.Struct):
    embeddings: _Vectors
    meta: msgspec.Raw = ABSENT


class _Units(msgspec.Struct):
    input_tokens: _Count | None = None


class _Meta(msgspec.Struct):
    tokens: _Units | None = None
    billed_units: _Units | None = None


_decoder = msgspec.json.Decoder(_Answer)
_meta_decoder = msgspec.json.Decoder(_Meta)
_encoder = msgspec.json.Encoder()


def build_embeddings(asked: EmbeddingsRequest, target: Target) -> Outgoing:
    """Cohere takes 96 texts at once and says so when there are more."""
    losses = Losses("Cohere", drop=target.drop)
    losses.check(asked.present, _TAKES)
    body: dict[str, object] = {
        "model": target.model,
        "texts": asked.texts,
        "input_type": "search_document",
        "embedding_types": ("float",),
        "truncate": "NONE",
    }
    if asked.dimensions is not None:
        body["output_dimension"] = asked.dimensions
    return Outgoing("/embed", _encoder.encode(body), dropped=losses.dropped)


def read_embeddings(body: bytes, asked: EmbeddingsRequest) -> EmbeddingsAnswer | Fault:
    try:
        answer = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Fault("malformed", "its body is not embeddings in Cohere's shape")
    vectors = answer.embeddings.float
    if len(vectors) != len(asked.texts):
        return Fault("malformed", f"it has {len(vectors)} embeddings for {len(asked.texts)} texts")
    return EmbeddingsAnswer(vectors, _read_usage(answer.meta))


def _read_usage(meta: msgspec.Raw) -> Usage | None:
    try:
        found = _meta_decoder.decode(meta)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    for units in (found.tokens, found.billed_units):
        if units is not None and units.input_tokens is not None:
            return Usage(int(units.input_tokens), 0)
    return None
