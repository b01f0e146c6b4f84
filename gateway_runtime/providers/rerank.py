"""Reranking as Cohere and Jina have it: the caller's request read, the answer written.

Formats: https://docs.cohere.com/reference/rerank, https://jina.ai/reranker and vLLM's
https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html#re-rank-api. Servers that speak OpenAI's
API take it as it is, at `/rerank`; for Cohere it is written anew.

The subtle rule: documents come back from here, not from the provider, which may not give them back. So an
index that it names must be one of those that were sent.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.answer import Fault
from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import refuse_member
from gateway_runtime.providers.dialect import Stamp
from gateway_runtime.providers.request_body import RequestBody
from gateway_runtime.providers.wire import Ranked, RerankRequest

_TAKES = frozenset({"query", "documents", "top_n", "return_documents"})


class _Document(msgspec.Struct):
    text: str


class _Body(msgspec.Struct):
    query: str
    documents: list[str | _Document]
    top_n: int | None = None
    return_documents: bool | None = None


class RerankAsked(NamedTuple):
    request: RerankRequest
    returns_documents: bool
    present: AbstractSet[str]
    """The names of the body's top level that are not null."""


_decoder = msgspec.json.Decoder(_Body)
_encoder = msgspec.json.Encoder()


def read_rerank(body: RequestBody) -> RerankAsked:
    """Raises GatewayError MALFORMED_BODY, which names the member."""
    try:
        read = _decoder.decode(body.build(body.model, ask_usage=False))
    except msgspec.ValidationError as error:
        raise refuse_member(str(error)) from error
    if not read.documents:
        raise GatewayError(ErrorCode.MALFORMED_BODY, "`documents` is empty: send a list of texts.")
    texts = tuple(one if isinstance(one, str) else one.text for one in read.documents)
    present = frozenset(body.present)
    request = RerankRequest(read.query, texts, read.top_n)
    return RerankAsked(request, returns_documents=read.return_documents is True, present=present)


def check_losses(asked: RerankAsked, provider: str, *, drop: bool) -> tuple[str, ...]:
    """What is dropped. Raises GatewayError UNSUPPORTED where the route refuses."""
    losses = Losses(provider, drop=drop)
    losses.check(asked.present, _TAKES)
    return losses.dropped


def build_ranking(ranked: Sequence[Ranked], asked: RerankAsked, stamp: Stamp) -> bytes | Fault:
    documents = asked.request.documents
    results: list[dict[str, object]] = []
    for document, score in ranked:
        if not 0 <= document < len(documents):
            return Fault("malformed", "its ranking names a document that was not sent")
        result: dict[str, object] = {"index": document, "relevance_score": score}
        if asked.returns_documents:
            result["document"] = {"text": documents[document]}
        results.append(result)
    return _encoder.encode({"id": f"rerank-{stamp.request_id}", "model": stamp.model, "results": results})
