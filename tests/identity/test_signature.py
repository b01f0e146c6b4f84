"""Signatures, good and forged."""

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from jwt import PyJWS

from gateway_runtime.identity.signature import verify_signature
from tests.identity.rig import EC, ED, OTHER_RSA, RSA, PrivateKey, claims, compact, sign

P384, P521 = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP521R1())


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        *((RSA, name) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
        (EC, "ES256"),
        (P384, "ES384"),
        (P521, "ES512"),
        (ED, "EdDSA"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_key_has_signed_it_verifies(key: PrivateKey, algorithm: str) -> None:
    token = sign(key=key, algorithm=algorithm)

    assert verify_signature(token, key.public_key(), algorithm) == claims()
    assert verify_signature(token[:-8] + "AAAAAAAA", key.public_key(), algorithm) is None


def test_another_key_verifies_nothing() -> None:
    assert verify_signature(sign(), OTHER_RSA.public_key(), "RS256") is None


def test_a_payload_that_was_changed_behind_the_signature_is_not_believed() -> None:
    header, _, signature = sign().split(".")
    forged = urlsafe_b64encode(json.dumps(claims(sub="admin")).encode()).rstrip(b"=").decode()

    assert verify_signature(f"{header}.{forged}.{signature}", RSA.public_key(), "RS256") is None


def test_no_signature_is_no_signature() -> None:
    assert verify_signature(compact({"alg": "none"}, claims()), RSA.public_key(), "RS256") is None
    assert verify_signature(compact({"alg": "RS256"}, claims()), RSA.public_key(), "RS256") is None


def test_an_hmac_with_the_public_key_as_its_secret_is_not_believed() -> None:
    """CVE-2015-9235: a verifier that takes the algorithm from the token."""
    pem = RSA.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    unsigned = compact({"alg": "HS256", "kid": "k1"}, claims()).rstrip(".")
    mac = hmac.digest(pem, unsigned.encode(), hashlib.sha256)
    token = f"{unsigned}.{urlsafe_b64encode(mac).rstrip(b'=').decode()}"

    assert verify_signature(token, RSA.public_key(), "HS256") is None
    assert verify_signature(token, RSA.public_key(), "RS256") is None


def test_a_signature_for_one_curve_means_nothing_to_another() -> None:
    assert verify_signature(sign(key=EC, algorithm="ES256"), P384.public_key(), "ES384") is None
    assert verify_signature(sign(key=EC, algorithm="ES256"), RSA.public_key(), "RS256") is None


def test_what_is_signed_has_to_be_an_object() -> None:
    token = PyJWS().encode(b"[1]", RSA, "RS256")

    assert verify_signature(token, RSA.public_key(), "RS256") is None


KEYS: dict[str, PrivateKey] = {"RS256": RSA, "ES256": EC, "EdDSA": ED}
SIGNED = {name: sign(key=key, algorithm=name) for name, key in KEYS.items()}


@given(st.sampled_from(sorted(SIGNED)), st.integers(0, 700), st.sampled_from("Aa9-_."))
def test_a_token_with_any_character_changed_is_not_believed(algorithm: str, at: int, character: str) -> None:
    token = SIGNED[algorithm]
    at %= len(token)
    changed = token[:at] + character + token[at + 1 :]
    found = verify_signature(changed, KEYS[algorithm].public_key(), algorithm)

    assert found is None or changed == token
