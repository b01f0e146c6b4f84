"""Request bodies of a stated size: a chat as a support team would send it, as much of it as fits.

Called by `loads`. The text of the last message tells the mock what kind of stream to send; it is the only
part that every gateway passes on unchanged.
"""

import json

_TURNS = (
    "Our checkout service shows a growing queue since the last deploy. The pods restart about every eleven "
    "minutes, the liveness probe fails first, and memory climbs in a straight line until the limit. What "
    "should the engineer on call look at first?",
    "Start with the memory graph of the checkout pods beside the marker of the deploy, then the panel of the "
    "garbage collector's pauses, and keep the queue's age in sight.",
)
_SYSTEM = "You help the platform team. Answer in few words and name the section of the runbook."


def build_body(size_bytes: int, *, chunks: int = 0, delay_us: int = 0) -> bytes:
    """Exactly so many bytes. chunks: asks for a stream of so many, `delay_us` apart; 0 asks for no stream."""
    request = {
        "model": "gpt-4o-mini",
        "messages": [{"role": "system", "content": _SYSTEM}],
        "temperature": 0.2,
        "max_tokens": 256,
    }
    last = "Give me the steps of the rollback."
    if chunks:
        request |= {"stream": True, "stream_options": {"include_usage": True}}
        last = f"@mock chunks={chunks} delay_us={delay_us}"
    messages = request["messages"]
    assert isinstance(messages, list)
    messages.append({"role": "user", "content": last})
    turn = 0
    while size_bytes - len(json.dumps(request)) > 400:  # longer than any turn in its JSON
        role = ("user", "assistant")[turn % 2]
        messages.insert(-1, {"role": role, "content": _TURNS[turn % 2]})
        turn += 1
    missing = size_bytes - len(json.dumps(request))
    if missing < 0:
        raise ValueError(
            f"{size_bytes} bytes are too few for a chat; the shortest has {size_bytes - missing}"
        )
    messages[-1]["content"] += " " * missing
    return json.dumps(request).encode()
