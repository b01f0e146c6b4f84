"""Ollama's native API as a wire: the hub's requests in, Ollama's out, and its answers back.

    wire      OllamaWire, which puts the parts together; the one that `server` and tests ask for
    request   a chat: what stands beside its messages        messages    its messages
    answer    a whole answer                                 stream      a streamed one
    vectors   embeddings, both ways                          error       what Ollama says when it refuses

The endpoint's URL is the server's root with `/api`: `http://ollama:11434/api`, or `https://ollama.com/api`.
Documentation: https://github.com/ollama/ollama/blob/main/docs/api.md. What that page leaves open is taken
from the types of the server, https://github.com/ollama/ollama/blob/main/api/types.go.
"""
