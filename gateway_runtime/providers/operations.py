"""What callers may ask, by path: an Operation for each. `operation` says what each kind of them means.

`server.front` finds one for a request's path: in OPERATIONS what names a model, in KEPT what is about a thing
that a provider keeps.

Batches and files have no list: a provider's list holds what all who share its key have put there, and ids
that were never given to this caller prove nothing. Whoever made one has its id.
"""

from typing import Final

from gateway_runtime.providers.operation import (
    LAST_OF_A_RESPONSE,
    CountOperation,
    KeptOperation,
    MessagesOperation,
    OpenAIOperation,
    Operation,
    ResponsesOperation,
)

_PAINTED: Final = frozenset({"image_generation.completed"})
_OF_A_RETRIEVAL: Final = frozenset(
    {"include", "include[]", "stream", "starting_after", "include_obfuscation"}
)
_OF_A_LIST: Final = frozenset({"include", "include[]", "limit", "order", "after", "before"})

CHAT: Final = OpenAIOperation(
    "/v1/chat/completions", "chat", "/chat/completions", asks_usage=True, may_race=True
)
LANGCHAIN: Final = OpenAIOperation(
    "/v1/langchain/chat/completions", "chat", "/chat/completions", asks_usage=True, may_race=True
)
EMBEDDINGS: Final = OpenAIOperation("/v1/embeddings", "embeddings", "/embeddings", may_race=True)
LANGCHAIN_EMBEDDINGS: Final = OpenAIOperation(
    "/v1/langchain/embeddings", "embeddings", "/embeddings", may_race=True
)
MESSAGES: Final = MessagesOperation()
COUNT_TOKENS: Final = CountOperation()
RESPONSES: Final = ResponsesOperation("/v1/responses", "chat", "/responses", last_events=LAST_OF_A_RESPONSE)
COMPLETIONS: Final = OpenAIOperation(
    "/v1/completions", "other", "/completions", asks_usage=True, may_race=True
)
MODERATIONS: Final = OpenAIOperation(
    "/v1/moderations",
    "other",
    "/moderations",
    # https://platform.openai.com/docs/api-reference/moderations/create#moderations_create-model
    default_model="omni-moderation-latest",
    may_race=True,
    at_azure=False,
)
IMAGES: Final = OpenAIOperation(
    "/v1/images/generations", "other", "/images/generations", last_events=_PAINTED
)
SPEECH: Final = OpenAIOperation("/v1/audio/speech", "other", "/audio/speech", bytes_="always")
TRANSCRIPTIONS: Final = OpenAIOperation(
    "/v1/audio/transcriptions", "other", "/audio/transcriptions", takes="form", bytes_="unless json"
)
TRANSLATIONS: Final = OpenAIOperation(
    "/v1/audio/translations", "other", "/audio/translations", takes="form", bytes_="unless json"
)
EDITS: Final = OpenAIOperation(
    "/v1/images/edits", "other", "/images/edits", takes="form", bytes_="unless json"
)
VARIATIONS: Final = OpenAIOperation(
    "/v1/images/variations",
    "other",
    "/images/variations",
    takes="form",
    bytes_="unless json",
    # https://platform.openai.com/docs/api-reference/images/createVariation: it is the only one
    default_model="dall-e-2",
)
RERANK: Final = OpenAIOperation("/v1/rerank", "rerank", "/rerank", may_race=True, at_azure=False)
RERANK_2: Final = OpenAIOperation("/v2/rerank", "rerank", "/rerank", may_race=True, at_azure=False)

OPERATIONS: Final[dict[str, Operation]] = {
    operation.path: operation
    for operation in (
        CHAT,
        RESPONSES,
        COMPLETIONS,
        EMBEDDINGS,
        MESSAGES,
        COUNT_TOKENS,
        MODERATIONS,
        RERANK,
        RERANK_2,
        IMAGES,
        EDITS,
        VARIATIONS,
        SPEECH,
        TRANSCRIPTIONS,
        TRANSLATIONS,
        LANGCHAIN,
        LANGCHAIN_EMBEDDINGS,
    )
}

KEPT: Final = (
    KeptOperation("GET", "/v1/responses/{id}", "Response", query=_OF_A_RETRIEVAL),
    KeptOperation("DELETE", "/v1/responses/{id}", "Response"),
    KeptOperation("POST", "/v1/responses/{id}/cancel", "Response"),
    KeptOperation("GET", "/v1/responses/{id}/input_items", "Response", query=_OF_A_LIST),
    KeptOperation("POST", "/v1/files", "File", takes="form"),
    KeptOperation("GET", "/v1/files", "File", lists=True),
    KeptOperation("GET", "/v1/files/{id}", "File"),
    KeptOperation("DELETE", "/v1/files/{id}", "File"),
    KeptOperation("GET", "/v1/files/{id}/content", "File", bytes_="always"),
    KeptOperation("POST", "/v1/batches", "Batch", takes="json"),
    KeptOperation("GET", "/v1/batches", "Batch", lists=True),
    KeptOperation("GET", "/v1/batches/{id}", "Batch"),
    KeptOperation("POST", "/v1/batches/{id}/cancel", "Batch"),
)


def find_kept(path: str) -> list[tuple[KeptOperation, str]]:
    """What may be done there, by its methods, and the id that the caller names; empty where it names none.
    path: decoded.
    """
    return [(operation, found) for operation in KEPT if (found := operation.find_id(path)) is not None]
