"""The ids of what providers keep, in the bodies that pass."""

import json
from typing import Any

import pytest

from gateway_runtime.contract.errors import GatewayError
from gateway_runtime.contract.ids import EndpointId, TenantId
from gateway_runtime.contract.secret import Secret
from gateway_runtime.providers.kept import (
    find_references,
    read_file_id,
    replace_file_id,
    replace_ids,
    seal_object,
)
from gateway_runtime.providers.request_body import RequestBody, read_body
from gateway_runtime.providers.seal import Seal, open_id

SEAL = Seal(Secret("salt"), TenantId("chat/team"), EndpointId("chat/openai/e0"))


def seal(value: Any) -> Any:
    return json.loads(seal_object(json.dumps(value).encode(), SEAL))


def build_body(**members: Any) -> RequestBody:
    return read_body(json.dumps({"model": "m", **members}).encode())


def refer(**members: Any) -> list[tuple[str, str, str, bool]]:
    return [tuple(found) for found in find_references(build_body(**members))]  # type: ignore[misc]


def test_ids_are_sealed_wherever_an_answer_has_them() -> None:
    put = SEAL.put
    said = {
        "id": "resp_1",
        "previous_response_id": None,
        "output": [{"id": "msg_1", "content": [{"id": "left"}]}, "text", {"type": "x"}],
        "metadata": {"id": "left"},
    }

    assert seal(said) == {
        **said,
        "id": put("resp_1"),
        "output": [{"id": put("msg_1"), "content": [{"id": "left"}]}, "text", {"type": "x"}],
    }
    assert seal({"data": [{"id": "a"}], "first_id": "a", "last_id": None}) == {
        "data": [{"id": put("a")}],
        "first_id": put("a"),
        "last_id": None,
    }
    assert seal({"type": "t", "response": {"id": "r"}, "item": {"id": "i"}, "item_id": "i"}) == {
        "type": "t",
        "response": {"id": put("r")},
        "item": {"id": put("i")},
        "item_id": put("i"),
    }
    assert seal({"input_file_id": "a", "output_file_id": "", "error_file_id": 7}) == {
        "input_file_id": put("a"),
        "output_file_id": "",
        "error_file_id": 7,
    }


@pytest.mark.parametrize(
    "body", [b'{"delta": 1.50}', b"[]", b"nonsense", b'{"output": "x", "response": null}']
)
def test_what_has_no_ids_is_the_same_object(body: bytes) -> None:
    assert seal_object(body, SEAL) is body


def test_numbers_and_unknown_members_pass_as_they_were_written() -> None:
    sealed = seal_object(b'{"id":"a","n":1.50,"big":12345678901234567890123,"x":"\\u00e4"}', SEAL)

    assert b'"n":1.50,"big":12345678901234567890123,"x":"\\u00e4"' in sealed


def test_what_a_request_refers_to_is_found_wherever_it_stands() -> None:
    part = {"type": "input_file", "file_id": "file-1"}
    container = {"type": "auto", "file_ids": ["file-2", 3]}

    assert refer(input="Hello", previous_response_id=None) == []
    assert refer(previous_response_id="resp_1") == [("Response", "resp_1", "previous_response_id", False)]
    assert refer(conversation={"id": "conv_1"}) == [("Conversation", "conv_1", "conversation", False)]
    assert refer(conversation={"id": 1}) == [("Conversation", "", "conversation", False)]
    assert refer(input=[{"role": "user", "content": [part]}]) == [
        ("File", "file-1", "input[0].content[0].file_id", False)
    ]
    assert refer(tools=[{"type": "code_interpreter", "container": container}]) == [
        ("File", "file-2", "tools[0].container.file_ids", False),
        ("File", "", "tools[0].container.file_ids", False),
    ]
    assert refer(
        input=[
            {"type": "item_reference", "id": "a"},
            {"id": "b"},
            {"role": "user", "id": "c", "content": "x"},
            {"type": "reasoning", "id": "d", "summary": []},
            {"type": "reasoning", "id": "e", "summary": [], "encrypted_content": "x"},
            {"type": "function_call", "id": "f", "call_id": "g", "name": "h", "arguments": "{}"},
            {"type": "message", "role": "user", "content": "x"},
        ]
    ) == [
        ("Item", "a", "input[0].id", False),
        ("Item", "b", "input[1].id", False),
        ("Item", "d", "input[3].id", True),
    ]


@pytest.mark.parametrize("item", [{"type": 7}, {"id": {"x": 1}}, {"role": ["user"]}])
def test_an_item_that_is_none_is_the_callers_mistake(item: Any) -> None:
    with pytest.raises(GatewayError, match="HG1004"):
        refer(input=[item])


def test_a_file_is_found_however_deep_it_stands() -> None:
    tree: Any = {"file_id": "file-1"}
    for _ in range(400):
        tree = [{"x": tree}]

    assert [found[1] for found in refer(tools=tree)] == ["file-1"]


def test_a_request_gets_the_providers_ids_back_and_nothing_else_changes() -> None:
    sealed = SEAL.put("msg_1")
    items = [{"id": sealed}, {"content": f"quoted {sealed}"}, {"arguments": json.dumps({"id": sealed})}]
    body = build_body(input=[*items, {"id": sealed[:-1] + "1"}], previous_response_id=SEAL.put("resp_1"))

    def open_(text: str) -> str | None:
        opened = open_id(text)
        return None if opened is None else opened.id

    opened = json.loads(replace_ids(body, open_).build("m"))
    assert opened["input"][0] == {"id": "msg_1"}
    assert opened["input"][1:3] == items[1:]
    assert opened["input"][3] == {"id": sealed[:-1] + "1"}
    assert opened["previous_response_id"] == "resp_1"


def test_what_is_not_the_callers_stays_sealed() -> None:
    body = build_body(input=[{"id": SEAL.put("msg_1")}])

    assert replace_ids(body, lambda _: None).build("m") == body.build("m")
    assert replace_ids(build_body(input="x"), lambda _: None) is not None


def test_a_batch_names_its_file() -> None:
    body = build_body(input_file_id="file-1", endpoint="/v1/chat/completions")

    assert read_file_id(body) == "file-1"
    assert json.loads(replace_file_id(body, "file-2").build("m"))["input_file_id"] == "file-2"
    for members in ({}, {"input_file_id": None}, {"input_file_id": ""}):
        with pytest.raises(GatewayError, match="`input_file_id` must be the id of a file"):
            read_file_id(build_body(**members))
