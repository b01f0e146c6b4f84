"""Amazon Bedrock's wire against its golden pairs, and what no pair can show: its credentials."""

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway_runtime.contract.errors import GatewayError
from gateway_runtime.contract.secret import Secret
from gateway_runtime.providers.chat.request import read_chat
from gateway_runtime.providers.wire import Outgoing, Target
from gateway_runtime.providers.wires.bedrock.credentials import UnusableCredential, parse_credential
from gateway_runtime.providers.wires.bedrock.schema import build_schema
from gateway_runtime.providers.wires.bedrock.wire import BedrockWire
from tests.wires.golden import check_golden, find_orphans, find_situations

URL = "https://bedrock-runtime.eu-west-1.amazonaws.com/model/m/converse"
KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
FILE = f"""
# of the team
[profile empty]

[production]
AWS_Access_Key_Id = AKIAIOSFODNN7EXAMPLE
aws_secret_access_key={SECRET}
region = eu-west-1
"""


@pytest.mark.parametrize("path", find_situations("bedrock"), ids=lambda path: path.name)
def test_a_situation_is_translated_to_what_is_written(path: Path, update_golden: bool) -> None:
    check_golden(BedrockWire("us-east-1"), path, update=update_golden, frame=frame_events)


def test_every_file_belongs_to_a_pair() -> None:
    assert find_orphans("bedrock") == []


def test_the_same_file_under_two_tools_keeps_its_name_apart_in_every_turn() -> None:
    part = {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}}
    turn = {"role": "user", "content": [part, {"type": "text", "text": "Sum it up."}]}
    chat = read_chat(json.dumps({"model": "m", "messages": [turn, turn]}).encode())

    outgoing = BedrockWire("us-east-1").build_chat(chat, set(), Target("amazon.nova-pro-v1:0"))

    content = json.loads(outgoing.body)["messages"][0]["content"]
    names = [block["document"]["name"] for block in content if "document" in block]
    assert names == ["a", "a (2)"]


def test_a_schema_that_nests_too_deep_is_refused() -> None:
    nested = msgspec.Raw(b'{"items":' * 5000 + b"{}" + b"}" * 5000)

    with pytest.raises(GatewayError) as caught:
        build_schema(nested)

    assert caught.value.message == ("`response_format.json_schema.schema` does not fit: it nests too deep.")


def test_an_api_key_is_sent_as_a_bearer_token() -> None:
    assert authorize("bedrock-api-key-YmVkcm9jaw==\n") == {
        "authorization": "Bearer bedrock-api-key-YmVkcm9jaw=="
    }


def test_no_credential_gives_no_headers() -> None:
    assert BedrockWire("eu-west-1").authorize(None, Outgoing("/x", b""), URL, 0) == {}


@pytest.mark.parametrize(
    "text",
    [
        FILE,
        f"AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE\nAWS_SECRET_ACCESS_KEY={SECRET}",
        f"[other]\na = b\n[default]\naws_access_key_id=AKIAIOSFODNN7EXAMPLE\naws_secret_access_key={SECRET}",
        json.dumps({"accessKeyId": "AKIAIOSFODNN7EXAMPLE", "secretAccessKey": SECRET, "sessionToken": None}),
        json.dumps({"Version": 1, "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": SECRET}),
    ],
)
def test_every_form_of_an_access_key_signs_alike(text: str) -> None:
    assert authorize(text) == {
        "authorization": "AWS4-HMAC-SHA256 "
        "Credential=AKIAIOSFODNN7EXAMPLE/20261121/eu-west-1/bedrock/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=9f38a6b10f809f2b1b4bdd42a46a52fd376afabbea462a8265f397c5ec07dfaa",
        "x-amz-date": "20261121T090507Z",
    }


def test_a_session_token_goes_along_and_is_signed() -> None:
    text = json.dumps(
        {"accessKeyId": "ASIAIOSFODNN7EXAMPLE", "secretAccessKey": SECRET, "sessionToken": "t0k"}
    )

    headers = authorize(text)

    assert headers["x-amz-security-token"] == "t0k"
    assert "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token," in headers["authorization"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            " ",
            "The credential is empty: it has to be a Bedrock API key, the text of an AWS credentials file, "
            "or JSON with `accessKeyId` and `secretAccessKey`.",
        ),
        (
            "hidden words",
            "The credential is in no known form: it has to be a Bedrock API key, the text of an AWS "
            "credentials file, or JSON with `accessKeyId` and `secretAccessKey`.",
        ),
        ('{"accessKeyId": hidden', "The credential begins like JSON and is no flat JSON object."),
        ('{"accessKeyId": {"hidden": 1}}', "The credential begins like JSON and is no flat JSON object."),
        ('{"accessKeyId": "hidden"}', "The credential has no `secretAccessKey`."),
        (
            '{"accessKeyId": "hidden", "secretAccessKey": "x"}',
            "The credential's `accessKeyId` is no id of an access key: 16 letters and digits or more.",
        ),
        (
            '{"accessKeyId": "AKIAIOSFODNN7EXAMPLE", "secretAccessKey": "hid\\nden"}',
            "The credential's `secretAccessKey` has a character that no header can carry.",
        ),
        ("[default\nhidden", "The credential cannot be read as an AWS credentials file."),
        ("[default]\n", "The credential has no `aws_access_key_id`."),
        ("[default]\nrole_arn = hidden", "The credential has no `aws_access_key_id`."),
        ("aws_access_key_id=hidden", "The credential has no `aws_secret_access_key`."),
        (
            f"aws_access_key_id={KEY_ID}\naws_secret_access_key={SECRET}\naws_session_token=hid den",
            "The credential's `aws_session_token` has a character that no header can carry.",
        ),
    ],
)
def test_an_unusable_credential_is_told_without_a_piece_of_it(text: str, message: str) -> None:
    with pytest.raises(UnusableCredential) as caught:
        authorize(text)

    assert str(caught.value) == message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("text", ["hidden-token", FILE])
def test_a_credential_does_not_show_itself(text: str) -> None:
    shown = repr(parse_credential(text))

    assert "hidden" not in shown
    assert SECRET not in shown


def authorize(text: str) -> dict[str, str]:
    wire = BedrockWire("eu-west-1")
    return dict(wire.authorize(Secret(text), Outgoing("/model/m/converse", b"{}"), URL, 1795251907.9))


def frame_events(events: list[Any]) -> bytes:
    """What `stream-*.in.json` says, as the service frames it."""
    framed = []
    for event in events:
        if "type" in event:
            headers = {":event-type": event["type"], ":content-type": "application/json"}
            headers[":message-type"] = "event"
        elif "exception" in event:
            headers = {":exception-type": event["exception"], ":content-type": "application/json"}
            headers[":message-type"] = "exception"
        else:
            headers = {":error-code": event["error"], ":error-message": event["message"]}
            headers[":message-type"] = "error"
        payload = event.get("payload", "")
        text = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)
        framed.append(frame_message(headers, text.encode()))
    return b"".join(framed)


def frame_message(headers: dict[str, str], payload: bytes) -> bytes:
    head = b"".join(
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + payload
    return message + struct.pack(">I", zlib.crc32(message))
