"""AWS's signature, against AWS's own example and against what botocore 1.44.5 signs."""

from datetime import UTC, datetime

import pytest

from gateway_runtime.contract.secret import Secret
from gateway_runtime.providers.wires.bedrock.credentials import AccessKey
from gateway_runtime.providers.wires.bedrock.signature import sign

BODY = '{"messages":[{"role":"user","content":[{"text":"Grüß Gott"}]}]}'.encode()
NOW = datetime(2026, 11, 21, 9, 5, 7, 700_000, UTC).timestamp()
SECRET = Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
HOST = "https://bedrock-runtime.us-east-1.amazonaws.com"
CLAUDE = f"{HOST}/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"
PROFILE = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fa1b2c3d4e5f6"
CLAUDE_SIGNATURE = "3173bbfed4b2a89717395af982765ba1274dab5aa26432d1417dd920d7d1a5ee"


def test_the_documented_example_has_its_documented_signature() -> None:
    """https://docs.aws.amazon.com/general/latest/gr/sigv4-signed-request-examples.html"""
    headers = sign(
        AccessKey("AKIDEXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")),
        method="GET",
        url="https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
        headers={"content-type": "application/x-www-form-urlencoded; charset=utf-8"},
        body=b"",
        region="us-east-1",
        service="iam",
        unix_s=datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp(),
    )

    assert headers == {
        "x-amz-date": "20150830T123600Z",
        "authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    }


@pytest.mark.parametrize(
    ("url", "signature"),
    [
        (CLAUDE, CLAUDE_SIGNATURE),
        (CLAUDE.replace(".com/", ".com:443/").replace("bedrock-r", "Bedrock-R"), CLAUDE_SIGNATURE),
        (
            "https://proxy.example.com:8443/bedrock/model/amazon.titan-embed-text-v2%3A0/invoke?b=2&a=1",
            "0eaeb82b2ee3381ae29d28b8fe03762c70c4e465d9fb950a275a202e95920a56",
        ),
    ],
)
def test_a_request_is_signed_as_botocore_signs_it(url: str, signature: str) -> None:
    headers = sign_now(url, None)

    assert headers["authorization"].endswith(
        f"SignedHeaders=content-type;host;x-amz-date, Signature={signature}"
    )
    assert headers["x-amz-date"] == "20261121T090507Z"


def test_temporary_credentials_are_signed_as_botocore_signs_them() -> None:
    token = "IQoJb3JpZ2luX2VjEJr//////////wEaCXVzLWVhc3QtMSJ+EXAMPLE=="

    headers = sign_now(f"{HOST}/model/{PROFILE}/converse-stream", token)

    assert headers == {
        "x-amz-date": "20261121T090507Z",
        "x-amz-security-token": token,
        "authorization": "AWS4-HMAC-SHA256 "
        "Credential=AKIAIOSFODNN7EXAMPLE/20261121/us-east-1/bedrock/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, "
        "Signature=48327eb8eb7547996bdd85a4b5b987716f8f6bf1744eed40837751d82aa11d96",
    }


def test_the_next_day_has_another_key() -> None:
    today = sign_now(CLAUDE, None)
    tomorrow = sign_now(CLAUDE, None, NOW + 86_400)

    assert "/20261122/us-east-1/bedrock/" in tomorrow["authorization"]
    assert tomorrow["authorization"][-64:] != today["authorization"][-64:]


def test_a_host_that_is_an_address_is_signed_as_it_is_written() -> None:
    headers = [sign_now(f"http://{host}/x", None)["authorization"] for host in ("[::1]:80", "[::1]", "[::2]")]

    assert headers[0] == headers[1] != headers[2]


def sign_now(url: str, token: str | None, unix_s: float = NOW) -> dict[str, str]:
    return sign(
        AccessKey("AKIAIOSFODNN7EXAMPLE", SECRET, Secret(token) if token else None),
        method="POST",
        url=url,
        headers={"content-type": "application/json"},
        body=BODY,
        region="us-east-1",
        service="bedrock",
        unix_s=unix_s,
    )
