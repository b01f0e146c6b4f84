"""Reranking, both ways: https://docs.cohere.com/reference/rerank.

The subtle rule: Cohere bills searches, not tokens, so there is no usage to read; whoever limits reranking
counts requests.
"""

import msgspec

from gateway_runtime.providers.answer import Fault
from gateway_runtime.providers.wire import Outgoing, Ranked, RerankRequest, Target


class _Result(msgspec.Struct):
    index: int
    relevance_score: float


class _Answer(msgspec.Struct):
    results: list[_Result]


_decoder = msgspec.json.Decoder(_Answer)
_encoder = msgspec.json.Encoder()


def build_rerank(asked: RerankRequest, target: Target) -> Outgoing:
    body: dict[str, object] = {"model": target.model, "query": asked.query, "documents": asked.documents}
    if asked.top_n is not None:
        body["top_n"] = asked.top_n
    return Outgoing("/rerank", _encoder.encode(body))


def read_rerank(body: bytes) -> tuple[Ranked, ...] | Fault:
    try:
        answer = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Fault("malformed", "its body is not a ranking in Cohere's shape")
    return tuple(Ranked(result.index, result.relevance_score) for result in answer.results)
