"""Google's workload identity federation: a file of type `external_account` in, an access token out.

    subject token (file or URL) -> Google's STS -> federated token -> [a service account's token]

https://google.aip.dev/auth/4117. `google` calls it, with a file of the pod's own. Of the sources that the
format knows, `file` and `url` are here: they are what a pod has on any cluster. Left out are AWS (a pod on
EKS has an OIDC token for `file`) and executables, which a gateway does not start.
"""

import datetime as dt
from typing import Final

import msgspec

from gateway_runtime.contract.secret import Secret
from gateway_runtime.tokens.issuers import Place, read_json, wrap_secret
from gateway_runtime.tokens.means import Means, count_seconds_until, read_access_token
from gateway_runtime.tokens.token import Token, TokenRefused

IMPERSONATED_S: Final = 3600
"""Google's default, and its most without a policy that allows more."""

_NODE_HOSTS: Final = frozenset({"169.254.169.254", "metadata.google.internal"})
"""Azure's managed identities are asked for their token there."""
_WHERE: Final = "the file that GOOGLE_APPLICATION_CREDENTIALS names"


class _Format(msgspec.Struct, frozen=True):
    type: str = "text"
    """`text`, or `json`."""
    subject_token_field_name: str = ""


class _Source(msgspec.Struct):
    file: str | None = None
    url: str | None = None
    headers: dict[str, Secret] = {}
    format: _Format = _Format()
    environment_id: str | None = None
    """`aws1`: the subject token is a request that is signed with keys of AWS."""


class _Impersonation(msgspec.Struct, frozen=True):
    token_lifetime_seconds: int = IMPERSONATED_S


class _Account(msgspec.Struct, kw_only=True):
    audience: str
    subject_token_type: str
    token_url: str
    credential_source: _Source
    service_account_impersonation_url: str | None = None
    service_account_impersonation: _Impersonation = _Impersonation()


class _Impersonated(msgspec.Struct):
    """https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken"""

    access_token: Secret = msgspec.field(name="accessToken")
    expire_time: dt.datetime = msgspec.field(name="expireTime")


_accounts = msgspec.json.Decoder(_Account, dec_hook=wrap_secret)
_impersonated = msgspec.json.Decoder(_Impersonated, dec_hook=wrap_secret)
_objects = msgspec.json.Decoder(dict[str, msgspec.Raw])
_texts = msgspec.json.Decoder(Secret, dec_hook=wrap_secret)
_encoder = msgspec.json.Encoder()


async def mint_federated_token(content: Secret, scope: str, means: Means) -> Token:
    """content: of the file. Raises TokenRefused, UpstreamFailure."""
    try:
        account = _accounts.decode(content.reveal())
    except msgspec.ValidationError as error:
        raise TokenRefused(f"{_WHERE} is not of type external_account: {error}") from error
    subject_token = await _find_subject_token(account.credential_source, means)
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": account.audience,
        "scope": scope,
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token_type": account.subject_token_type,
        "subject_token": subject_token.reveal(),
    }
    place = Place(f"token_url in {_WHERE}", account.token_url)
    federated = read_access_token(
        await means.issuers.post_form(place, form, "the pod's own identity, by Google's STS,")
    )
    if account.service_account_impersonation_url is None:
        return federated
    return await _impersonate(account, account.service_account_impersonation_url, federated, scope, means)


async def _find_subject_token(source: _Source, means: Means) -> Secret:
    """Read anew each time: whoever put it there rotates it."""
    if source.file is not None:
        member = f"credential_source.file in {_WHERE}"
        return _pick(await means.pod.read_file(source.file, member), source.format, member)
    if source.url is not None and source.environment_id is None:
        member = f"credential_source.url in {_WHERE}"
        headers = {name: value.reveal() for name, value in source.headers.items()}
        said = await means.issuers.ask(Place(member, source.url, _NODE_HOSTS), "the subject token", headers)
        return _pick(Secret(said.decode(errors="replace").strip()), source.format, member)
    raise TokenRefused(
        f"credential_source in {_WHERE} has no file and no url to take a token from: "
        "sources of AWS and executables are not supported"
    )


def _pick(content: Secret, form: _Format, member: str) -> Secret:
    """content: what the file or the URL holds, which may be JSON around the token."""
    if form.type == "text":
        return content
    try:
        return _texts.decode(_objects.decode(content.reveal())[form.subject_token_field_name])
    except KeyError as error:
        name = form.subject_token_field_name
        raise TokenRefused(f'what {member} names has no member "{name}"') from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise TokenRefused(f"what {member} names is not the JSON that its format says") from error


async def _impersonate(account: _Account, url: str, federated: Token, scope: str, means: Means) -> Token:
    asked = {
        "scope": [scope],
        "lifetime": f"{account.service_account_impersonation.token_lifetime_seconds}s",
    }
    headers = {
        "content-type": "application/json",
        "authorization": f"Bearer {federated.secret.reveal()}",
    }
    place = Place(f"service_account_impersonation_url in {_WHERE}", url)
    subject = "acting as the service account"
    said = read_json(_impersonated, await means.issuers.ask(place, subject, headers, _encoder.encode(asked)))
    return Token(said.access_token, count_seconds_until(said.expire_time, means.unix()))
