"""Google: a service account's key, a key in a file, or the metadata server."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

from gateway_runtime.tokens import TokenRefused
from tests.tokens.rig import RSA_KEY, UNIX_S, Rig, saying, service_account, token, vertex


def decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def read_part(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(decode(part))
    return found


async def refusal(rig: Rig, key: str) -> str:
    with pytest.raises(TokenRefused) as caught:
        await rig.get(vertex(key))
    return caught.value.reason


async def test_a_service_accounts_key_signs_an_assertion_that_is_exchanged_for_a_token(rig: Rig) -> None:
    minted = await rig.get(vertex(service_account(f"{rig.issuer.url}/token")))
    (asked,) = rig.issuer.asked
    head, claims, signature = asked.form["assertion"].split(".")

    assert minted == "minted-1"
    assert (asked.method, asked.path) == ("POST", "/token")
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert asked.form.keys() == {"grant_type", "assertion"}
    assert asked.form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert read_part(head) == {"alg": "RS256", "typ": "JWT", "kid": "kid-1"}
    assert read_part(claims) == {
        "iss": "gateway@p.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": f"{rig.issuer.url}/token",
        "iat": UNIX_S - 10,
        "exp": UNIX_S + 3590,
    }
    RSA_KEY.public_key().verify(
        decode(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256()
    )


async def test_a_key_without_an_id_names_none(rig: Rig) -> None:
    await rig.get(vertex(service_account(rig.issuer.url, private_key_id="")))
    head = rig.issuer.asked[0].form["assertion"].split(".")[0]

    assert read_part(head) == {"alg": "RS256", "typ": "JWT"}


async def test_a_key_that_google_does_not_know_is_refused_with_its_word_for_it(rig: Rig) -> None:
    rig.issuer.answers = [
        saying({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, 400)
    ]

    assert await refusal(rig, service_account(rig.issuer.url)) == (
        "the service account's key was refused (400 invalid_grant)"
    )


EC_PEM = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    .decode()
)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("AIza-an-api-key", "the credential is not a service account's key: it is not JSON"),
        ("{" * 5000, "the credential is not a service account's key: it is not JSON"),
        ("[]", "the credential is not a service account's key: Expected `object`, got `array`"),
        (
            '{"type": "service_account", "client_email": "a@b"}',
            "the credential is not a service account's key: Object missing required field `private_key`",
        ),
        (
            service_account("https://x", private_key=7),
            "the credential is not a service account's key: Expected `str` - at `$.private_key`",
        ),
        (
            service_account("https://x", private_key=""),
            "the credential is not a service account's key: Expected text, got none - at `$.private_key`",
        ),
        (
            service_account("https://x", type="external_account"),
            "the credential is not a service account's key: its type is not service_account",
        ),
        (
            service_account("https://x", private_key="-----BEGIN PRIVATE KEY-----\nx\n"),
            "the credential is not a service account's key: its private_key is no RSA key in PEM",
        ),
        (
            service_account("https://x", private_key=EC_PEM),
            "the credential is not a service account's key: its private_key is no RSA key in PEM",
        ),
        (
            service_account("http://evil.example/token"),
            "the service account's token_uri does not begin with https://, and secrets are not sent in the "
            "clear",
        ),
        (
            service_account("http://metadata.google.internal/token"),
            "the service account's token_uri does not begin with https://, and secrets are not sent in the "
            "clear",
        ),
        (
            service_account("https://a@b/token"),
            "the service account's token_uri is not a URL: it has a user name or password; "
            "credentials go into a Secret",
        ),
    ],
)
async def test_a_key_that_is_none_is_refused_and_sent_nowhere(rig: Rig, key: str, reason: str) -> None:
    assert await refusal(rig, key) == reason
    assert rig.issuer.asked == []


async def test_a_provider_without_a_credential_is_refused(rig: Rig) -> None:
    with pytest.raises(TokenRefused) as caught:
        await rig.get(vertex())

    assert caught.value.reason == ("the provider has no credential: give it a service account's key in JSON")


async def test_a_workload_asks_the_metadata_server(rig: Rig) -> None:
    rig.environment["GCE_METADATA_HOST"] = rig.issuer.host
    minted = await rig.get(vertex(workload=True))
    (asked,) = rig.issuer.asked

    assert minted == "minted-1"
    assert asked.method == "GET"
    assert asked.path == "/computeMetadata/v1/instance/service-accounts/default/token"
    assert asked.headers["metadata-flavor"] == "Google"


async def test_a_pod_without_a_service_account_is_told_so_by_the_metadata_server(rig: Rig) -> None:
    rig.environment["GCE_METADATA_HOST"] = rig.issuer.host
    rig.issuer.answers = [saying("not found", 404)]
    with pytest.raises(TokenRefused) as caught:
        await rig.get(vertex(workload=True))

    assert caught.value.reason == "the pod's own identity, by the metadata server, was refused (404)"


async def test_a_metadata_server_elsewhere_is_not_asked(rig: Rig) -> None:
    rig.environment["GCE_METADATA_HOST"] = "metadata.example"
    with pytest.raises(TokenRefused) as caught:
        await rig.get(vertex(workload=True))

    assert caught.value.reason == (
        "GCE_METADATA_HOST does not begin with https://, and secrets are not sent in the clear"
    )


async def test_a_workload_with_a_key_in_a_file_signs_with_it(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_text(service_account(f"{rig.issuer.url}/token"))
    rig.environment["GOOGLE_APPLICATION_CREDENTIALS"] = str(path)
    rig.environment["GCE_METADATA_HOST"] = "127.0.0.1:1"

    assert await rig.get(vertex(workload=True)) == "minted-1"
    assert "assertion" in rig.issuer.asked[0].form


async def test_a_file_is_read_anew_for_each_exchange(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    rig.environment["GOOGLE_APPLICATION_CREDENTIALS"] = str(path)
    rig.issuer.answers = [token("one", 61), token("two", 3600)]
    path.write_text(service_account(f"{rig.issuer.url}/one"))
    await rig.get(vertex(workload=True))
    rig.clock.turn(2)
    path.write_text(service_account(f"{rig.issuer.url}/two"))
    await rig.get(vertex(workload=True))

    assert [asked.path for asked in rig.issuer.asked] == ["/one", "/two"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            None,
            "the file that GOOGLE_APPLICATION_CREDENTIALS names cannot be read (no such file or directory)",
        ),
        (b" \n", "the file that GOOGLE_APPLICATION_CREDENTIALS names is empty"),
        (b"\xff\xfe", "the file that GOOGLE_APPLICATION_CREDENTIALS names is not text"),
        (b"nonsense", "the file that GOOGLE_APPLICATION_CREDENTIALS names holds no credentials in JSON"),
        (
            b'{"type": "authorized_user"}',
            "the file that GOOGLE_APPLICATION_CREDENTIALS names is of no type that serves a workload: "
            "it must be service_account or external_account",
        ),
        (
            b'{"type": "service_account"}',
            "the file that GOOGLE_APPLICATION_CREDENTIALS names is not a service account's key: "
            "Object missing required field `client_email`",
        ),
    ],
)
async def test_a_file_that_is_of_no_use_is_named(
    rig: Rig, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "key.json"
    if content is not None:
        path.write_bytes(content)
    rig.environment["GOOGLE_APPLICATION_CREDENTIALS"] = str(path)
    with pytest.raises(TokenRefused) as caught:
        await rig.get(vertex(workload=True))

    assert caught.value.reason == reason
