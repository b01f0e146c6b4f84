"""The dialect of OpenAI's chat completions against its golden pairs."""

import json
from pathlib import Path

import pytest

from gateway_runtime.providers.chat.answer import ChatChunk
from gateway_runtime.providers.dialect import Dialect
from gateway_runtime.providers.dialects.openai_chat import OpenAIChat
from gateway_runtime.providers.request_body import read_body
from tests.dialects.golden import STAMP, Speaker, check_golden, encode, find_orphans, find_situations

ASKED = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
DIALECT = OpenAIChat()
SPEAKER = Speaker(DIALECT, ASKED)


@pytest.mark.parametrize("path", find_situations("openai_chat"), ids=lambda path: path.name)
def test_a_situation_is_translated_to_what_is_written(path: Path, update_golden: bool) -> None:
    check_golden(SPEAKER, path, update=update_golden)


def test_every_file_belongs_to_a_pair() -> None:
    assert find_orphans("openai_chat") == []


def test_it_is_a_dialect() -> None:
    dialect: Dialect = DIALECT

    assert dialect.name == "OpenAI chat completions"


def test_each_choice_is_told_its_role_once() -> None:
    writer = DIALECT.open_writer(DIALECT.read_chat(read_body(encode(ASKED))), STAMP)
    chunks = [ChatChunk(content="a", index=index) for index in (0, 1, 0, 1)]

    events = writer.write(chunks).decode().split("\n\n")[:-1]

    roles = [json.loads(event.removeprefix("data: "))["choices"][0]["delta"].get("role") for event in events]
    assert roles == ["assistant", "assistant", None, None]
