"""Whom a caller acts for: a short printable name, or nobody."""

from typing import Any

import msgspec
import pytest

from gateway_runtime.providers.end_user import LONGEST, find_user, find_user_of_messages


def members(**said: Any) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in said.items()}


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({}, None),
        ({"user": "alice"}, "alice"),
        ({"user": "alice", "safety_identifier": "hashed"}, "hashed"),
        ({"user": "ü" * LONGEST}, "ü" * LONGEST),
        ({"user": "x" * (LONGEST + 1)}, None),
        ({"user": ""}, None),
        ({"user": None}, None),
        ({"user": 7}, None),
        ({"user": "\x1b[31mred"}, None),
        ({"metadata": {"user_id": "u"}}, None),
    ],
)
def test_a_name_in_openais_apis(said: dict[str, object], name: str | None) -> None:
    assert find_user(members(**said)) == name


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({}, None),
        ({"metadata": {"user_id": "u-1"}}, "u-1"),
        ({"metadata": {"user_id": None}}, None),
        ({"metadata": {}}, None),
        ({"metadata": None}, None),
        ({"metadata": [1]}, None),
        ({"metadata": {"user_id": "a\nb"}}, None),
        ({"user": "alice"}, None),
    ],
)
def test_a_name_in_anthropics(said: dict[str, object], name: str | None) -> None:
    assert find_user_of_messages(members(**said)) == name


def test_what_is_no_text_is_no_name() -> None:
    assert find_user({"user": msgspec.Raw(b'"\xff"')}) is None
    assert find_user_of_messages({"metadata": msgspec.Raw(b'{"user_id": "\xff"}')}) is None
