"""Amazon Bedrock's wire: the Converse API, which is one shape for the models of all makers.

    wire          what `providers.wire.Wire` asks for; the rest serves it
    model         a model's name: its path, and what it understands
    request       hub's request -> body, with conversation, media, tools, thinking, sampling, schema
    answer        body -> hub's answer
    stream        frames -> ChatChunks; event_stream is the binary framing below it
    error         a refusal -> ProviderError
    embeddings    Cohere's and Titan's models, each in its maker's shape
    credentials   what a Secret holds -> an API key or an access key; signature signs with the latter

In: `server` enters through `wire`. Endpoint: `https://bedrock-runtime.{region}.amazonaws.com`, without path.
Format: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""
