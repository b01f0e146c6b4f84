"""Why a provider refused: its status and the body of its error in, a Cause out.

`server` asks for each refusal, `stream` and `answer` for errors that came with status 200. Retry decides on
the cause (`server.relay` has the outcome for each), since a status alone does not tell: a 429 may be a rate
that passes or a quota that is spent, a 403 a key that is refused or input that was flagged.

    cause               another attempt helps
    BAD_REQUEST         never: the request fails everywhere
    CONTEXT_TOO_LONG    never with this model
    CONTENT_FILTERED    never with this model
    REQUEST_TOO_LARGE   elsewhere: larger than this account may ever send at once
    CREDENTIAL_REFUSED  elsewhere, or with another credential
    QUOTA_SPENT         elsewhere
    NOT_FOUND           elsewhere: this provider has no such model, or no such path
    RATE_LIMITED        later, or elsewhere
    OVERLOADED          later, or elsewhere
    TIMED_OUT           later, or elsewhere
    SERVER_ERROR        later, or elsewhere

The first that matches decides: a word (the error's code, its inner code, its type), a phrase of its message,
the status. The subtle rule: phrases are for providers that give no word. They are matched in the message
alone, never in the rest of the body, which may quote the prompt.
"""

from enum import Enum
from typing import Final

from gateway_runtime.providers.error import ProviderError, read_error


class Cause(Enum):
    """The value is what messages call it."""

    BAD_REQUEST = "bad_request"
    CONTEXT_TOO_LONG = "context_too_long"
    CONTENT_FILTERED = "content_filtered"
    REQUEST_TOO_LARGE = "request_too_large"
    CREDENTIAL_REFUSED = "credential_refused"
    QUOTA_SPENT = "quota_spent"
    NOT_FOUND = "not_found"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    TIMED_OUT = "timed_out"
    SERVER_ERROR = "server_error"

    @property
    def status(self) -> int:
        """What a provider answers for this, when it says so by a status."""
        return _STATUSES[self]


_STATUSES: Final = {
    Cause.BAD_REQUEST: 400,
    Cause.CONTEXT_TOO_LONG: 400,
    Cause.CONTENT_FILTERED: 400,
    Cause.REQUEST_TOO_LARGE: 413,
    Cause.CREDENTIAL_REFUSED: 401,
    Cause.QUOTA_SPENT: 429,
    Cause.NOT_FOUND: 404,
    Cause.RATE_LIMITED: 429,
    Cause.OVERLOADED: 503,
    Cause.TIMED_OUT: 504,
    Cause.SERVER_ERROR: 500,
}

_BY_WORD: Final = {
    "context_length_exceeded": Cause.CONTEXT_TOO_LONG,  # OpenAI, Azure, Groq
    "exceed_context_size_error": Cause.CONTEXT_TOO_LONG,  # llama.cpp
    "content_filter": Cause.CONTENT_FILTERED,  # Azure
    "responsibleaipolicyviolation": Cause.CONTENT_FILTERED,  # Azure, as the inner code
    "content_policy_violation": Cause.CONTENT_FILTERED,  # OpenAI
    "invalid_api_key": Cause.CREDENTIAL_REFUSED,  # OpenAI, Groq, Together
    "authentication_error": Cause.CREDENTIAL_REFUSED,  # DeepSeek, xAI
    "account_deactivated": Cause.CREDENTIAL_REFUSED,  # OpenAI
    "organization_restricted": Cause.CREDENTIAL_REFUSED,  # Groq, with a 400
    "insufficient_quota": Cause.QUOTA_SPENT,  # OpenAI, Azure, with a 429
    "billing_hard_limit_reached": Cause.QUOTA_SPENT,  # OpenAI, with a 400
    "billing_not_active": Cause.QUOTA_SPENT,  # OpenAI, with a 429
    "credit_limit": Cause.QUOTA_SPENT,  # Together
    "exceeded_current_quota_error": Cause.QUOTA_SPENT,  # Moonshot
    "model_not_found": Cause.NOT_FOUND,  # OpenAI, with a 403 for a project without access
    "deploymentnotfound": Cause.NOT_FOUND,  # Azure
    "model_not_available": Cause.NOT_FOUND,  # Together
    "model_decommissioned": Cause.NOT_FOUND,  # Groq, with a 400
    "invalid_model": Cause.NOT_FOUND,  # Mistral, with a 400
    "notfounderror": Cause.NOT_FOUND,  # vLLM
    "rate_limited": Cause.RATE_LIMITED,  # Mistral
    "overloaded_error": Cause.OVERLOADED,  # Anthropic's, through gateways
    "engine_overloaded_error": Cause.OVERLOADED,  # Moonshot, with a 429
    "service_tier_capacity_exceeded": Cause.OVERLOADED,  # Mistral, with a 429
    "capacity_exceeded": Cause.OVERLOADED,  # Groq's flex tier
    "rate_limit_exceeded": Cause.RATE_LIMITED,  # OpenAI, Groq; but see REQUEST_TOO_LARGE in find_cause
}

_BY_PHRASE: Final = (
    ("maximum context length", Cause.CONTEXT_TOO_LONG),  # vLLM, Mistral, OpenRouter
    ("longer than the maximum model length", Cause.CONTEXT_TOO_LONG),  # vLLM
    ("max_tokens must be at least 1, got -", Cause.CONTEXT_TOO_LONG),  # vLLM: what the prompt left
    ("`inputs` tokens + `max_new_tokens` must be", Cause.CONTEXT_TOO_LONG),  # Together, TGI
    ("prompt is too long", Cause.CONTEXT_TOO_LONG),  # Anthropic's, through gateways
    ("content management policy", Cause.CONTENT_FILTERED),  # Azure
    ("input was flagged", Cause.CONTENT_FILTERED),  # OpenRouter, with a 403
    ("exceeded your current quota", Cause.QUOTA_SPENT),  # Google
    ("api key not valid", Cause.CREDENTIAL_REFUSED),  # Google, with a 400
    ("capacity exceeded", Cause.OVERLOADED),  # Mistral, with a 429
    ("overloaded", Cause.OVERLOADED),  # OpenAI, Together
    ("payload size exceeds the limit", Cause.REQUEST_TOO_LARGE),  # Google, with a 400
)

_BY_STATUS: Final = {
    401: Cause.CREDENTIAL_REFUSED,
    402: Cause.QUOTA_SPENT,  # Together, DeepSeek, OpenRouter
    403: Cause.CREDENTIAL_REFUSED,
    404: Cause.NOT_FOUND,
    408: Cause.TIMED_OUT,
    413: Cause.REQUEST_TOO_LARGE,
    424: Cause.SERVER_ERROR,  # Bedrock: the model failed
    429: Cause.RATE_LIMITED,
    498: Cause.OVERLOADED,  # Groq's flex tier
    499: Cause.TIMED_OUT,  # Cohere, Ollama: cancelled at their end
    503: Cause.OVERLOADED,
    504: Cause.TIMED_OUT,
    529: Cause.OVERLOADED,  # Anthropic's, through gateways
}


def find_cause(status: int, body: bytes) -> Cause:
    """status: from 400. body: whatever came with it, JSON or not."""
    return judge_error(status, read_error(body))


def judge_error(status: int, error: ProviderError) -> Cause:
    """The same, of an error that was read."""
    message = error.message.lower()
    if "request too large" in message:
        # OpenAI (429) and Groq (413) call it `rate_limit_exceeded`, but no pause makes the request smaller.
        return Cause.REQUEST_TOO_LARGE
    for word in error.words:
        cause = _BY_WORD.get(word)
        if cause is not None:
            return cause
    if status != 401:
        for phrase, cause in _BY_PHRASE:
            if phrase in message:
                return cause
    return _BY_STATUS.get(status) or (Cause.SERVER_ERROR if status >= 500 else Cause.BAD_REQUEST)
