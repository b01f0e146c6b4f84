"""Usage, as providers tell it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.providers.usage import Usage, read_usage


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (b'{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}', Usage(3, 5)),
        (b'{"prompt_tokens":3,"total_tokens":3}', Usage(3, 0)),
        (b'{"prompt_tokens":3,"completion_tokens":null}', Usage(3, 0)),
        (
            b'{"prompt_tokens":9,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":4},'
            b'"completion_tokens_details":{"reasoning_tokens":6}}',
            Usage(9, 7, 4, 6),
        ),
        (
            b'{"prompt_tokens":9,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":null},'
            b'"completion_tokens_details":{}}',
            Usage(9, 7),
        ),
        (
            b'{"prompt_tokens":9,"completion_tokens":7,"prompt_tokens_details":null,'
            b'"completion_tokens_details":null,"prompt_cache_hit_tokens":8}',
            Usage(9, 7, 8),
        ),
    ],
)
def test_counts_and_their_details_are_read(usage: bytes, expected: Usage) -> None:
    assert read_usage(msgspec.Raw(usage)) == expected


@pytest.mark.parametrize(
    "details",
    [
        b'"prompt_tokens_details":5',
        b'"prompt_tokens_details":{"cached_tokens":"four"}',
        b'"completion_tokens_details":{"reasoning_tokens":-1}',
        b'"prompt_cache_hit_tokens":1.5',
    ],
)
def test_details_that_cannot_be_read_do_not_cost_the_counts(details: bytes) -> None:
    usage = b'{"prompt_tokens":9,"completion_tokens":7,' + details + b"}"

    assert read_usage(msgspec.Raw(usage)) == Usage(9, 7)


def test_a_detail_is_never_more_than_what_it_is_part_of() -> None:
    usage = (
        b'{"prompt_tokens":9,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":10},'
        b'"completion_tokens_details":{"reasoning_tokens":99}}'
    )

    assert read_usage(msgspec.Raw(usage)) == Usage(9, 7, 9, 7)


@pytest.mark.parametrize(
    "usage",
    [
        b"null",
        b"{}",
        b"5",
        b'{"prompt_tokens":"three"}',
        b'{"prompt_tokens":-3}',
        b'{"prompt_tokens":3,"completion_tokens":1e99}',
        b'{"prompt_tokens":9007199254740992}',
        b'{"input_tokens":3,"output_tokens":5}',
    ],
)
def test_what_is_not_in_openais_shape_is_no_usage(usage: bytes) -> None:
    assert read_usage(msgspec.Raw(usage)) is None


_names = ["prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details"]
_counts = st.integers(-2, 2**54) | st.none() | st.floats(0, 9) | st.text(max_size=2)
_details = st.dictionaries(st.sampled_from(["cached_tokens", "reasoning_tokens"]), _counts)


@given(st.dictionaries(st.sampled_from(_names), _counts | _details))
def test_no_count_is_negative_and_no_part_above_its_whole(value: dict[str, object]) -> None:
    usage = read_usage(msgspec.Raw(msgspec.json.encode(value)))

    assert usage is None or 0 <= usage.cached_tokens <= usage.input_tokens
    assert usage is None or 0 <= usage.reasoning_tokens <= usage.output_tokens
