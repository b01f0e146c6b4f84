"""OpenAI's wire and Azure's against their golden pairs, and what a pair does not show: headers and paths."""

from pathlib import Path

import pytest

from gateway_runtime.contract.errors import GatewayError
from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import AzureOptions
from gateway_runtime.providers.chat.request import ChatRequest, Message
from gateway_runtime.providers.sse import LARGEST_EVENT_BYTES
from gateway_runtime.providers.wire import Outgoing
from gateway_runtime.providers.wires.openai.wire import AzureWire, OpenAIWire
from tests.wires.golden import check_golden, find_orphans, find_situations

CHAT = ChatRequest("m", [Message("user", "Hello")])
DATED = AzureOptions(api_version="2024-10-21")
KEY = Secret("sk-1")
OUTGOING = Outgoing("/chat/completions", b"{}")


@pytest.mark.parametrize("path", find_situations("openai"), ids=lambda path: path.name)
def test_a_situation_is_translated_to_what_is_written(path: Path, update_golden: bool) -> None:
    check_golden(OpenAIWire(), path, update=update_golden)


@pytest.mark.parametrize("path", find_situations("azure"), ids=lambda path: path.name)
def test_azures_situations_are_translated_to_what_is_written(path: Path, update_golden: bool) -> None:
    check_golden(AzureWire(DATED), path, update=update_golden)


@pytest.mark.parametrize("wire", ["openai", "azure"])
def test_every_file_belongs_to_a_pair(wire: str) -> None:
    assert find_orphans(wire) == []


def test_openais_key_is_a_bearer_token() -> None:
    assert OpenAIWire().authorize(KEY, OUTGOING, "https://x/v1/chat/completions", 0.0) == {
        "authorization": "Bearer sk-1"
    }


def test_a_server_without_a_key_gets_no_header() -> None:
    assert OpenAIWire().authorize(None, OUTGOING, "http://vllm:8000/v1/chat/completions", 0.0) == {}
    assert AzureWire(DATED).authorize(None, OUTGOING, "https://x", 0.0) == {}


def test_azures_key_has_a_header_of_its_own() -> None:
    assert AzureWire(DATED).authorize(KEY, OUTGOING, "https://x", 0.0) == {"api-key": "sk-1"}


@pytest.mark.parametrize(
    "options",
    [
        AzureOptions(tenant="t", client="c"),
        AzureOptions(workload=True),
        AzureOptions(tenant="t"),
        AzureOptions(client="c"),
    ],
)
def test_an_entra_token_is_a_bearer_token(options: AzureOptions) -> None:
    assert AzureWire(options).authorize(KEY, OUTGOING, "https://x", 0.0) == {"authorization": "Bearer sk-1"}


@pytest.mark.parametrize(
    "path", ["/chat/completions", "/embeddings", "/images/generations", "/audio/transcriptions", "/responses"]
)
def test_openais_paths_are_as_they_are(path: str) -> None:
    assert OpenAIWire().path_of(path, "gpt-4o") == path


@pytest.mark.parametrize(
    "path", ["/chat/completions", "/embeddings", "/images/generations", "/audio/transcriptions", "/responses"]
)
def test_azures_v1_paths_have_neither_deployment_nor_version(path: str) -> None:
    assert AzureWire(AzureOptions()).path_of(path, "../gpt") == f"/openai/v1{path}"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/chat/completions", "/openai/deployments/my%20gpt%2F4/chat/completions?api-version=2024-10-21"),
        ("/embeddings", "/openai/deployments/my%20gpt%2F4/embeddings?api-version=2024-10-21"),
        ("/images/generations", "/openai/deployments/my%20gpt%2F4/images/generations?api-version=2024-10-21"),
        ("/audio/speech", "/openai/deployments/my%20gpt%2F4/audio/speech?api-version=2024-10-21"),
        ("/responses", "/openai/responses?api-version=2024-10-21"),
        ("/files/file-1/content", "/openai/files/file-1/content?api-version=2024-10-21"),
        ("/batches?limit=2", "/openai/batches?limit=2&api-version=2024-10-21"),
    ],
)
def test_azures_dated_paths_name_the_deployment_where_there_is_one(path: str, expected: str) -> None:
    assert AzureWire(DATED).path_of(path, "my gpt/4") == expected


@pytest.mark.parametrize("model", ["", ".", "..", "..."])
def test_a_name_that_would_leave_the_deployments_is_refused(model: str) -> None:
    with pytest.raises(GatewayError, match="cannot name a deployment"):
        AzureWire(DATED).path_of("/embeddings", model)


def test_an_api_version_cannot_add_to_the_query() -> None:
    wire = AzureWire(AzureOptions(api_version="1&x=2"))

    assert wire.path_of("/responses", "m") == "/openai/responses?api-version=1%26x%3D2"


def test_an_event_that_never_ends_is_a_fault() -> None:
    stream = OpenAIWire().open_chat(CHAT)
    chunks = stream.feed(b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n')
    chunks += stream.feed(b"data: " + b"x" * LARGEST_EVENT_BYTES)

    assert [chunk.content for chunk in chunks] == ["Hi"]
    assert stream.fault is not None
    assert stream.fault.kind == "malformed"
    assert "more than" in stream.fault.reason


def test_text_that_is_not_utf_8_is_a_fault() -> None:
    stream = OpenAIWire().open_chat(CHAT)
    chunks = stream.feed(b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n')

    assert chunks == []
    assert stream.fault is not None
    assert stream.fault.reason == "an event of its stream is not a JSON object"
    assert stream.finish() == stream.feed(b"data: [DONE]\n\n") == []
    assert not stream.done


def test_an_answer_nested_too_deeply_is_a_fault() -> None:
    fault = OpenAIWire().read_chat(b'{"choices": ' + b"[" * 100_000, CHAT)

    assert getattr(fault, "kind", None) == "malformed"


@pytest.mark.parametrize("annotations", [b'{"a": 1}', b"null", b'"none"'])
def test_annotations_that_cannot_be_read_cost_no_text(annotations: bytes) -> None:
    stream = OpenAIWire().open_chat(CHAT)
    chunks = stream.feed(
        b'data: {"choices":[{"delta":{"content":"Hi","annotations":' + annotations + b"}}]}\n\n"
    )

    assert [chunk.content for chunk in chunks] == ["Hi"]
    assert stream.fault is None


def test_what_no_reader_takes_is_a_fault() -> None:
    number = b"9" * 5000
    fault = OpenAIWire().read_chat(
        b'{"created": ' + number + b', "choices": [{"message": {"content": "\\ud83d"}}]}', CHAT
    )

    assert getattr(fault, "kind", None) == "malformed"
