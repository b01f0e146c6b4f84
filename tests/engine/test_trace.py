"""Why one request went where it went, in lines."""

import pytest

from gateway_runtime.engine.trace import Decision, Trace, Why


@pytest.mark.parametrize(
    ("why", "detail", "line"),
    [
        (Why.CIRCUIT_OPEN, "", "team/vllm/0 skipped: circuit open"),
        (Why.LAST_RESORT, "", "team/vllm/0 last: circuit open, kept as a last resort"),
        (Why.DOUBTFUL, "", "team/vllm/0 late: its probe fails"),
        (Why.PANIC, "1 of 3", "team/vllm/0 counted as ready although its probe fails: only 1 of 3 are ready"),
        (Why.LIMIT_LEARNT, 3.0, "team/vllm/0 late: limit learnt, free in 3 s"),
        (Why.CHOSEN, "Weighted", "team/vllm/0 chosen: Weighted"),
        (Why.CREDENTIAL, "401 from upstream", "team/vllm/0 again: 401 from upstream, next credential"),
        (Why.RETRY, "503 from upstream", "team/vllm/0 failed: 503 from upstream, next attempt"),
        (Why.NOT_TRIED_AGAIN, "the deadline has passed", "no retry: the deadline has passed"),
        (Why.FALLBACK, "Unavailable", "fallback to model team/vllm/0: Unavailable"),
        (Why.HEDGED, 2.0, "team/vllm/0 hedged: no answer after 2 s"),
    ],
)
def test_each_decision_has_its_line(why: Why, detail: str | float, line: str) -> None:
    assert str(Decision(why, "team/vllm/0", detail)) == line


def test_a_trace_reads_in_the_order_of_the_decisions() -> None:
    trace = Trace()
    trace.note(Why.CIRCUIT_OPEN, "a")
    trace.note(Why.CHOSEN, "b", "Weighted")

    assert trace.lines() == ("a skipped: circuit open", "b chosen: Weighted")
    assert str(trace) == "a skipped: circuit open; b chosen: Weighted"


def test_a_trace_of_nothing_is_empty() -> None:
    assert (Trace().lines(), str(Trace())) == ((), "")
