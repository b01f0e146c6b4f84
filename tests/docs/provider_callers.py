"""Which callers reach which providers: `translate` run between each operation and each wire, with the golden
pairs of the wire as the provider's answers.

    as it is    both speak the same: the provider's bytes reach the caller
    yes         translated; of a chat the caller's own SDK reads what the hub has of each golden pair: whole
                answers, streams, calls of tools, the words of errors
    not ...     the same, but for what is named
    no          the wire has no such thing

The one subtle rule: what comes out is read with the types of the official SDKs, not with our own readers.
"""

import json
import re
from typing import Any, Final

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.contract.table import WireName
from gateway_runtime.providers.dialect import Stamp
from gateway_runtime.providers.operations import OPERATIONS
from gateway_runtime.providers.request_body import read_body
from gateway_runtime.providers.translation import Passing, Question, Translation, translate
from gateway_runtime.providers.wire import Target
from tests.docs.provider_sdks import CALLERS, Call, Heard, parse_calls
from tests.docs.provider_wires import ANY_MODEL, NAMES, Pair, find_models, find_pairs, make_wire
from tests.wires.golden import encode

_STAMP: Final = Stamp("req-1", 1_700_000_000, "some-model")


_BODIES: Final[dict[str, dict[str, Any]]] = {
    "embeddings": {"model": "m", "input": ["Hello"]},
    "rerank": {"model": "m", "query": "Hello", "documents": ["Bye", "Hello"]},
    "other": {"model": "m"},
}
"""By kind of operation. Those of other kinds have no rows, nor have other paths to the same."""
_SAME: Final = re.compile(r"/v1/langchain/|/v2/")


def build_caller_table() -> list[list[str]]:
    paths = [path for path in OPERATIONS if not _SAME.match(path)]
    return [["path", *(f"`{name}`" for name in NAMES)]] + [
        [f"`{path}`", *(_show(path, name) for name in NAMES)]
        for path in paths
        if path in CALLERS or OPERATIONS[path].kind in _BODIES
    ]


def _show(path: str, name: WireName) -> str:
    """A cell."""
    if path not in CALLERS:
        return _show_without_pairs(path, name)
    broken = [thing for thing, find_broken in THINGS.items() if find_broken(path, name)]
    if broken:
        return f"not {', '.join(broken)}"
    return "as it is" if _passes_as_it_is(path, name) else "yes"


def _passes_as_it_is(path: str, name: WireName) -> bool:
    asked = Question(OPERATIONS[path], read_body(encode(CALLERS[path].asked)), {})
    target = Target(find_models(name)[0], 1000)
    return isinstance(translate(asked, make_wire(name), target, _STAMP, ask_usage=True), Passing)


def find_broken_answers(path: str, name: WireName) -> list[str]:
    """Situations whose whole answer is good for the hub, and not for the caller."""
    return [pair.path.name for pair in _find_good(path, name, "answer") if not _answers(path, pair)]


def find_broken_streams(path: str, name: WireName) -> list[str]:
    return [pair.path.name for pair in _find_good(path, name, "stream") if not _streams(path, pair)]


def find_broken_calls(path: str, name: WireName) -> list[str]:
    """Answers and streams with calls of tools, all of whose arguments are whole."""
    answers = [pair for pair in _find_good(path, name, "answer", "tools") if _find_calls(pair.out)]
    streams = [pair for pair in _find_good(path, name, "stream", "tools") if _join_calls(pair.out)]
    broken = [pair for pair in answers if not _answers(path, pair, tools=True)]
    broken += [pair for pair in streams if not _streams(path, pair, tools=True)]
    return [pair.path.name for pair in broken]


def find_broken_errors(path: str, name: WireName) -> list[str]:
    """Errors whose words do not reach the caller."""
    pairs = find_pairs("error", name)
    assert pairs, f"no golden pair of {name} shows an error"
    return [pair.path.name for pair in pairs if not _refuses(path, pair)]


THINGS: Final = {
    "answers": find_broken_answers,
    "streams": find_broken_streams,
    "tools": find_broken_calls,
    "errors": find_broken_errors,
}


def _find_good(path: str, name: WireName, kind: str, plainest: str = "text") -> list[Pair]:
    """Those with an answer to a plain question. plainest: the one situation that is looked at where bytes
    pass: what else passes is for `stream` and `answer` to judge, and for their tests.
    """
    pairs = [p for p in find_pairs(kind, name) if not p.out.get("fault") and not p.is_special]
    if _passes_as_it_is(path, name):
        pairs = [p for p in pairs if p.path.name.startswith(f"{kind}-{plainest}.in.")]
    assert pairs, f"no golden pair of {name} shows {kind}"
    return pairs if CALLERS[path].has_pairs or not _passes_as_it_is(path, name) else []


def _translate(path: str, pair: Pair, *, tools: bool, stream: bool = False) -> Translation:
    caller = CALLERS[path]
    body = caller.asked | ({"tools": caller.tools} if tools else {}) | (caller.streamed if stream else {})
    target = Target(pair.model, max_output_tokens=64_000)
    question = Question(OPERATIONS[path], read_body(encode(body)), {})
    return translate(question, pair.wire, target, _STAMP, ask_usage=True)


def _answers(path: str, pair: Pair, *, tools: bool = False) -> bool:
    translation = _translate(path, pair, tools=tools)
    read = translation.read_answer(pair.data)
    if read.fault is not None:
        return False
    if isinstance(translation, Passing):
        return read.body == pair.data
    heard = CALLERS[path].read_answer(read.body)
    message = pair.out["choices"][0]["message"]
    return _hears(heard, message.get("content", ""), message.get("refusal", ""), _find_calls(pair.out))


def _streams(path: str, pair: Pair, *, tools: bool = False) -> bool:
    translation = _translate(path, pair, tools=tools, stream=True)
    stream = translation.open_stream()
    sent = stream.feed(pair.data)
    sent += stream.finish()
    if not stream.done or stream.fault is not None:
        return False
    if isinstance(translation, Passing):
        return pair.data.startswith(sent.rstrip())
    heard = CALLERS[path].read_stream(_read_events(sent))
    chunks = _find_first_choice(pair.out)
    text, refusal = ("".join(chunk.get(name, "") for chunk in chunks) for name in ("content", "refusal"))
    return _hears(heard, text, refusal, _join_calls(pair.out))


def _hears(heard: Heard, text: str, refusal: str, calls: list[Call]) -> bool:
    """A refusal's words are the text, for callers whose API has no other place. No calls: there are none, or
    they were cut short.
    """
    return heard.text in (text, text + refusal) and (not calls or heard.calls == calls)


def _refuses(path: str, pair: Pair) -> bool:
    translation = _translate(path, pair, tools=False)
    refusal = translation.read_refusal(pair.raw["status"], pair.data)
    if isinstance(translation, Passing):
        return refusal.body in (None, pair.data)
    assert refusal.body is not None
    told = json.loads(refusal.body)["error"]["message"]
    return refusal.status >= 400 and bool(told) and pair.out["error"].get("message", "") in told


def _find_calls(out: Any) -> list[Call]:
    """Of the first choice."""
    calls = [call["function"] for call in out["choices"][0]["message"].get("tool_calls", ())]
    return parse_calls([(call["name"], call["arguments"]) for call in calls])


def _join_calls(out: Any) -> list[Call]:
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    for chunk in _find_first_choice(out):
        if "tool_call" in chunk:
            call = chunk["tool_call"]
            names.setdefault(call["index"], call.get("name"))
            arguments[call["index"]] = arguments.get(call["index"], "") + call.get("arguments", "")
    return parse_calls([(names[place], arguments[place]) for place in sorted(names)])


def _find_first_choice(out: Any) -> list[Any]:
    return [chunk for chunk in out["chunks"] if chunk["index"] == 0]


def _read_events(sent: bytes) -> list[Any]:
    data = [line.removeprefix(b"data: ") for line in sent.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) for line in data if line != b"[DONE]"]


def _show_without_pairs(path: str, name: WireName) -> str:
    """Of models that a wire has for it any will do."""
    kind = OPERATIONS[path].kind
    question = Question(OPERATIONS[path], read_body(encode(_BODIES[kind])), {})
    for model in (*find_models(name, kind), ANY_MODEL):
        try:
            built = translate(question, make_wire(name), Target(model, 1000), _STAMP, ask_usage=False)
        except GatewayError as error:
            if error.code is not ErrorCode.UNSUPPORTED:
                raise
        else:
            return "as it is" if isinstance(built, Passing) else "yes"
    return "no"
