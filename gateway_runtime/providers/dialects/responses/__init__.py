"""OpenAI's Responses API, towards a caller whose provider does not speak it.

    dialect    the class, and the errors
    request    the caller's body -> the hub's request; `items` reads its `input`
    answer     the hub's answer -> a Response
    stream     the hub's chunks -> the events of a stream
    thoughts   what the model thought, and how its signatures come back in the next turn

The gateway keeps nothing of a conversation. What refers to something that OpenAI would keep
(`previous_response_id`, `conversation`, `prompt`, items by reference) is told under its own name, which no
wire takes, and so is refused or dropped as the route says.

In: `server` chooses it by the path. Nothing in here knows a wire.
"""
