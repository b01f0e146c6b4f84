"""What providers tell of their own limits, and how long it is believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.contract.ids import EndpointId
from gateway_runtime.engine.learnt import (
    LONGEST_S,
    LearntLimit,
    LearntLimits,
    LimitKey,
    parse_reset,
    read_wait,
)

KEY = LimitKey(EndpointId("chat/a/0"), "main", "gpt-4o")
REQUESTS, REQUESTS_RESET = "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"
TOKENS, TOKENS_RESET = "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("20ms", 0.02),
        ("1h0m0s", 3600.0),
        ("2m59.56s", 179.56),
        ("8.64s", 8.64),
        ("1m", 60.0),
        ("12", 12.0),
        ("0s", 0.0),
        ("0", 0.0),
        ("", None),
        ("s", None),
        ("soon", None),
        ("-1s", None),
        ("1d", None),
        ("1s1m", None),
        ("1.5h", None),
        ("٣s", None),
        ("٣", None),
        ("2026-01-01T00:00:00Z", None),
    ],
)
def test_a_reset_is_read_as_providers_write_it(text: str, seconds: float | None) -> None:
    assert parse_reset(text) == (None if seconds is None else pytest.approx(seconds))


@given(st.text(max_size=12))
def test_no_text_of_a_provider_is_an_error(text: str) -> None:
    seconds = parse_reset(text)

    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("headers", "retry_after_s", "expected"),
    [
        ({}, None, None),
        ({REQUESTS: "5", REQUESTS_RESET: "1s"}, None, 0.0),
        ({REQUESTS: "0", REQUESTS_RESET: "6m0s"}, None, 360.0),
        ({TOKENS: "0", TOKENS_RESET: "20ms"}, None, 0.02),
        ({REQUESTS: "5", REQUESTS_RESET: "1s", TOKENS: "0", TOKENS_RESET: "2s"}, None, 2.0),
        ({REQUESTS: "0", REQUESTS_RESET: "1s", TOKENS: "0", TOKENS_RESET: "2s"}, None, 2.0),
        ({REQUESTS: "0"}, None, None),
        ({REQUESTS: "0", REQUESTS_RESET: "soon", TOKENS: "7"}, None, 0.0),
        ({}, 1.5, 1.5),
        ({REQUESTS: "0", REQUESTS_RESET: "6m0s"}, 1.5, 1.5),
    ],
)
def test_an_answer_asks_for_the_longest_wait_and_retry_after_has_the_last_word(
    headers: dict[str, str], retry_after_s: float | None, expected: float | None
) -> None:
    assert read_wait(headers, retry_after_s) == expected


@pytest.mark.parametrize(
    ("notes", "blocked_until_s"),
    [
        ([(5.0, 10.0, 9.0)], 15.0),
        ([(5.0, 10.0, 9.0), (20.0, 11.0, 9.0)], 31.0),
        ([(5.0, 10.0, 9.0), (1.0, 11.0, 9.0)], 15.0),
        ([(5.0, 10.0, 9.0), (1.0, 12.0, 11.0)], 13.0),
        ([(5.0, 10.0, 9.0), (0.0, 12.0, 9.0)], 15.0),
        ([(5.0, 10.0, 9.0), (0.0, 12.0, 11.0)], None),
        ([(0.0, 10.0, 9.0)], None),
        ([(1e9, 10.0, 9.0)], 10.0 + LONGEST_S),
    ],
    ids=[
        "one",
        "longer",
        "shorter-but-sent-before",
        "shorter-and-sent-after",
        "room-but-sent-before",
        "room-and-sent-after",
        "room",
        "beyond-all-measure",
    ],
)
def test_the_latest_word_counts_and_one_that_was_overtaken_lifts_nothing(
    notes: list[tuple[float, float, float]], blocked_until_s: float | None
) -> None:
    limit = LearntLimit()
    for wait_s, now_s, sent_s in notes:
        limit.note(wait_s, now_s, sent_s=sent_s)

    assert limit.blocked_until(12.5) == blocked_until_s


def test_a_limit_is_over_by_itself() -> None:
    limit = LearntLimit()
    limit.note(5.0, 10.0, sent_s=9.0)

    assert limit.blocked_until(14.9) == 15.0
    assert limit.blocked_until(15.0) is None


def test_a_limit_holds_for_its_endpoint_credential_and_model_alone() -> None:
    limits = LearntLimits()
    limits.note(KEY, 5.0, 10.0, sent_s=9.0)

    assert limits.wait(KEY, 11.0) == 4.0
    assert limits.wait(KEY, 15.0) == 0.0
    assert limits.wait(KEY._replace(model="gpt-4o-mini"), 11.0) == 0.0
    assert limits.wait(KEY._replace(credential="next"), 11.0) == 0.0
    assert limits.wait(KEY._replace(endpoint=EndpointId("chat/a/1")), 11.0) == 0.0


def test_nobody_need_ask_while_no_limit_is_used_up() -> None:
    limits = LearntLimits()
    limits.note(KEY, None, 10.0, sent_s=9.0)
    limits.note(KEY, 0.0, 10.0, sent_s=9.0)

    assert limits.are_idle(10.0)
    assert len(limits) == 0
    limits.note(KEY, 5.0, 10.0, sent_s=9.0)
    limits.note(KEY._replace(model="x"), 1.0, 10.0, sent_s=9.0)
    assert not limits.are_idle(14.9)
    assert limits.are_idle(15.0)


def test_room_lifts_a_limit_of_the_book() -> None:
    limits = LearntLimits()
    limits.note(KEY, 5.0, 10.0, sent_s=9.0)
    limits.note(KEY, 0.0, 12.0, sent_s=11.0)

    assert limits.wait(KEY, 12.0) == 0.0


@pytest.mark.parametrize("pause_s", [0.0, 1.0])
def test_the_book_stays_small_whatever_callers_ask_for(pause_s: float) -> None:
    limits = LearntLimits()
    for i in range(5000):
        limits.note(KEY._replace(model=f"model-{i}"), 30.0, i * pause_s, sent_s=i * pause_s)

    assert len(limits) <= 1024
    assert limits.wait(KEY._replace(model="model-4999"), 4999 * pause_s) == 30.0


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100), st.floats(0, 1e6))))
def test_no_header_bans_an_endpoint_for_longer_than_five_minutes(
    notes: list[tuple[float, float, float]],
) -> None:
    limit = LearntLimit()
    now_s = 0.0
    for pause_s, age_s, wait_s in notes:
        now_s += pause_s
        limit.note(wait_s, now_s, sent_s=now_s - age_s)

    assert (limit.blocked_until(now_s) or now_s) <= now_s + LONGEST_S
    assert limit.blocked_until(now_s + LONGEST_S) is None
