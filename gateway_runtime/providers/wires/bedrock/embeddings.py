"""Embeddings at Bedrock, where Converse ends: each maker's own shape, through InvokeModel.

    cohere.embed-*               many texts; no usage, which comes in a header
    amazon.titan-embed-text-*    one text a request

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html and
.../model-parameters-titan-embed-text.html

The subtle rule: an answer does not say whose it is, and needs not: one has `embedding`, the other
`embeddings`, which is a list, or lists by their type when types were asked for.
"""

import re
from typing import Final

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.answer import Fault
from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.usage import Usage
from gateway_runtime.providers.wire import EmbeddingsAnswer, EmbeddingsRequest, Outgoing, Target
from gateway_runtime.providers.wires.bedrock.media import Block
from gateway_runtime.providers.wires.bedrock.model import read_model

_MAKER: Final = re.compile(r"(?:^|[./])(cohere\.embed-|amazon\.titan-embed-text-)(v\d|\w*)")
_TAKES: Final = frozenset({"input", "encoding_format", "dimensions"})
"""The caller's dialect writes the encoding."""

_encoder = msgspec.json.Encoder()


class _ByType(msgspec.Struct):
    floats: tuple[tuple[float, ...], ...] = msgspec.field(name="float")


class _Answer(msgspec.Struct, rename="camel"):
    embedding: tuple[float, ...] | None = None
    embeddings: tuple[tuple[float, ...], ...] | _ByType | None = None
    input_text_token_count: int | None = None


_decoder = msgspec.json.Decoder(_Answer)


def build_embeddings(asked: EmbeddingsRequest, target: Target) -> Outgoing:
    """Raises GatewayError UNSUPPORTED."""
    model = read_model(target.model)
    found = _MAKER.search(target.model)
    if found is None:
        raise GatewayError(
            ErrorCode.UNSUPPORTED,
            f"`{target.model}` cannot be asked for embeddings at Amazon Bedrock: only Cohere's "
            "`cohere.embed-` and Amazon's `amazon.titan-embed-text-` models can.",
        )
    losses = Losses("Amazon Bedrock", drop=target.drop)
    losses.check(asked.present, _TAKES)
    maker, version = found.groups()
    if maker == "cohere.embed-":
        # Search is what most embeddings are for, and documents are what most of them are of.
        body: Block = {"texts": asked.texts, "input_type": "search_document"}
        size_name = "output_dimension" if version not in ("english", "multilingual") else ""
    else:
        if len(asked.texts) != 1:
            raise GatewayError(
                ErrorCode.UNSUPPORTED,
                f"`{target.model}` takes one text a request, and `input` has {len(asked.texts)}. Send them "
                "one by one, or ask for a model of Cohere's.",
            )
        body = {"inputText": asked.texts[0]}
        size_name = "dimensions" if version == "v2" else ""
    if asked.dimensions is not None:
        if size_name:
            body[size_name] = asked.dimensions
        else:
            losses.add("dimensions", "this model has one size")
    return Outgoing(f"{model.path}/invoke", _encoder.encode(body), dropped=losses.dropped)


def read_embeddings(body: bytes, asked: EmbeddingsRequest) -> EmbeddingsAnswer | Fault:
    try:
        answer = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Fault("malformed", "its body is not JSON in the shape of embeddings")
    vectors = answer.embeddings.floats if isinstance(answer.embeddings, _ByType) else answer.embeddings
    if vectors is None:
        vectors = () if answer.embedding is None else (answer.embedding,)
    if len(vectors) != len(asked.texts):
        return Fault("malformed", f"it has {len(vectors)} vectors for {len(asked.texts)} texts")
    count = answer.input_text_token_count
    return EmbeddingsAnswer(vectors, None if count is None else Usage(max(count, 0), 0))
