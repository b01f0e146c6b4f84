"""Whose a model is, by its name alone: a name in, the provider types that may have it out, the likeliest
first.

For configuration that names a model and no provider. The first pattern that matches decides; a pattern has
one `*` at most, which stands for any text, also none. Case counts, as it does for providers.

The subtle rule: a name tells who made the model, not who serves it. Closed models come from their maker, then
from the clouds that sell them under the same name; open ones from hosts, in no order that means anything.
"""

from functools import lru_cache
from typing import Final

_OPENAI: Final = ("openai", "azure")
_GOOGLE: Final = ("google", "vertex")
_LLAMA: Final = ("meta", "together", "fireworks", "groq", "vllm")
_OPEN: Final = ("together", "fireworks", "groq", "vllm")
_BEDROCK_MAKERS: Final = (
    *(
        "ai21",
        "amazon",
        "anthropic",
        "cohere",
        "deepseek",
        "google",
        "meta",
        "minimax",
        "mistral",
        "moonshot",
    ),
    *("moonshotai", "nvidia", "openai", "qwen", "twelvelabs", "writer", "xai", "zai"),
)
_BEDROCK_REGIONS: Final = ("apac", "au", "ca", "eu", "global", "jp", "us", "us-gov")
"""Of inference profiles:
https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html.
"""

PATTERNS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("*-maas", ("vertex",)),
    ("gpt-oss-*", _OPEN),
    ("gpt-*", _OPENAI),
    ("chatgpt-*", _OPENAI),
    ("codex-*", _OPENAI),
    ("o1*", _OPENAI),
    ("o3*", _OPENAI),
    ("o4*", _OPENAI),
    ("ft:*", ("openai",)),
    ("computer-use-*", _OPENAI),
    ("text-embedding-00*", ("vertex",)),
    ("text-embedding-large-exp-*", ("vertex",)),
    ("text-embedding-preview-*", ("vertex",)),
    ("text-embedding-*", _OPENAI),
    ("text-multilingual-embedding-*", ("vertex",)),
    ("davinci-*", _OPENAI),
    ("babbage-*", _OPENAI),
    ("claude-*", ("anthropic", "vertex")),
    ("gemini-*", _GOOGLE),
    ("models/gemini-*", ("google",)),
    ("gemma-*", ("google", *_OPEN)),
    ("learnlm-*", ("google",)),
    ("mistral-*", ("mistral", "vertex")),
    ("ministral-*", ("mistral",)),
    ("magistral-*", ("mistral",)),
    ("codestral*", ("mistral", "vertex")),
    ("devstral-*", ("mistral",)),
    ("pixtral-*", ("mistral",)),
    ("voxtral-*", ("mistral",)),
    ("open-mistral-*", ("mistral",)),
    ("open-mixtral-*", ("mistral",)),
    ("grok-*", ("xai",)),
    ("deepseek-ai/*", _OPEN),
    ("deepseek-*", ("deepseek",)),
    ("command-*", ("cohere",)),
    ("c4ai-*", ("cohere",)),
    ("embed-*", ("cohere",)),
    ("rerank-*", ("cohere",)),
    ("sonar*", ("litellm",)),
    ("meta-llama/*", ("together", "groq", "fireworks", "vllm")),
    ("meta-llama*", _LLAMA),
    ("llama-*", _LLAMA),
    ("Llama-*", _LLAMA),
    ("Qwen/*", ("together", "vllm")),
    ("accounts/*", ("fireworks",)),
    *((f"{maker}.*", ("bedrock",)) for maker in _BEDROCK_MAKERS),
    *((f"{region}.*", ("bedrock",)) for region in _BEDROCK_REGIONS),
    ("arn:aws:bedrock:*", ("bedrock",)),
    ("arn:aws-us-gov:bedrock:*", ("bedrock",)),
)


@lru_cache(1024)
def infer_types(model: str) -> tuple[str, ...]:
    """Empty: the name tells nothing."""
    for pattern, types in PATTERNS:
        if matches(pattern, model):
            return types
    return ()


def matches(pattern: str, name: str) -> bool:
    before, star, after = pattern.partition("*")
    if not star:
        return name == pattern
    return name.startswith(before) and name.endswith(after) and len(name) >= len(before) + len(after)
