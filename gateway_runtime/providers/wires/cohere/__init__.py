"""Cohere's own API, version 2, as a wire: the hub's requests in, Cohere's out, and its answers back.

    wire      CohereWire, which puts the parts together; the one that `server` and tests ask for
    request   a chat: what stands beside its messages        messages    its messages
    answer    a whole answer                                 stream      a streamed one
    vectors   embeddings, both ways                          ranking     reranking, both ways
    error     what Cohere says when it refuses

The endpoint's URL ends in the version: `https://api.cohere.com/v2`, or whatever speaks the same, such as
vLLM's `/cohere/v2`. Documentation: https://docs.cohere.com/reference/chat.
"""
