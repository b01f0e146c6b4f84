"""The wire formats of providers and callers: bytes in, facts and bytes out, no sockets.

    caller's body -> operations (by path) -> request_body -> translation -> provider's body
    provider's answer, stream or refusal  -> translation -> caller's bytes, usage, cause

Where both sides speak the same, bytes pass and only facts are read: `request_body`, `answer`, `stream` (cut
by `sse`), `error` -> `cause`, `usage`. Where they do not, a dialect and a wire meet in the hub:

    dialects    what callers speak: OpenAI's chat and responses, Anthropic's messages
    chat        the hub: a chat in no provider's own words
    wires       what providers speak, one file or folder each
    models      what is known of models beforehand: prices, limits, whose names they are

`openai` is what the gateway itself says in OpenAI's format; `fake` is a provider for tests and demos.

In: what the network brought, split wherever it was split. Out: the few facts the gateway needs, and the bytes
to send. `server` enters, nobody else. `engine`, which decides, is not known here: a `Cause` says why a
provider refused, and what follows from that is `server.relay`'s to look up.
"""
