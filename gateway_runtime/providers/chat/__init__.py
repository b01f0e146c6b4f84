"""The hub: a chat between a caller and a model, told in no provider's own words.

    caller's body -> (dialect) -> ChatRequest -> (wire) -> provider's body
    provider's answer -> (wire) -> ChatAnswer, or ChatChunks of a stream -> (dialect) -> caller's answer

The vocabulary is OpenAI's chat completions, the one that every client and every provider's documentation
refers to, with the few members that it lacks and others have: thinking blocks with their signatures, marks
for the prompt cache, a tool's result that is an error. So that a dialect knows no wire and a wire no dialect:
n + m translations, not n * m.

In: `dialects` and `wires` enter. Nothing in here knows either of them.
"""
