"""Planted tokens: no log line, no repr and no crash dump shows one, nor what nobody has verified of it."""

import asyncio
import traceback

import pytest
from structlog.testing import capture_logs

from gateway_runtime.identity.document import Document, Unfetched
from gateway_runtime.server.refusal import refuse_caller
from tests.identity.rig import (
    EC,
    KEYS_URL,
    OTHER_RSA,
    Rig,
    claims,
    compact,
    jwk,
    jwks,
    sign,
    subject,
    table,
    tenant,
)
from tests.tokens.rig import UNIX_S

PLANTED = "planted-s3cr3t"
SAID = claims(sub=PLANTED, email=PLANTED, team=PLANTED, **{PLANTED: PLANTED})

TOKENS = {
    "unsigned": compact({"alg": "none", "x": PLANTED}, SAID),
    "hmac": compact({"alg": "HS256", "kid": PLANTED}, SAID, b"x" * 32),
    "issuer": sign({**SAID, "iss": PLANTED}),
    "signer": sign(SAID, kid=PLANTED),
    "signature": sign(SAID, OTHER_RSA),
    "ended": sign({**SAID, "exp": UNIX_S - 60}),
    "audience": sign({**SAID, "aud": PLANTED}),
    "tenant": sign(SAID),
    "key": PLANTED,
}


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
async def test_a_token_that_is_refused_is_shown_to_nobody(rig: Rig, token: str) -> None:
    with capture_logs() as logs:
        rig.apply(table(tenant(subject(wanted={"team": ["blue"]}))))
        found = await rig.identify(token)
    assert isinstance(found, tuple)
    shown = f"{found} {logs} {refuse_caller(found)} {vars(rig.authenticator)} {asyncio.all_tasks()}"

    assert PLANTED not in shown
    assert token not in shown


async def test_a_token_that_is_remembered_is_not_kept(rig: Rig) -> None:
    rig.apply(table(tenant(subject())))
    token = sign()
    with capture_logs() as logs:
        await rig.identify(token)
    memory = rig.authenticator._memory
    shown = f"{logs} {vars(rig.authenticator)} {vars(memory)}"

    assert len(memory) == 1
    assert token not in shown
    assert token.rpartition(".")[2] not in shown


@pytest.mark.parametrize(
    "page",
    [
        Document(PLANTED.encode()),
        Document(jwks({**jwk(EC), "x": PLANTED, "kid": PLANTED})),
        Unfetched("its server answered 500"),
        RuntimeError("a bug"),
    ],
    ids=["text", "key", "away", "bug"],
)
async def test_what_an_issuer_answers_is_not_repeated(rig: Rig, page: Document | Exception) -> None:
    rig.issuers.pages[KEYS_URL] = page
    token = sign(SAID)
    with capture_logs() as logs:
        rig.apply(table(tenant(subject())))
        found = await rig.identify(token)
    assert isinstance(found, tuple)
    shown = f"{found} {logs} {refuse_caller(found)}"

    assert len(logs) >= 1
    assert PLANTED not in shown
    assert token not in shown


async def test_a_crash_while_keys_are_fetched_shows_no_token(rig: Rig) -> None:
    """Its frames are those of the fetch, which belongs to no caller."""
    rig.issuers.pages[KEYS_URL] = error = RuntimeError("a bug")
    rig.apply(table(tenant(subject())))
    token = sign(SAID)
    with capture_logs():
        await rig.identify(token)
    dump = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())

    assert "fetch_keys" in dump
    assert token not in dump
