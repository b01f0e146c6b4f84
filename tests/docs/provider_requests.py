"""What of a request a provider hears: each wire asked to build requests with and without one thing.

    yes       it is in what goes out, as the caller said it
    fetched   the same, after the gateway has fetched what the caller named by URL
    changed   what goes out is another for it, and the caller's own value is not in there
    told      it is left out, and the caller is told
    refused   the request is refused; with `unsupported: Drop` it is told
    lost      it is left out without a word, which must not be

A provider's models differ. Shown is the best that one of the golden pairs' models hears, with `*` where
others hear less. Of litellm's providers those are counted that hear it.
"""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.contract.table import WireName
from gateway_runtime.media.place import find_media, inline_media
from gateway_runtime.providers.chat.request import read_chat
from gateway_runtime.providers.wire import Outgoing, Target, Wire
from tests.docs.provider_wires import LITELLM, NAMES, find_models, make_wire
from tests.wires.golden import encode

Verdict: TypeAlias = Literal["yes", "fetched", "changed", "told", "refused", "lost"]
_BEST_FIRST: Final[tuple[Verdict, ...]] = ("yes", "fetched", "changed", "told", "refused", "lost")

_HELLO: Final = {"role": "user", "content": "Hello"}
_PNG: Final = "iVBORw0KGgo="
_PDF: Final = "JVBERi0xLjcK"
_FETCHED: Final = {
    "https://files.test/a.png": f"data:image/png;base64,{_PNG}",
    "https://files.test/a.pdf": f"data:application/pdf;base64,{_PDF}",
}
_FUNCTION: Final = {
    "name": "get_weather",
    "description": "The weather in a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
_TOOLS: Final = [{"type": "function", "function": _FUNCTION}]
_CALL: Final = {
    "id": "call_7",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'},
}
_RESULT: Final = {"role": "tool", "tool_call_id": "call_7", "content": "4 degrees"}
_SCHEMA: Final = {
    "type": "object",
    "properties": {"zipcode": {"type": "string"}},
    "required": ["zipcode"],
    "additionalProperties": False,
}


class Feature(NamedTuple):
    name: str
    """As the page calls it."""
    body: dict[str, Any]
    """A caller's request with it."""
    without: dict[str, Any]
    """The same request without it."""
    marks: tuple[str | float, ...] = ()
    """The caller's own words and numbers. None: it has no value of its own, such as `required`."""


def _ask(*messages: object, **members: object) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages) or [_HELLO], "max_tokens": 4000, **members}


def _show(*parts: object) -> dict[str, Any]:
    return _ask({"role": "user", "content": [{"type": "text", "text": "Hello"}, *parts]})


def _call(**members: object) -> dict[str, Any]:
    """A turn of a model that calls a tool, and the tool's result."""
    said = {"role": "assistant", "content": None, "tool_calls": [_CALL], **members}
    return _ask(_HELLO, said, _RESULT, tools=_TOOLS)


def _name(**members: object) -> Feature:
    """A member that has one value."""
    ((name, value),) = members.items()
    assert isinstance(value, str | float | int)
    return Feature(f"`{name}`", _ask(**members), _ask(), (value,))


_IMAGE_URL: Final = {"type": "image_url", "image_url": {"url": "https://files.test/a.png"}}
_IMAGE: Final = {"type": "image_url", "image_url": {"url": _FETCHED["https://files.test/a.png"]}}
_FILE_URL: Final = {"type": "file", "file": {"filename": "a.pdf", "file_data": "https://files.test/a.pdf"}}
_FILE: Final = {
    "type": "file",
    "file": {"filename": "a.pdf", "file_data": _FETCHED["https://files.test/a.pdf"]},
}
_AUDIO: Final = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
_MARKED: Final = {"type": "text", "text": "Bye", "cache_control": {"type": "ephemeral"}}
_THOUGHT: Final = {"type": "thinking", "thinking": "It is cold.", "signature": "c2lnbmF0dXJl"}
_SIGNED: Final = {**_CALL, "extra_content": {"google": {"thought_signature": "c2lnbmF0dXJl"}}}
_STRICT: Final = [{"type": "function", "function": {**_FUNCTION, "strict": True}}]
_NAMED: Final = {"type": "function", "function": {"name": "get_weather"}}
_PLACE: Final = {"type": "json_schema", "json_schema": {"name": "place", "schema": _SCHEMA, "strict": True}}

FEATURES: Final = (
    Feature("text", _show({"type": "text", "text": "And bye"}), _show(), ("And bye",)),
    Feature("system", _ask({"role": "system", "content": "Be brief."}, _HELLO), _ask(), ("Be brief.",)),
    Feature("image, as data", _show(_IMAGE), _show(), (_PNG,)),
    Feature("image, by URL", _show(_IMAGE_URL), _show(), ("https://files.test/a.png",)),
    Feature("PDF, as data", _show(_FILE), _show(), (_PDF,)),
    Feature("PDF, by URL", _show(_FILE_URL), _show(), ("https://files.test/a.pdf",)),
    Feature("audio", _show(_AUDIO), _show(), ("UklGRg==",)),
    Feature("marks for the cache", _show(_MARKED), _show({"type": "text", "text": "Bye"})),
    Feature("tools", _ask(tools=_TOOLS), _ask(), ("city",)),
    Feature("tools, `strict`", _ask(tools=_STRICT), _ask(tools=_TOOLS)),
    Feature("calls and results of tools", _call(), _ask(tools=_TOOLS), ("Oslo", "4 degrees")),
    Feature("`tool_choice: none`", _ask(tools=_TOOLS, tool_choice="none"), _ask(tools=_TOOLS)),
    Feature("`tool_choice: required`", _ask(tools=_TOOLS, tool_choice="required"), _ask(tools=_TOOLS)),
    Feature("`tool_choice`, named", _ask(tools=_TOOLS, tool_choice=_NAMED), _ask(tools=_TOOLS)),
    Feature(
        "`parallel_tool_calls: false`", _ask(tools=_TOOLS, parallel_tool_calls=False), _ask(tools=_TOOLS)
    ),
    Feature("JSON mode", _ask(response_format={"type": "json_object"}), _ask()),
    Feature("JSON schema", _ask(response_format=_PLACE), _ask(), ("zipcode",)),
    _name(reasoning_effort="high"),
    Feature(
        "`thinking`, with a budget",
        _ask(thinking={"type": "enabled", "budget_tokens": 2048}),
        _ask(),
        (2048,),
    ),
    Feature("thoughts come back, signed", _call(thinking_blocks=[_THOUGHT]), _call(), ("c2lnbmF0dXJl",)),
    Feature("calls come back, signed", _call(tool_calls=[_SIGNED]), _call(), ("c2lnbmF0dXJl",)),
    Feature("`stop`", _ask(stop=["END"]), _ask(), ("END",)),
    _name(seed=4711),
    _name(temperature=0.25),
    _name(top_p=0.75),
    _name(top_k=37),
    _name(presence_penalty=0.5),
    _name(frequency_penalty=0.5),
    Feature("`logit_bias`", _ask(logit_bias={"1234": 5}), _ask(), ("1234",)),
    Feature("`logprobs`", _ask(logprobs=True, top_logprobs=3), _ask(), (3,)),
    _name(n=2),
    _name(user="caller-77"),
    _name(service_tier="flex"),
    Feature("`metadata`", _ask(metadata={"batch": "nightly-3"}), _ask(), ("nightly-3",)),
)


def build_request_table() -> list[list[str]]:
    return [["", *(f"`{name}`" for name in NAMES)]] + [
        [feature.name, *(show(name, feature) for name in NAMES)] for feature in FEATURES
    ]


def show(name: WireName, feature: Feature) -> str:
    """A cell."""
    verdicts = judge_all(name, feature)
    if name == "litellm" and len(set(verdicts)) > 1:
        heard = sum(verdict in ("yes", "fetched", "changed") for verdict in verdicts)
        return f"{heard}/{len(verdicts)}"
    return min(verdicts, key=_BEST_FIRST.index) + ("*" if len(set(verdicts)) > 1 else "")


def judge_all(name: WireName, feature: Feature) -> list[Verdict]:
    """For each model that can be asked at all; of litellm for each provider."""
    wires = [make_wire(name, p) for p in LITELLM] if name == "litellm" else [make_wire(name)]
    return [
        judge(wire, model, feature)
        for wire in wires
        for model in find_models(name)
        if _is_usable(wire, model)
    ]


def judge(wire: Wire, model: str, feature: Feature) -> Verdict:
    try:
        outgoing = _build(wire, model, feature.body)
    except GatewayError as error:
        if error.code is not ErrorCode.UNSUPPORTED:
            raise
        return "refused"
    try:
        before = _build(wire, model, feature.without)
    except GatewayError:
        return "refused"  # with what it rests on
    if set(outgoing.dropped) - set(before.dropped):
        return "told"
    if (outgoing.body, outgoing.headers) == (before.body, before.headers):
        return "lost"
    if not _is_said(outgoing, before, _find_marks(wire, feature)):
        return "changed"
    return "fetched" if wire.needs_inline_media and feature.name.endswith("by URL") else "yes"


def _find_marks(wire: Wire, feature: Feature) -> tuple[str | float, ...]:
    """What is fetched goes out as its data."""
    if not wire.needs_inline_media:
        return feature.marks
    return tuple(
        _FETCHED[mark].rpartition(",")[2] if isinstance(mark, str) and mark in _FETCHED else mark
        for mark in feature.marks
    )


def _is_said(outgoing: Outgoing, before: Outgoing, marks: tuple[str | float, ...]) -> bool:
    """Words anywhere in the body, numbers as values of their own."""
    numbers, numbers_before = (Counter(_find_numbers(json.loads(o.body))) for o in (outgoing, before))
    return all(
        outgoing.body.count(mark.encode()) > before.body.count(mark.encode())
        if isinstance(mark, str)
        else numbers[mark] > numbers_before[mark]
        for mark in marks
    )


def _find_numbers(value: object) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _find_numbers(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def _build(wire: Wire, model: str, body: dict[str, Any]) -> Outgoing:
    chat = read_chat(encode(body))
    if wire.needs_inline_media:
        chat = inline_media(chat, {url: _FETCHED[url] for url in find_media(chat)})
    return wire.build_chat(chat, set(body), Target(model, max_output_tokens=64_000))


def _is_usable(wire: Wire, model: str) -> bool:
    """Some golden pairs have names that can be no model's."""
    try:
        _build(wire, model, _ask())
    except GatewayError:
        return False
    return True
