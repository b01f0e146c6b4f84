"""Embeddings in OpenAI's wire format, towards a caller whose provider speaks something else: the request
read, the answer written.

Format: https://platform.openai.com/docs/api-reference/embeddings. The official SDK asks for base64 unless it
is told otherwise, and reads both.
"""

import struct
from base64 import b64encode
from typing import Literal

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.chat.request import refuse_member
from gateway_runtime.providers.request_body import RequestBody
from gateway_runtime.providers.wire import EmbeddingsAnswer, EmbeddingsRequest


class _Body(msgspec.Struct):
    input: str | list[str]
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] | None = None


_decoder = msgspec.json.Decoder(_Body)
_encoder = msgspec.json.Encoder()


def read_embeddings(body: RequestBody) -> EmbeddingsRequest:
    """Raises GatewayError MALFORMED_BODY, which names the member."""
    try:
        read = _decoder.decode(body.build(body.model, ask_usage=False))
    except msgspec.ValidationError as error:
        raise refuse_member(str(error)) from error
    texts = (read.input,) if isinstance(read.input, str) else tuple(read.input)
    if not texts:
        raise GatewayError(ErrorCode.MALFORMED_BODY, "`input` is empty: send a text, or a list of texts.")
    present = body.present
    return EmbeddingsRequest(
        texts,
        read.dimensions,
        present - {"model", "input", "encoding_format"},
        base64=read.encoding_format == "base64",
    )


def build_embeddings(answer: EmbeddingsAnswer, asked: EmbeddingsRequest, model: str) -> bytes:
    """model: said where the provider says none."""
    used = 0 if answer.usage is None else answer.usage.input_tokens
    return _encoder.encode(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": i, "embedding": _pack(vector) if asked.base64 else vector}
                for i, vector in enumerate(answer.vectors)
            ],
            "model": answer.model or model,
            "usage": {"prompt_tokens": used, "total_tokens": used},
        }
    )


def _pack(vector: tuple[float, ...]) -> str:
    """Little-endian floats of 32 bits: what numpy reads in the SDK."""
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
