"""What is taken for a token, before anything of it is verified."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.identity.rejection import Reason
from gateway_runtime.identity.token import ALGORITHMS, LIMIT_CHARACTERS, UnverifiedToken, read_token
from tests.identity.rig import ISSUER, claims, compact, sign


def test_a_token_says_whose_key_has_signed_it() -> None:
    assert read_token(sign()) == UnverifiedToken("RS256", "k1", ISSUER)
    assert read_token(sign(kid=None)) == UnverifiedToken("RS256", None, ISSUER)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sk-headgate-0123456789abcdef",
        "a.b",
        "a.b.c",
        "a.b.c.d.e",
        "team.example.com",
        ".".join(sign().split(".")[:2]),
        f"{sign()}.more",
        f" {sign()}",
        f"{sign()}=",
        f"{sign()}\n",
        compact("RS256", claims()),
        compact([], claims()),
        compact({}, claims()),
        compact({"alg": 1}, claims()),
        compact({"alg": "RS256", "kid": 7}, claims()),
        compact({"typ": "JWT"}, claims()),
        "e30." + sign().partition(".")[2],
        "\udcff.\udcff.\udcff",
    ],
)
def test_what_is_not_clearly_a_token_is_none(text: str) -> None:
    assert read_token(text) is None


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE"])
def test_one_that_says_it_is_not_signed_is_told_apart_in_any_spelling(algorithm: str) -> None:
    assert read_token(compact({"alg": algorithm}, claims())) is Reason.UNSIGNED
    assert read_token(compact({"alg": algorithm}, claims(), b"signature")) is Reason.UNSIGNED


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512", "ES256K", "RSA-OAEP", "rs256", ""])
def test_an_algorithm_that_is_not_on_the_list_is_refused(algorithm: str) -> None:
    assert read_token(compact({"alg": algorithm}, claims(), b"x")) is Reason.ALGORITHM


def test_the_list_has_signatures_by_a_private_key_only() -> None:
    assert sorted(ALGORITHMS) == [
        "ES256",
        "ES384",
        "ES512",
        "EdDSA",
        "PS256",
        "PS384",
        "PS512",
        "RS256",
        "RS384",
        "RS512",
    ]


@pytest.mark.parametrize(
    "payload", ["text", [], {}, {"iss": 7}, {"iss": None}, {"sub": "ada"}], ids=["text", "list", *"abcd"]
)
def test_a_payload_that_names_no_issuer_cannot_be_read(payload: object) -> None:
    assert read_token(compact({"alg": "RS256"}, payload, b"x")) is Reason.MALFORMED


def test_a_payload_of_endless_depth_cannot_be_read() -> None:
    deep = compact({"alg": "RS256"}, 0).split(".")[0] + ".W1tb" + "W1tb" * 3000 + ".eA"

    assert read_token(deep) is Reason.MALFORMED


def test_an_extension_that_must_be_understood_is_not() -> None:
    header = {"alg": "RS256", "crit": ["b64"], "b64": False}

    assert read_token(compact(header, claims(), b"x")) is Reason.MALFORMED


def test_a_huge_one_is_not_even_looked_at() -> None:
    token = sign(claims(groups="x" * 13_000))

    assert len(token) > LIMIT_CHARACTERS
    assert read_token(token) is Reason.TOO_LONG
    assert read_token(sign(claims(groups="x" * 11_000))) == UnverifiedToken("RS256", "k1", ISSUER)


@given(st.text(alphabet=st.sampled_from("aA9-_.=\x00é"), max_size=40))
def test_whatever_is_sent_it_is_read_without_an_error(text: str) -> None:
    found = read_token(text)

    assert found is None or isinstance(found, UnverifiedToken | Reason)
