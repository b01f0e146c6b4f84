"""Anthropic's Messages API: `wire` is what others call.

    request   hub's request -> body; asks `messages` (turns and blocks), `tools`, `thinking`, `sampling`,
              `media`, `schema` (structured outputs) and `models` (what the model that is named takes of it)
    answer    whole body -> hub's answer; `usage` reads the counts
    stream    events -> chunks; `events` reads one
    refusal   error, in an answer, a stream or by itself -> ProviderError

Reference: https://platform.claude.com/docs/en/api/messages/create. Others speak it, too: what is known of
Claude's models is asked of those alone whose names say that they are Claude's.
"""
