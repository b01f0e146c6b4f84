"""What a credential may be, by its provider's type: the operator takes what the gateways can use, and says of
the rest why not without repeating a piece of it.
"""

import json
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import example, given
from hypothesis import strategies as st

from gateway_runtime.contract.secret import Secret
from gateway_runtime.providers.wires.bedrock.credentials import UnusableCredential, parse_credential
from headgate_operator.compile import compile_resources
from headgate_operator.compile.credentials import find_form
from headgate_operator.compile.resources import Resources, SecretData, SecretId
from tests.compile.builders import provider, resources

ID, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG"
BEDROCK = provider("a/p", secret="s", spec={"type": "bedrock", "bedrock": {"region": "us-east-1"}})
VERTEX = provider(
    "a/p", secret="s", spec={"type": "vertex", "vertex": {"project": "p", "location": "global"}}
)


def find_problem(wire: str, text: str) -> str | None:
    return find_form(wire).find_problem(text.strip())  # type: ignore[arg-type]  # tests name wires as text


@cache
def write_key(kind: str, password: bytes | None = None) -> str:
    key: PrivateKeyTypes
    if kind == "RSA":
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    else:
        key = ec.generate_private_key(ec.SECP256R1())
    protection = NoEncryption() if password is None else BestAvailableEncryption(password)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection).decode()


def build_account(**changes: object) -> str:
    account = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "1",
        "private_key": write_key("RSA"),
        "client_email": "gateway@p.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    return json.dumps({key: v for key, v in (account | changes).items() if v is not None}, indent=2)


def with_secret(manifest: object, text: str) -> Resources:
    before = resources(manifest)
    data = {SecretId("a", "s"): SecretData({"api-key": Secret(text)}, watched=True)}
    return Resources(before.providers, (), (), data, before.key_salt)


def test_a_service_accounts_key_reaches_the_table_as_it_is_with_its_lines() -> None:
    text = build_account()

    compiled = compile_resources(with_secret(VERTEX, f"\n{text}\n"))

    (credential,) = compiled.table.providers[0].credentials
    assert credential.value.reveal() == text
    assert compiled.verdicts["LLMProvider/a/p"].findings == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is empty"),
        ("AIzaSyA", "it is not JSON"),
        ('{"a":' * 100_000, "it is not JSON"),
        ("\ud800", "it is not JSON"),
        ("[]", "it lacks one of the texts type, client_email, private_key and token_uri"),
        (
            build_account(token_uri=None),
            "it lacks one of the texts type, client_email, private_key and token_uri",
        ),
        (
            build_account(client_email=7),
            "it lacks one of the texts type, client_email, private_key and token_uri",
        ),
        (build_account(type="external_account"), "its type is not service_account"),
        (build_account(private_key="sk-planted"), "its private_key cannot be read"),
        (build_account(private_key=write_key("RSA", b"password")), "its private_key cannot be read"),
        (build_account(private_key=write_key("EC")), "its private_key is not of kind RSA"),
    ],
    ids=[
        *("empty", "a-word", "without-end", "no-unicode", "a-list", "without-token-uri", "a-number"),
        *("another-type", "no-pem", "encrypted", "elliptic"),
    ],
)
def test_what_is_no_service_accounts_key_is_told(text: str, problem: str) -> None:
    assert find_problem("vertex", text) == problem


AWS = {
    "an-api-key": ("ABSKQmVkcm9ja0FQSUtleQ==", None),
    "lines": (f"aws_access_key_id = {ID}\naws_secret_access_key = {SECRET}", None),
    "no-section-but-a-comment": (f"# ours\naws_access_key_id={ID}\naws_secret_access_key={SECRET}", None),
    "a-profile": (f"[prod]\nAWS_ACCESS_KEY_ID={ID}\naws_secret_access_key={SECRET}\nregion=x", None),
    "the-default-comes-first": (
        f"[prod]\nregion=x\n[default]\naws_access_key_id={ID}\naws_secret_access_key={SECRET}",
        None,
    ),
    "json": (f'{{"accessKeyId": "{ID}", "secretAccessKey": "{SECRET}"}}', None),
    "json-of-a-process": (
        f'{{"Version": 1, "AccessKeyId": "{ID}", "SecretAccessKey": "{SECRET}", "SessionToken": "t=="}}',
        None,
    ),
    "empty": ("", "it is empty"),
    "two-words": ("one two", "it is neither one word, nor JSON, nor lines of an AWS credentials file"),
    "a-line-alone": (
        "aws_session_token",
        "it is neither one word, nor JSON, nor lines of an AWS credentials file",
    ),
    "half-of-it": (f"aws_access_key_id={ID}", "it has no aws_secret_access_key"),
    "a-section-alone": ("[default]", "it has no aws_access_key_id"),
    "sections-that-are-none": ("[default\na=b", "it cannot be read as an AWS credentials file"),
    "json-that-is-none": ('{"accessKeyId": ', "it begins like JSON, and is no JSON object of texts"),
    "json-too-deep": ('{"a":' * 100_000, "it begins like JSON, and is no JSON object of texts"),
    "json-of-objects": ('{"Credentials": {}}', "it begins like JSON, and is no JSON object of texts"),
    "json-without-a-secret": (f'{{"accessKeyId": "{ID}"}}', "it has no secretAccessKey"),
    "an-id-that-is-none": (
        f'{{"accessKeyId": "my-key", "secretAccessKey": "{SECRET}"}}',
        "its accessKeyId is no id of an access key: 16 letters and digits or more",
    ),
    "a-secret-of-two-lines": (
        f'{{"accessKeyId": "{ID}", "secretAccessKey": "a\\nb"}}',
        "its secretAccessKey has a character that no header can carry",
    ),
    "a-token-with-an-umlaut": (
        f"aws_access_key_id={ID}\naws_secret_access_key={SECRET}\naws_session_token=ü",
        "its aws_session_token has a character that no header can carry",
    ),
}


@pytest.mark.parametrize(("text", "problem"), AWS.values(), ids=AWS.keys())
def test_a_credential_of_bedrock_is_told_apart_from_what_is_none(text: str, problem: str | None) -> None:
    assert find_problem("bedrock", text) == problem


@pytest.mark.parametrize("text", [text for text, _ in AWS.values()], ids=AWS.keys())
def test_the_gateway_can_use_what_the_operator_takes_for_bedrock_and_nothing_else(text: str) -> None:
    assert is_taken_by_the_gateway(text) == (find_problem("bedrock", text) is None)


_pieces = st.sampled_from(
    [
        *(
            "[default]",
            "[",
            "]",
            "{",
            "}",
            "=",
            ":",
            "\n",
            " ",
            "\t",
            "#",
            ";",
            ",",
            '"',
            "ü",
            "\x00",
            "\x85",
        ),
        *("aws_access_key_id", "aws_secret_access_key", "accessKeyId", "SecretAccessKey", ID, SECRET, "null"),
    ]
)


@example(pieces=["[default]\n", "a\n", " b=c"])
@given(pieces=st.lists(_pieces, max_size=12))
def test_the_two_judge_any_text_alike(pieces: list[str]) -> None:
    text = "".join(pieces)

    assert is_taken_by_the_gateway(text) == (find_problem("bedrock", text) is None)


def is_taken_by_the_gateway(text: str) -> bool:
    try:
        parse_credential(text)
    except UnusableCredential:
        return False
    return True


def test_a_file_of_several_lines_reaches_the_table() -> None:
    text = f"[default]\naws_access_key_id = {ID}\naws_secret_access_key = {SECRET}\n"

    compiled = compile_resources(with_secret(BEDROCK, text))

    assert compiled.table.providers[0].credentials[0].value.reveal() == text.strip()


@pytest.mark.parametrize("wire", ["openai", "azure", "anthropic", "google", "cohere", "ollama", "litellm"])
def test_elsewhere_a_credential_is_one_word(wire: str) -> None:
    assert find_problem(wire, "sk-1") is None
    assert find_problem(wire, "sk 1") == "it has white space inside"
