"""Anthropic's Messages API, as callers speak it: the official SDKs, Claude Code, LangChain's ChatAnthropic.

    request:  caller's body -> request (turns, parts, output_config) -> the hub's ChatRequest
    answer:   the hub's answer -> answer -> a Message
    stream:   the hub's chunks -> stream -> events
    refusal:  an error, ours or a provider's -> errors
    passing:  what a provider that speaks the same says -> passthrough (usage, fault), untouched
    ours:     models, tokens: the answers that need no provider

In: `dialect` for `server`, which enters there, in `passthrough`, and in `models` and `tokens`. The rest is
theirs.
"""
