"""Log probabilities: Google's `logprobsResult` in, OpenAI's `logprobs` out.

Formats: https://ai.google.dev/api/generate-content#LogprobsResult and
https://platform.openai.com/docs/api-reference/chat/object. `bytes` is null: Google gives a token's text
alone.
"""

from math import isfinite
from typing import Final

import msgspec

_LEAST: Final = -9999.0
"""OpenAI's number for a token that was next to impossible; JSON has no infinity."""


class _Token(msgspec.Struct, rename="camel"):
    token: str = ""
    log_probability: float | str = 0.0
    """Protobuf writes `"-Infinity"`, and leaves 0 out."""


class _Alternatives(msgspec.Struct):
    candidates: list[_Token] = []


class _Result(msgspec.Struct, rename="camel"):
    chosen_candidates: list[_Token] = []
    top_candidates: list[_Alternatives] = []


_decoder = msgspec.json.Decoder(_Result)
_encoder = msgspec.json.Encoder()


def build_logprobs(raw: msgspec.Raw) -> msgspec.Raw:
    """Raises msgspec.DecodeError."""
    result = _decoder.decode(raw)
    alternatives = [tops.candidates for tops in result.top_candidates]
    alternatives += [[] for _ in result.chosen_candidates[len(alternatives) :]]
    content = [
        {**_build_token(chosen), "top_logprobs": [_build_token(token) for token in tops]}
        for chosen, tops in zip(result.chosen_candidates, alternatives, strict=False)
    ]
    return msgspec.Raw(_encoder.encode({"content": content, "refusal": None}))


def _build_token(token: _Token) -> dict[str, object]:
    value = token.log_probability
    if isinstance(value, str) or not isfinite(value):
        value = _LEAST
    return {"token": token.token, "logprob": value, "bytes": None}
