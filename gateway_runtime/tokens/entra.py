"""Microsoft Entra: a client secret, or the pod's own identity, for a token that Azure OpenAI takes.

    tenant, client, client secret           -> client_secret
    tenant, client, workload identity       -> client_assertion: the projected token of the service account

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow, and for the variables
that its webhook sets https://azure.github.io/azure-workload-identity/docs/.

The one subtle rule: the kubelet rotates the projected token, so it is read for each exchange.
"""

from typing import Final
from urllib.parse import quote

from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import AzureOptions
from gateway_runtime.tokens.issuers import Place
from gateway_runtime.tokens.means import Means, read_access_token
from gateway_runtime.tokens.token import Token, TokenRefused

AUTHORITY: Final = "https://login.microsoftonline.com"
SCOPE: Final = "https://cognitiveservices.azure.com/.default"

_OTHER_SCOPES: Final = {
    "login.microsoftonline.us": "https://cognitiveservices.azure.us/.default",
    "login.chinacloudapi.cn": "https://cognitiveservices.azure.cn/.default",
    "login.partner.microsoftonline.cn": "https://cognitiveservices.azure.cn/.default",
}
"""Of the national clouds, by the host of their authority."""

_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_REMEDY: Final = (
    "label the gateway's pods azure.workload.identity/use and annotate their service account, "
    "or set it in the provider"
)


async def mint_entra_token(options: AzureOptions, secret: Secret | None, means: Means) -> Token:
    """secret: the client's. Raises TokenRefused, UpstreamFailure."""
    if options.workload:
        return await _mint_for_pod(options, means)
    if not options.tenant or not options.client:
        raise TokenRefused("the provider names a tenant or a client of Entra, but not both")
    if secret is None:
        raise TokenRefused("the provider has no credential: give it the client secret of its application")
    proof = {"client_secret": secret.reveal()}
    return await _ask(options.tenant, options.client, proof, "the client secret", means)


async def _mint_for_pod(options: AzureOptions, means: Means) -> Token:
    tenant = options.tenant or means.pod.require("AZURE_TENANT_ID", _REMEDY)
    client = options.client or means.pod.require("AZURE_CLIENT_ID", _REMEDY)
    variable = "AZURE_FEDERATED_TOKEN_FILE"
    path = means.pod.require(
        variable, "label the gateway's pods azure.workload.identity/use, so that the webhook sets it"
    )
    assertion = await means.pod.read_file(path, variable)
    proof = {"client_assertion_type": _ASSERTION, "client_assertion": assertion.reveal()}
    return await _ask(tenant, client, proof, "the pod's own identity", means)


async def _ask(tenant: str, client: str, proof: dict[str, str], subject: str, means: Means) -> Token:
    authority = (means.pod.find("AZURE_AUTHORITY_HOST") or AUTHORITY).rstrip("/")
    # Quoted, since the tenant is from the table: it is one segment of the path, whatever stands in it.
    url = f"{authority}/{quote(tenant, safe='')}/oauth2/v2.0/token"
    form = {
        "grant_type": "client_credentials",
        "client_id": client,
        "scope": _OTHER_SCOPES.get(authority.partition("://")[2], SCOPE),
        **proof,
    }
    return read_access_token(await means.issuers.post_form(Place("AZURE_AUTHORITY_HOST", url), form, subject))
