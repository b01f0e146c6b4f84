"""Planted keys: no log line, no error, no repr and no crash dump of an exchange shows one."""

import asyncio
import json
import traceback
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import Provider
from gateway_runtime.tokens import TokenRefused
from gateway_runtime.tokens.google import _keys
from gateway_runtime.tokens.token import Token, find_need
from gateway_runtime.upstream.exchange import UpstreamFailure
from tests.tokens.rig import PEM, Answer, Rig, azure, bedrock, saying, service_account, token, vertex

PLANTED = "planted-s3cr3t"
PEM_LINE = PEM.splitlines()[3]


@pytest.fixture(params=["vertex", "entra", "entra workload", "irsa", "agent", "federation"])
def provider(request: pytest.FixtureRequest, rig: Rig, tmp_path: Path) -> Provider:
    """One for each flow, with a secret of its own planted in all places that there are."""
    (tmp_path / "token").write_text(PLANTED)
    path = str(tmp_path / "token")
    rig.environment["AZURE_AUTHORITY_HOST"] = rig.issuer.url
    match request.param:
        case "vertex":
            return vertex(service_account(rig.issuer.url))
        case "entra":
            return azure(PLANTED)
        case "entra workload":
            rig.environment["AZURE_FEDERATED_TOKEN_FILE"] = path
            return azure(workload=True)
        case "irsa":
            rig.environment["AWS_WEB_IDENTITY_TOKEN_FILE"] = path
            rig.environment["AWS_ROLE_ARN"] = "arn"
            rig.environment["AWS_ENDPOINT_URL_STS"] = rig.issuer.url
            return bedrock()
        case "agent":
            rig.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = rig.issuer.url
            rig.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = path
            return bedrock()
        case _:
            account = {
                "type": "external_account",
                "audience": "a",
                "subject_token_type": "t",
                "token_url": rig.issuer.url,
                "credential_source": {"file": path},
            }
            (tmp_path / "account").write_text(json.dumps(account))
            rig.environment["GOOGLE_APPLICATION_CREDENTIALS"] = str(tmp_path / "account")
            return vertex(workload=True)


ANSWERS = [
    saying(
        {"error": PLANTED, "error_description": PLANTED, "Error": {"Code": PLANTED}, "code": PLANTED}, 400
    ),
    Answer(f"<Error><Code>{PLANTED}</Code><Message>{PLANTED}</Message></Error>".encode(), 403),
    Answer(PLANTED.encode(), 503),
    Answer(PLANTED.encode()),
    saying({"access_token": {"x": PLANTED}, "expires_in": PLANTED, PLANTED: PLANTED}),
    token(PLANTED, -1),
]


def dump_crash(error: BaseException) -> str:
    """Without the frame of the test, which knows all secrets."""
    assert error.__traceback__ is not None
    trace = error.__traceback__.tb_next
    dump = traceback.TracebackException(type(error), error, trace, capture_locals=True)
    return "".join(dump.format())


@pytest.mark.parametrize("answer", ANSWERS, ids=["words", "xml", "down", "text", "shape", "ended"])
async def test_an_exchange_that_fails_shows_no_secret(rig: Rig, provider: Provider, answer: Answer) -> None:
    rig.issuer.answers = [answer]
    credential = next(iter(provider.credentials), None)
    with capture_logs() as logs, pytest.raises((TokenRefused, UpstreamFailure)) as caught:
        await rig.tokens.get(provider, credential)
    dump = dump_crash(caught.value)
    shown = f"{caught.value!r} {caught.value} {logs} {vars(rig.tokens)} {asyncio.all_tasks()} {dump}"

    assert len(rig.issuer.asked) == 1
    assert "held = " in dump
    assert PLANTED not in shown
    assert PEM_LINE not in shown


async def test_a_token_that_was_got_shows_itself_to_nobody(rig: Rig, provider: Provider) -> None:
    keys = {"AccessKeyId": PLANTED, "SecretAccessKey": PLANTED, "Expiration": "2040-01-01T00:00:00Z"}
    result = {"Credentials": {**keys, "SessionToken": PLANTED}}
    sts = {"AssumeRoleWithWebIdentityResponse": {"AssumeRoleWithWebIdentityResult": result}}
    oauth = {"access_token": PLANTED, "expires_in": 3600}
    rig.issuer.answers = [saying({**oauth, **keys, "Token": PLANTED, **sts})]
    with capture_logs() as logs:
        secret = await rig.tokens.get(provider, next(iter(provider.credentials), None))

    assert PLANTED in secret.reveal()
    assert PLANTED not in f"{secret!r} {secret} {logs} {Token(secret, 1)!r} {rig.tokens._held!r}"


def test_what_names_a_need_shows_no_secret() -> None:
    provider = azure(PLANTED)

    assert PLANTED not in repr(find_need(provider, provider.credentials[0]))


def test_a_service_accounts_key_that_was_read_shows_no_secret() -> None:
    key = _keys.decode(service_account("https://oauth2.googleapis.com/token"))

    assert key.private_key == Secret(PEM)
    assert PEM_LINE not in repr(key)
