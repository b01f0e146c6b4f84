"""What a model's name tells of the server behind it: the name in, a Manner out.

The servers that speak OpenAI's API agree on most of it. Where they refuse what another of them insists on,
and the name of the model is the only thing that tells them apart, this module decides.

The subtle rule: a name that is not known gets what the oldest and simplest server understands.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple


class Manner(NamedTuple):
    newer_limit: bool
    """It refuses `max_tokens` and wants `max_completion_tokens`; older servers know only the first, and
    Mistral refuses the second.
    """
    never_reasons: bool
    """It refuses `reasoning_effort`."""
    recalls_reasoning: bool
    """It refuses a turn with tool calls that comes back without its `reasoning_content`; OpenAI, Groq and
    Mistral refuse one with it.
    """
    keeps_signatures: bool
    """Google's own OpenAI-compatible API, which wants the signatures of tool calls back."""


_NEWER_LIMIT: Final = r"(?:o[1-9]|gpt-?[5-9])(?![0-9])"
"""https://platform.openai.com/docs/api-reference/chat/create#chat_create-max_tokens: not compatible with the
o-series; nor with GPT-5.
"""
_NEWER_MODEL: Final = re.compile(rf"(?:ft:|openai/)?{_NEWER_LIMIT}", re.IGNORECASE)
_NEWER_DEPLOYMENT: Final = re.compile(rf"(?:.*[-_.])?{_NEWER_LIMIT}", re.IGNORECASE)
"""People call a deployment `team-gpt-5`. Azure's older models know both members, so a wrong guess is none."""
_NEVER_REASONS: Final = re.compile(r"(?:ft:|openai/)?(?:gpt-3|gpt-4|chatgpt-4)", re.IGNORECASE)
_RECALLS_REASONING: Final = re.compile(r"deepseek-(?!r1)|kimi-", re.IGNORECASE)
"""As DeepSeek and Moonshot call them in their own APIs; elsewhere their names begin with an owner's.
https://api-docs.deepseek.com/guides/thinking_mode#tool-calls. The r1 are Groq's.
"""
_KEEPS_SIGNATURES: Final = re.compile(r"(?:google/|models/)?gemini-", re.IGNORECASE)


@lru_cache(maxsize=256)
def find_manner(model: str, *, deployment: bool = False) -> Manner:
    """deployment: the name is not the model's, but one that an Azure customer gave."""
    newer = _NEWER_DEPLOYMENT if deployment else _NEWER_MODEL
    return Manner(
        newer_limit=newer.match(model) is not None,
        never_reasons=_NEVER_REASONS.match(model) is not None,
        recalls_reasoning=_RECALLS_REASONING.match(model) is not None,
        keeps_signatures=_KEEPS_SIGNATURES.match(model) is not None,
    )
