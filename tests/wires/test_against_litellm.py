"""Our wires against litellm's translators, as an oracle: the same answers of providers, read by both.

Only where litellm is known to be right. Where it is known to be wrong, the provider's documentation decides,
and the golden pairs hold it: it fails on calls without arguments, and of Cohere's answers it loses the finish
reason, the cached tokens and the plan that comes before calls.
"""

import json
import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from bench.providers.cases import NATIVE, Case
from bench.providers_litellm import Translator, load_tools
from gateway_runtime.providers.answer import Fault
from gateway_runtime.providers.chat.request import read_chat
from gateway_runtime.providers.wire import Wire
from gateway_runtime.providers.wires.anthropic.wire import AnthropicWire
from gateway_runtime.providers.wires.bedrock.wire import BedrockWire
from gateway_runtime.providers.wires.cohere.wire import CohereWire
from gateway_runtime.providers.wires.google.wire import GoogleWire
from gateway_runtime.providers.wires.ollama.wire import OllamaWire
from tests.wires.golden import TESTDATA, encode

WIRES: dict[str, Wire] = {
    "anthropic": AnthropicWire(),
    "google": GoogleWire(),
    "bedrock": BedrockWire("us-east-1"),
    "cohere": CohereWire(),
    "ollama": OllamaWire(),
}
SITUATIONS = {
    "anthropic": ("text", "tools", "thinking", "length", "cached", "stop_sequence"),
    "google": ("text", "tools", "reasoning", "length", "usage-cached", "filtered-safety"),
    "bedrock": ("text", "tools", "reasoning", "length", "cached-usage", "filtered"),
    "cohere": ("text", "tools"),
    "ollama": ("text", "tools", "thinking", "length"),
}
ASKED = b'{"model":"m","messages":[{"role":"user","content":"Hello"}]}'


@pytest.fixture(scope="module")
def tools() -> Iterator[SimpleNamespace]:
    """To load litellm changes the environment; other tests get theirs back."""
    before = dict(os.environ)
    try:
        yield load_tools()
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.mark.parametrize(
    ("case", "situation"),
    [(case, situation) for case in NATIVE for situation in SITUATIONS[case.wire]],
    ids=lambda value: value if isinstance(value, str) else value.wire,
)
def test_both_read_the_same(case: Case, situation: str, tools: SimpleNamespace) -> None:
    body = encode(json.loads((TESTDATA / case.wire / f"answer-{situation}.in.json").read_text())["body"])
    translator = Translator(case, 1, tools)
    translator.build(ASKED)
    theirs = json.loads(translator.read(body))
    ours = WIRES[case.wire].read_chat(body, read_chat(ASKED))

    assert not isinstance(ours, Fault)
    assert show(msgspec.to_builtins(ours), case.wire) == show_theirs(theirs, case.wire)


def show(answer: Any, wire: str) -> Any:
    (choice,) = answer["choices"]
    said, usage = choice["message"], answer["usage"]
    return {
        "text": said["content"] or "",
        "thoughts": None if wire == "cohere" else said["reasoning_content"] or "",
        "calls": [
            (call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in said["tool_calls"]
        ],
        "finish": None if wire == "cohere" else choice["finish_reason"],
        "tokens": (usage["input_tokens"], usage["output_tokens"]),
        "cached": None if wire == "cohere" else usage["cached_tokens"],
    }


def show_theirs(answer: Any, wire: str) -> Any:
    choice = answer["choices"][0]
    said, usage = choice["message"], answer["usage"]
    details = usage.get("prompt_tokens_details") or {}
    return {
        "text": said.get("content") or "",
        "thoughts": None if wire == "cohere" else said.get("reasoning_content") or "",
        "calls": [
            (call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in said.get("tool_calls") or ()
        ],
        "finish": None if wire == "cohere" else choice["finish_reason"],
        "tokens": (usage["prompt_tokens"], usage["completion_tokens"]),
        "cached": None if wire == "cohere" else details.get("cached_tokens") or 0,
    }
