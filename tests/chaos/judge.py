"""What must hold for one scenario: its Visit in, complaints out; none when all is well.

    stayed            one well-formed answer in OpenAI's dialect, and nothing behind it
    a stream          whole events, then [DONE] and a clean end, or one error event and a cut
    harmless faults   the answer is good
    a second target   the answer is good, if nothing had gone out and the fault leaves time for it

`run` calls it for each scenario. The one subtle rule: whether something had gone out is read off the drawn
bytes (is the first event among them?), not off what the gateway did.
"""

import json
from typing import Final

from tests.chaos.caller import Visit
from tests.chaos.reading import Reading
from tests.chaos.scenario import Caller, Fault, Layout, Scenario
from tests.chaos.upstream import count_some
from tests.chaos.wire import DONE, build_body, find_first_event, frame

HARMLESS: Final = frozenset(
    {Fault.NONE, Fault.CONTINUE, Fault.KEEPALIVE_RACE, Fault.EARLY, Fault.DATA_AFTER_END}
)
HARMLESS_TO_STREAMS: Final = frozenset({Fault.NO_END, Fault.LONG_LENGTH})
"""Behind [DONE] nothing matters."""
_PARTIAL: Final = frozenset({Fault.CUT, Fault.RESET, Fault.STALL, Fault.TRICKLE})
_WHOLE_CALLERS: Final = frozenset({Caller.PATIENT, Caller.DRIBBLES})
_SOON_BYTES: Final = 200
"""What trickles in this close before the end of the first event may still be in time."""


def judge(scenario: Scenario, visit: Visit, *, on_time: bool) -> list[str]:
    """on_time: the machine was not so late that time-outs hit the good."""
    if scenario.caller is Caller.LEAVES:
        return [visit.broken] if visit.broken else []
    found = [visit.broken] if visit.broken else []
    if visit.rest:
        found.append(f"{len(visit.rest)} bytes behind the last answer: {visit.rest[:80]!r}")
    first = visit.readings[0]
    found += _judge_reading(scenario, first, ("a", "b"))
    if on_time and must_be_good(scenario) and not _is_good(scenario, first):
        found.append(f"not good, but {first.status}, {first.ended}: {bytes(first.body[-300:])!r}")
    for other in visit.readings[1:]:
        if first.keeps_open and (other.status or scenario.caller is not Caller.HALF_CLOSES):
            found += _judge_reading(scenario, other, ("b",))
            if on_time and other.status != 200:
                found.append(f"the next request got {other.status}: {bytes(other.body[-300:])!r}")
    return [complaint for complaint in found if complaint]


def must_be_good(scenario: Scenario) -> bool:
    fault = scenario.fault
    if scenario.caller not in _WHOLE_CALLERS:
        return False
    if fault in HARMLESS or (scenario.kind == "stream" and fault in HARMLESS_TO_STREAMS):
        return True
    return scenario.has_second and not went_out(scenario) and leaves_room(scenario)


def leaves_room(scenario: Scenario) -> bool:
    """Whether there is time, and a reason, to ask the second target."""
    hedged = scenario.layout is Layout.HEDGE and scenario.kind != "stream"
    if scenario.fault in (Fault.TRICKLE, Fault.ENDLESS_BODY):
        return hedged  # bytes keep coming up to the deadline
    if scenario.fault is Fault.STATUS and scenario.status == 401:
        return scenario.layout in (Layout.PRIORITIES, Layout.FALLBACK)  # else the key is the same
    return True


def went_out(scenario: Scenario) -> bool:
    """Whether the caller of a stream may have had its first event when the fault came."""
    if scenario.kind != "stream":
        return False
    fault = scenario.fault
    pieces = build_body(scenario, "a")
    answer = frame(scenario, pieces)
    if fault in _PARTIAL:
        soon = _SOON_BYTES if fault is Fault.TRICKLE else 0
        return count_some(scenario, answer) + soon >= find_first_event(scenario, answer)
    if fault is Fault.SHORT_LENGTH:
        body = b"".join(pieces)
        return min(int(len(body) * scenario.position), len(body) - len(DONE) - 1) >= len(pieces[0])
    if fault is Fault.ERROR_INSIDE:
        return int((len(pieces) - 1) * scenario.position) > 0
    return fault in (Fault.ENDLESS_BODY, Fault.EARLY_CLOSE)


def _is_good(scenario: Scenario, reading: Reading) -> bool:
    if reading.status != 200 or reading.ended != "whole":
        return False
    return scenario.kind != "stream" or reading.body.endswith(DONE)


def _judge_reading(scenario: Scenario, reading: Reading, legs: tuple[str, ...]) -> list[str]:
    if reading.status == 0:
        return [] if scenario.caller in (Caller.HALF_CLOSES, Caller.SILENT) else ["no answer"]
    kind = reading.headers.get(b"content-type", b"").split(b";")[0]
    if kind == b"text/event-stream" and reading.status == 200 and scenario.kind == "stream":
        return _judge_stream(scenario, reading, legs)
    if kind != b"application/json":
        return [f"{reading.status} with content-type {kind!r}"]
    if reading.ended == "cut":
        return [] if scenario.caller in (Caller.SLOW, Caller.SILENT) else ["a torn JSON answer"]
    try:
        value = json.loads(reading.body)
    except ValueError:
        return [f"not JSON: {bytes(reading.body[:200])!r}"]
    if reading.status != 200:
        return _judge_error(value)
    if scenario.kind == "stream":
        return ["JSON for a stream"]
    text = _find_text(scenario, value)
    return [] if text in [scenario.text(leg) for leg in legs] else [f"another's answer: {text[:80]}"]


def _judge_error(value: object) -> list[str]:
    match value:
        case {"error": {"message": str(message), "type": str()}} if message:
            return []
    return [f"an error that is not OpenAI's: {str(value)[:200]}"]


def _judge_stream(scenario: Scenario, reading: Reading, legs: tuple[str, ...]) -> list[str]:
    body = bytes(reading.body)
    if reading.ended == "cut" and scenario.caller in (Caller.HALF_CLOSES, Caller.SILENT, Caller.SLOW):
        body = body[: body.rfind(b"\n\n") + 2]  # it did not take the rest
        if not body:
            return []
    if not body.endswith(b"\n\n"):
        return [f"a torn event: {body[-200:]!r}"]
    events = [event.removeprefix(b"data: ") for event in body[:-2].split(b"\n\n")]
    last = events.pop()
    if last == b"[DONE]":
        found = [] if reading.ended == "whole" else ["a cut behind [DONE]"]
        return found + _judge_text(scenario, events, legs, whole=True)
    if reading.ended == "whole":
        return [f"a clean end without [DONE]: {last[:200]!r}"]
    value = json.loads(last)
    if "error" in value:
        return _judge_error(value) + _judge_text(scenario, events, legs, whole=False)
    if scenario.caller in (Caller.HALF_CLOSES, Caller.SILENT, Caller.SLOW):
        return _judge_text(scenario, [*events, last], legs, whole=False)
    return [f"a cut without a word: {last[:200]!r}"]


def _judge_text(scenario: Scenario, events: list[bytes], legs: tuple[str, ...], *, whole: bool) -> list[str]:
    text = "".join(json.loads(event)["choices"][0]["delta"]["content"] for event in events)
    for leg in legs:
        good = scenario.text(leg)
        if text == good or (not whole and good.startswith(text)):
            return []
        if scenario.fault is Fault.ENDLESS_BODY and text.startswith(f"{scenario.seed}-{leg}"):
            return []
    return [f"not the text of {legs}: {text[:80]!r}, {len(text)} characters, whole: {whole}"]


def _find_text(scenario: Scenario, value: object) -> str:
    match value:
        case {"model": str(text)} if scenario.kind == "embeddings":
            return text
        case {"choices": [{"message": {"content": str(text)}}]} if scenario.kind == "chat":
            return text
    return f"none in {str(value)[:200]}"
