"""From a subject's URL to keys."""

import json

import pytest

from gateway_runtime.identity.discovery import fetch_keys
from gateway_runtime.identity.document import LIMIT_BYTES, Document, Unfetched
from tests.identity.rig import ISSUER, KEYS_URL, Issuers, jwk, jwks

WELL_KNOWN = f"{ISSUER}/.well-known/openid-configuration"


def configuration(**members: object) -> Document:
    return Document(json.dumps({"issuer": ISSUER, "jwks_uri": KEYS_URL, **members}).encode(), "max-age=60")


async def why_not(issuers: Issuers, url: str) -> str:
    with pytest.raises(Unfetched) as caught:
        await fetch_keys(issuers.fetch, ISSUER, url)
    return caught.value.reason


async def test_a_url_of_keys_is_asked_for_keys() -> None:
    issuers = Issuers()
    fetched = await fetch_keys(issuers.fetch, ISSUER, KEYS_URL)

    assert [key.key_id for key in fetched.keys.keys] == ["k1"]
    assert fetched.life_s == 600
    assert issuers.asked == [KEYS_URL]


async def test_a_discovery_document_leads_to_the_keys() -> None:
    issuers = Issuers()
    issuers.pages = {WELL_KNOWN: configuration(), KEYS_URL: Document(jwks(jwk(kid="k9")), "max-age=120")}
    fetched = await fetch_keys(issuers.fetch, ISSUER, WELL_KNOWN)

    assert [key.key_id for key in fetched.keys.keys] == ["k9"]
    assert fetched.life_s == 120
    assert issuers.asked == [WELL_KNOWN, KEYS_URL]


@pytest.mark.parametrize("issuer", [f"{ISSUER}/", ISSUER.upper(), "https://other.example.com", ""])
async def test_a_discovery_document_speaks_for_its_own_issuer_only(issuer: str) -> None:
    issuers = Issuers()
    issuers.pages[WELL_KNOWN] = configuration(issuer=issuer)

    assert (
        await why_not(issuers, WELL_KNOWN)
        == "its discovery document is that of another issuer: `issuer` is not the subject's"
    )
    assert issuers.asked == [WELL_KNOWN]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"issuer": "x"}', b"\xff", b"[" * 100_000])
async def test_what_is_no_discovery_document_is_refused(body: bytes) -> None:
    issuers = Issuers()
    issuers.pages[WELL_KNOWN] = Document(body)

    assert (
        await why_not(issuers, WELL_KNOWN)
        == "its discovery document is not JSON with `issuer` and `jwks_uri`"
    )


async def test_what_cannot_be_fetched_or_read_says_why() -> None:
    issuers = Issuers()
    issuers.pages = {WELL_KNOWN: configuration(), KEYS_URL: Document(b"{}")}

    assert await why_not(issuers, KEYS_URL) == "it is not a JWKS, a JSON object with a list `keys`"
    assert await why_not(issuers, WELL_KNOWN) == "it is not a JWKS, a JSON object with a list `keys`"
    assert await why_not(issuers, f"{ISSUER}/nowhere") == "its server answered 404"


@pytest.mark.parametrize(
    ("header", "life_s"),
    [
        ("", 600),
        ("no-cache", 600),
        ("max-age=300", 300),
        ("public, max-age=900, must-revalidate", 900),
        ("public,MAX-AGE=900", 900),
        ("max-age=0", 60),
        ("max-age=86400", 3600),
        ("max-age=99999999999999999999", 600),
        ("s-maxage=300", 600),
        ("max-age=-5", 600),
        ("max-age=5x", 600),
    ],
)
def test_keys_live_as_long_as_their_server_says_within_bounds(header: str, life_s: float) -> None:
    assert Document(b"", header).life_s == life_s


def test_a_document_has_at_most_a_megabyte() -> None:
    assert LIMIT_BYTES == 1024 * 1024
