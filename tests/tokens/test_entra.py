"""Microsoft Entra: a client secret, or the projected token of the pod."""

from pathlib import Path

import pytest

from gateway_runtime.contract.table import Provider
from gateway_runtime.tokens import TokenRefused
from tests.tokens.fakes import DeafTransport, ask_once
from tests.tokens.rig import Rig, azure, saying, token

FORM = {
    "grant_type": "client_credentials",
    "client_id": "app",
    "scope": "https://cognitiveservices.azure.com/.default",
}


@pytest.fixture(autouse=True)
def authority(rig: Rig) -> None:
    """With the slash that the webhook writes."""
    rig.environment["AZURE_AUTHORITY_HOST"] = f"{rig.issuer.url}/"


async def refusal(rig: Rig, provider: Provider) -> str:
    with pytest.raises(TokenRefused) as caught:
        await rig.get(provider)
    return caught.value.reason


async def test_a_client_secret_is_exchanged_for_a_token(rig: Rig) -> None:
    minted = await rig.get(azure("s3cret~"))
    (asked,) = rig.issuer.asked

    assert minted == "minted-1"
    assert (asked.method, asked.path) == ("POST", "/contoso/oauth2/v2.0/token")
    assert asked.form == {**FORM, "client_secret": "s3cret~"}


async def test_a_life_that_is_written_as_a_string_is_read(rig: Rig) -> None:
    rig.issuer.answers = [token("minted-1", "3599")]
    await rig.get(azure("secret"))
    rig.clock.turn(3599 - 60)

    assert rig.peek(azure("secret")) == "minted-1"


async def test_a_workload_shows_its_projected_token_which_is_read_each_time(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "azure-identity-token"
    path.write_text("projected-1")
    rig.environment["AZURE_FEDERATED_TOKEN_FILE"] = str(path)
    rig.issuer.answers = [token("minted-1", 61), token("minted-2", 3600)]
    await rig.get(azure(workload=True))
    path.write_text("projected-2\n")
    rig.clock.turn(2)
    await rig.get(azure(workload=True))

    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert [asked.form for asked in rig.issuer.asked] == [
        {**FORM, "client_assertion_type": kind, "client_assertion": f"projected-{i}"} for i in (1, 2)
    ]


async def test_a_workload_takes_tenant_and_client_from_the_webhook_where_the_provider_has_none(
    rig: Rig, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("projected")
    rig.environment.update(
        {
            "AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "token"),
            "AZURE_TENANT_ID": "the-webhooks",
            "AZURE_CLIENT_ID": "its-client",
        }
    )
    await rig.get(azure(tenant=None, client=None, workload=True))
    (asked,) = rig.issuer.asked

    assert asked.path == "/the-webhooks/oauth2/v2.0/token"
    assert asked.form["client_id"] == "its-client"


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        (
            {},
            "AZURE_TENANT_ID is not set in the gateway's environment: label the gateway's pods "
            "azure.workload.identity/use and annotate their service account, or set it in the provider",
        ),
        (
            {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": ""},
            "AZURE_CLIENT_ID is not set in the gateway's environment: label the gateway's pods "
            "azure.workload.identity/use and annotate their service account, or set it in the provider",
        ),
        (
            {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c"},
            "AZURE_FEDERATED_TOKEN_FILE is not set in the gateway's environment: "
            "label the gateway's pods azure.workload.identity/use, so that the webhook sets it",
        ),
        (
            {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_FEDERATED_TOKEN_FILE": "/nowhere"},
            "the file that AZURE_FEDERATED_TOKEN_FILE names cannot be read (no such file or directory)",
        ),
    ],
)
async def test_a_variable_that_is_missing_is_named(rig: Rig, variables: dict[str, str], reason: str) -> None:
    rig.environment.update(variables)

    assert await refusal(rig, azure(tenant=None, client=None, workload=True)) == reason


async def test_a_secret_that_entra_refuses_comes_with_the_number_that_its_pages_explain(rig: Rig) -> None:
    said = {"error": "invalid_client", "error_description": "AADSTS7000215: …", "error_codes": [7000215]}
    rig.issuer.answers = [saying(said, 401)]

    assert await refusal(rig, azure("wrong")) == (
        "the client secret was refused (401 invalid_client AADSTS7000215)"
    )


async def test_a_provider_without_a_secret_or_with_half_of_its_names_is_refused(rig: Rig) -> None:
    assert await refusal(rig, azure()) == (
        "the provider has no credential: give it the client secret of its application"
    )
    for half in (azure("secret", client=None), azure("secret", tenant=None)):
        assert await refusal(rig, half) == "the provider names a tenant or a client of Entra, but not both"


async def test_a_tenant_is_one_segment_of_the_path(rig: Rig) -> None:
    await rig.get(azure("secret", tenant="../x?y=#z"))

    assert rig.issuer.asked[0].path == "/..%2Fx%3Fy%3D%23z/oauth2/v2.0/token"


async def test_an_authority_in_the_clear_is_sent_nothing(rig: Rig) -> None:
    rig.environment["AZURE_AUTHORITY_HOST"] = "http://login.example"

    assert await refusal(rig, azure("secret")) == (
        "AZURE_AUTHORITY_HOST does not begin with https://, and secrets are not sent in the clear"
    )


@pytest.mark.parametrize(
    ("authority", "url", "scope"),
    [
        (None, "https://login.microsoftonline.com", "https://cognitiveservices.azure.com/.default"),
        (
            "https://login.microsoftonline.us/",
            "https://login.microsoftonline.us",
            "https://cognitiveservices.azure.us/.default",
        ),
        (
            "https://login.chinacloudapi.cn",
            "https://login.chinacloudapi.cn",
            "https://cognitiveservices.azure.cn/.default",
        ),
    ],
)
async def test_each_cloud_has_its_own_authority_and_scope(
    authority: str | None, url: str, scope: str
) -> None:
    transport = DeafTransport()
    await ask_once(transport, azure("secret"), {"AZURE_AUTHORITY_HOST": authority} if authority else {})
    (request,) = transport.requests

    assert request.url == f"{url}/contoso/oauth2/v2.0/token"
    assert transport.form["scope"] == scope
