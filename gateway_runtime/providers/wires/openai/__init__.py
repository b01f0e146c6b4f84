"""OpenAI's chat completions, towards a provider whose caller speaks something else: OpenAI itself, Azure, and
the many servers that are built like it (vLLM, Groq, Mistral, Together, DeepSeek, OpenRouter).

    wire       the two classes, with their paths and headers
    request    the hub's request -> the provider's body; `messages` and `manner` belong to it
    answer     the provider's answer -> the hub's; `stream` the same for streams
    embeddings both ways

A caller that speaks OpenAI, too, never comes here: what it says is passed through by `request_body`, `answer`
and `stream` of `providers`, unread for the most part.

In: `server` makes a wire for each provider of these types. Nothing in here knows a dialect.
"""
