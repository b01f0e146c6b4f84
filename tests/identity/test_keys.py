"""Which of an issuer's keys are used, and for what."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from jwt.algorithms import OKPAlgorithm

from gateway_runtime.identity.keys import LIMIT_KEYS, UnusableKeys, read_keys
from tests.identity.rig import EC, ED, OTHER_RSA, RSA, jwk, jwks


def why_not(text: bytes) -> str:
    with pytest.raises(UnusableKeys) as caught:
        read_keys(text)
    return caught.value.reason


def test_a_key_is_found_by_its_id() -> None:
    keys = read_keys(jwks(jwk(RSA, "a"), jwk(OTHER_RSA, "b")))

    assert keys.find("b", "RS256") == OTHER_RSA.public_key()
    assert keys.find("c", "RS256") is None


@pytest.mark.parametrize(
    ("key", "taken", "refused"),
    [
        (RSA, {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, {"ES256", "EdDSA", "HS256", "none"}),
        (EC, {"ES256"}, {"ES384", "ES512", "RS256", "HS256"}),
        (ec.generate_private_key(ec.SECP384R1()), {"ES384"}, {"ES256", "ES512"}),
        (ec.generate_private_key(ec.SECP521R1()), {"ES512"}, {"ES256", "ES384"}),
        (ED, {"EdDSA"}, {"ES256", "RS256"}),
    ],
    ids=["RSA", "P-256", "P-384", "P-521", "Ed25519"],
)
def test_what_a_key_may_verify_follows_from_the_key(
    key: rsa.RSAPrivateKey, taken: set[str], refused: set[str]
) -> None:
    keys = read_keys(jwks(jwk(key)))

    assert {name for name in taken | refused if keys.find("k1", name) is not None} == taken


def test_a_key_of_ed448_is_taken_too() -> None:
    public = ed448.Ed448PrivateKey.generate().public_key()
    keys = read_keys(jwks({**OKPAlgorithm.to_jwk(public, as_dict=True), "kid": "k1"}))

    assert keys.find("k1", "EdDSA") == public


def test_a_key_that_names_its_algorithm_verifies_no_other() -> None:
    keys = read_keys(jwks(jwk(alg="PS256")))

    assert keys.find("k1", "PS256") is not None
    assert keys.find("k1", "RS256") is None


def test_keys_with_one_id_and_different_algorithms_are_told_apart() -> None:
    keys = read_keys(jwks(jwk(RSA, "k"), jwk(EC, "k")))

    assert keys.find("k", "RS256") == RSA.public_key()
    assert keys.find("k", "ES256") == EC.public_key()


def test_a_token_without_a_key_id_means_the_only_key_of_its_algorithm() -> None:
    one, two = jwks(jwk(RSA, "a"), jwk(EC, "b")), jwks(jwk(RSA, "a"), jwk(OTHER_RSA, "b"))

    assert read_keys(one).find(None, "RS256") == RSA.public_key()
    assert read_keys(two).find(None, "RS256") is None


WEAK = jwk(rsa.generate_private_key(public_exponent=65537, key_size=1024))


@pytest.mark.parametrize(
    "unusable",
    [
        jwk(use="enc"),
        jwk(key_ops=["encrypt"]),
        jwk(alg="RSA-OAEP"),
        jwk(alg="HS256"),
        WEAK,
        {**jwk(), "e": "____________"},
        {**jwk(), "n": "_" * 1400},
        {**jwk(), "n": ""},
        {**jwk(), "n": 7},
        {**jwk(), "n": "!"},
        {"kty": "oct", "kid": "k1", "k": "c2VjcmV0"},
        {**jwk(EC), "crv": "secp256k1"},
        {**jwk(EC), "x": jwk(EC)["y"]},
        {**jwk(EC), "crv": "P-384"},
        {**jwk(ED), "x": "AA"},
        {"kty": "OKP", "crv": "X25519", "kid": "k1", "x": jwk(ED)["x"]},
        {"kid": "k1"},
    ],
    ids=lambda unusable: "-".join(map(str, unusable))[:60],
)
def test_a_key_that_cannot_verify_anything_is_passed_over(unusable: dict[str, object]) -> None:
    beside = read_keys(jwks(unusable, jwk(RSA, "good")))

    assert why_not(jwks(unusable)) == "its JWKS has no public key that could verify a token"
    assert [key.key_id for key in beside.keys] == ["good"]


def test_what_is_no_key_at_all_is_passed_over() -> None:
    text = json.dumps({"keys": ["text", 7, None, [], jwk(RSA, "good")]}).encode()

    assert [key.key_id for key in read_keys(text).keys] == ["good"]


def test_a_key_that_may_sign_is_taken_and_its_private_half_is_never_read() -> None:
    published = {**jwk(), "d": "not a number", "use": "sig", "key_ops": ["sign", "verify"]}

    assert read_keys(jwks(published)).find("k1", "RS256") == RSA.public_key()


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b"null", b'{"keys": {}}', b"<html>", b"\xff", b'{"keys":' + b"[" * 100_000]
)
def test_what_is_no_jwks_is_refused(text: bytes) -> None:
    assert why_not(text) == "it is not a JWKS, a JSON object with a list `keys`"


def test_more_keys_than_anybody_needs_are_refused() -> None:
    most = [jwk(RSA, f"k{i}") for i in range(LIMIT_KEYS)]

    assert len(read_keys(jwks(*most)).keys) == 100
    assert why_not(jwks(*most, jwk())) == "its JWKS has 101 keys, and 100 are the most"


def test_the_same_keys_in_other_words_are_the_same() -> None:
    assert read_keys(jwks(jwk())) == read_keys(jwks(jwk(x5t="thumb", extra=[1])))
    assert read_keys(jwks(jwk())) != read_keys(jwks(jwk(OTHER_RSA)))
    assert read_keys(jwks(jwk())) != read_keys(jwks(jwk(kid="k2")))
