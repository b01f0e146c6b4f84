"""What Ollama says when it refuses: the body of an error in, a ProviderError out.

Ollama gives a sentence and a status, `{"error": "..."}`, and no code:
https://github.com/ollama/ollama/blob/main/docs/api/errors.mdx. `providers.cause` looks for codes first, so
the sentences that tell more than their status are given the code that other providers have for them.

The subtle rule: an error that ends a stream has no status at all, and is judged by its words alone.
"""

from typing import Final

import msgspec

from gateway_runtime.providers import error as errors
from gateway_runtime.providers.error import ProviderError

_WORDS: Final = (
    # "the prompt is longer than the context length currently available to the model; ..."
    ("longer than the context length", "context_length_exceeded"),
    # "the input length exceeds the context length", of embeddings
    ("exceeds the context length", "context_length_exceeded"),
    # "input after truncation exceeds maximum context length"
    ("exceeds maximum context length", "context_length_exceeded"),
    # "prompt too long; exceeded max context length by 12 tokens", of ollama.com
    ("exceeded max context length", "context_length_exceeded"),
    # of llama.cpp, which Ollama hands on
    ("exceeds the available context size", "context_length_exceeded"),
    # "you have reached your weekly usage limit, ...", with a 429 of ollama.com:
    # https://github.com/continuedev/continue/issues/11444
    ("usage limit", "insufficient_quota"),
)


def read_error(body: bytes) -> ProviderError:
    error = errors.read_error(body)
    message = error.message.lower()
    for phrase, word in _WORDS:
        if phrase in message:
            return msgspec.structs.replace(error, words=(word, *error.words))
    return error
