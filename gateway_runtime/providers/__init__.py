"""The wire formats of providers and callers: bytes in, facts and bytes out, no sockets.

    request:  caller's body -> request_body (model, stream) -> provider's body
    answer:   whole body -> answer (usage, fault)
    stream:   chunks -> stream (sse cuts them into events) -> the caller's bytes, usage, fault
    refusal:  status and body -> error -> cause
    ours:     openai (headers towards providers; errors and the model list towards callers)

In: what the network brought, split wherever it was split. Out: the few facts the gateway needs, and the bytes
to send. `server` enters, nobody else. `engine`, which decides, is not known here: a `Cause` says why a
provider refused, and what follows from that is `server.relay`'s to look up.
"""
