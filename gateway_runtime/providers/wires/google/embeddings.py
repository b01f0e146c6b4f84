"""Embeddings: texts in, the body of one of Google's three methods out; their answers in, vectors out.

    Gemini API                    batchEmbedContents  {"requests": [...]}     {"embeddings": [...]}
    Vertex AI                     predict             {"instances": [...]}    {"predictions": [...]}
    Vertex AI, Gemini Embedding 2 embedContent        {"content": ...}        {"embedding": ...}

Formats: https://ai.google.dev/api/embeddings#method:-models.batchembedcontents and
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api.

The subtle rule: Vertex AI cuts a text that is too long, silently, unless it is told not to. It is told, since
a caller who asked OpenAI would get an error.
"""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.answer import Fault, build_fault
from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import ABSENT, is_there
from gateway_runtime.providers.usage import Usage
from gateway_runtime.providers.wire import EmbeddingsAnswer, EmbeddingsRequest, Target
from gateway_runtime.providers.wires.google.api import Api
from gateway_runtime.providers.wires.google.error import read_error
from gateway_runtime.providers.wires.google.pieces import MALFORMED
from gateway_runtime.providers.wires.google.shapes import read_usage

_TAKES: Final = frozenset({"input", "dimensions", "encoding_format"})

_encoder = msgspec.json.Encoder()

_Vector = tuple[float, ...]
_Count = Annotated[float, msgspec.Meta(ge=0, le=2**53 - 1)]


class _Statistics(msgspec.Struct):
    token_count: _Count | None = None
    """A double there:
    https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api.
    """


class _Embedding(msgspec.Struct):
    values: _Vector
    statistics: _Statistics = msgspec.field(default_factory=_Statistics)


class _Prediction(msgspec.Struct):
    embeddings: _Embedding


class _Answer(msgspec.Struct, rename="camel"):
    embeddings: list[_Embedding] = []
    predictions: list[_Prediction] = []
    embedding: _Embedding | None = None
    usage_metadata: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


_decode_answer = msgspec.json.Decoder(_Answer).decode


def build_batch(
    asked: EmbeddingsRequest, model: str, target: Target, api: Api
) -> tuple[bytes, tuple[str, ...]]:
    """model: without `models/`. The body, and what was dropped. Raises GatewayError UNSUPPORTED."""
    dropped = _check(asked, target, api)
    request: dict[str, object] = {"model": f"models/{model}"}
    if asked.dimensions is not None:
        request["outputDimensionality"] = asked.dimensions
    requests = [{**request, "content": {"parts": [{"text": text}]}} for text in asked.texts]
    return _encoder.encode({"requests": requests}), dropped


def build_instances(asked: EmbeddingsRequest, target: Target, api: Api) -> tuple[bytes, tuple[str, ...]]:
    """As `build_batch`."""
    dropped = _check(asked, target, api)
    parameters: dict[str, object] = {"autoTruncate": False}
    if asked.dimensions is not None:
        parameters["outputDimensionality"] = asked.dimensions
    instances = [{"content": text} for text in asked.texts]
    return _encoder.encode({"instances": instances, "parameters": parameters}), dropped


def build_content(asked: EmbeddingsRequest, target: Target, api: Api) -> tuple[bytes, tuple[str, ...]]:
    """As `build_batch`."""
    dropped = _check(asked, target, api)
    if len(asked.texts) != 1:
        raise GatewayError(
            ErrorCode.UNSUPPORTED,
            f"`input` has {len(asked.texts)} texts, but {target.model} takes one at a time in {api.name}'s "
            "API. Send one request for each.",
        )
    config: dict[str, object] = {"autoTruncate": False}
    if asked.dimensions is not None:
        config["outputDimensionality"] = asked.dimensions
    content = {"parts": [{"text": asked.texts[0]}]}
    return _encoder.encode({"content": content, "embedContentConfig": config}), dropped


def takes_one_content(model: str) -> bool:
    """Of Vertex AI's models: `gemini-embedding-001` is the last Gemini model that `predict` serves, as
    Google's own SDK has it: https://github.com/googleapis/python-genai.
    """
    return model.startswith("gemini-") and model != "gemini-embedding-001"


def read_embeddings(body: bytes, asked: EmbeddingsRequest) -> EmbeddingsAnswer | Fault:
    try:
        answer = _decode_answer(body)
        if is_there(answer.error):
            return build_fault(read_error(body))
    except MALFORMED:
        return Fault("malformed", "its body is not an answer with embeddings")
    found = answer.embeddings or [prediction.embeddings for prediction in answer.predictions]
    if answer.embedding is not None:
        found = [answer.embedding]
    if len(found) != len(asked.texts):
        return Fault("malformed", f"it has {len(found)} vectors for {len(asked.texts)} texts")
    usage = read_usage(answer.usage_metadata) or _add_up(found)
    return EmbeddingsAnswer(tuple(embedding.values for embedding in found), usage)


def _add_up(found: Sequence[_Embedding]) -> Usage | None:
    """None where one of them is not counted."""
    total = 0
    for embedding in found:
        if embedding.statistics.token_count is None:
            return None
        total += int(embedding.statistics.token_count)
    return Usage(total, 0)


def _check(asked: EmbeddingsRequest, target: Target, api: Api) -> tuple[str, ...]:
    losses = Losses(api.name, drop=target.drop)
    losses.check(asked.present, _TAKES)
    return losses.dropped
