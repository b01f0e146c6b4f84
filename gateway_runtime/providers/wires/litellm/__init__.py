"""The long tail: providers that have no wire of their own, through litellm's transformers.

    providers   which ones, and where their API is; what cannot be, and why
    load        the one module that imports litellm, once, at the load of a table, and types what it has
    request     hub -> litellm -> the provider's body, path and headers
    answer      the provider's body -> hub, where it has OpenAI's shape
    foreign     the same through litellm, where it has another
    stream      the same, in pieces
    wire        LitellmWire, which ties them together

litellm serves as a set of pure functions. Its client, router, callbacks and logging are not used, no function
of it that speaks to the network is called, and tests make sure of that by taking the network away.

Needs the extra `litellm`: `pip install 'headgate[litellm]'`. Without it `LitellmWire` raises LitellmMissing,
and everything else works.
"""
