"""What of an answer comes back, by wire: what the golden pairs of answers and streams show.

The `.out.json` of a pair is what the hub has; the wires' own tests hold the wires to it. Wires that read
alike share a column.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from gateway_runtime.contract.table import WireName
from tests.docs.provider_wires import NAMES, find_pairs, reads_alike


class Shown(NamedTuple):
    """Whole answer or stream, as far as both have the same."""

    messages: list[dict[str, Any]]
    """Of the choices, or the chunks."""
    calls: int
    finishes: list[str]
    choices: set[int]
    usage: dict[str, int]
    beside: list[dict[str, Any]]
    """What stands beside a message: log probabilities, a stop sequence."""


FEATURES: Final[dict[str, Callable[[Shown], bool]]] = {
    "text": lambda s: _has(s, "content"),
    "tool calls": lambda s: s.calls > 0,
    "parallel tool calls": lambda s: s.calls > 1,
    "reasoning": lambda s: _has(s, "reasoning_content"),
    "thoughts with a signature": lambda s: any(block.get("signature") for block in _find_blocks(s)),
    "thoughts that only the provider can read": lambda s: any("data" in block for block in _find_blocks(s)),
    "tool calls with a signature": lambda s: any(call.get("extra_content") for call in _find_calls(s)),
    "sources on the web": lambda s: _has(s, "annotations", "annotation"),
    "other sources": lambda s: _has(s, "citations", "citation"),
    "refusal, in words": lambda s: _has(s, "refusal"),
    "`content_filter`": lambda s: "content_filter" in s.finishes,
    "`length`": lambda s: "length" in s.finishes,
    "which stop sequence": lambda s: any(item.get("stop_sequence") for item in s.beside),
    "log probabilities": lambda s: any(item.get("logprobs") for item in s.beside),
    "several choices": lambda s: len(s.choices) > 1,
    "tokens read from the cache": lambda s: s.usage.get("cached_tokens", 0) > 0,
    "tokens written to the cache": lambda s: s.usage.get("cache_write_tokens", 0) > 0,
    "tokens of reasoning": lambda s: s.usage.get("reasoning_tokens", 0) > 0,
}


def build_answer_table() -> list[list[str]]:
    """Of wires that read alike the first has the column, under the names of all."""
    firsts = [name for name in NAMES if _find_alike(name)[0] == name]
    head = [", ".join(f"`{alike}`" for alike in _find_alike(name)) for name in firsts]
    shown = {
        name: [
            [read_answer(p.out) for p in find_pairs("answer", name) if "fault" not in p.out],
            [read_stream(p.out) for p in find_pairs("stream", name)],
        ]
        for name in firsts
    }
    return [["", *head]] + [
        [feature, *(_show([any(map(holds, pairs)) for pairs in shown[name]]) for name in firsts)]
        for feature, holds in FEATURES.items()
    ]


def read_answer(out: Any) -> Shown:
    messages = [choice["message"] for choice in out["choices"]]
    return Shown(
        messages,
        max((len(message.get("tool_calls", ())) for message in messages), default=0),
        [choice["finish_reason"] for choice in out["choices"]],
        {choice["index"] for choice in out["choices"]},
        out.get("usage") or {},
        out["choices"],
    )


def read_stream(out: Any) -> Shown:
    chunks = out["chunks"]
    calls = {(chunk["index"], chunk["tool_call"]["index"]) for chunk in chunks if "tool_call" in chunk}
    return Shown(
        chunks,
        max((sum(choice == other for other, _ in calls) for choice, _ in calls), default=0),
        [chunk["finish_reason"] for chunk in chunks if "finish_reason" in chunk],
        {chunk["index"] for chunk in chunks},
        out.get("usage") or {},
        chunks,
    )


def _find_alike(name: WireName) -> list[WireName]:
    return [other for other in NAMES if reads_alike(name, other)]


def _show(holds: list[bool]) -> str:
    whole, streamed = holds
    if whole and streamed:
        return "yes"
    return "whole" if whole else "stream" if streamed else "–"


def _has(shown: Shown, *names: str) -> bool:
    return any(message.get(name) for message in shown.messages for name in names)


def _find_blocks(shown: Shown) -> Iterator[dict[str, Any]]:
    for message in shown.messages:
        yield from message.get("thinking_blocks", ())
        if "thinking_block" in message:
            yield message["thinking_block"]


def _find_calls(shown: Shown) -> Iterator[dict[str, Any]]:
    for message in shown.messages:
        yield from message.get("tool_calls", ())
        if "tool_call" in message:
            yield message["tool_call"]
