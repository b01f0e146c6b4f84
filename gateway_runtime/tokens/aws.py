"""AWS: the pod's own identity for keys that sign requests to Bedrock, for a while.

    AWS_WEB_IDENTITY_TOKEN_FILE           -> IRSA: STS, AssumeRoleWithWebIdentity
    AWS_CONTAINER_CREDENTIALS_FULL_URI    -> Pod Identity: the agent on the node

In this order, which is that of AWS's own SDKs. Out comes a Secret whose text is JSON, as a person would write
it into a credential: {"accessKeyId", "secretAccessKey", "sessionToken"}; the wire signs with it.

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html and
https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html.

The one subtle rule: the region is from the table and becomes part of a host that is sent the pod's token, so
it may be a word and nothing else.
"""

import datetime as dt
import re
from typing import Final

import msgspec

from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import BedrockOptions
from gateway_runtime.tokens.issuers import Place, read_json, refuse_answer, wrap_secret
from gateway_runtime.tokens.means import Means, count_seconds_until
from gateway_runtime.tokens.token import Token, TokenRefused

SESSION: Final = "headgate"
"""The name of the session, which CloudTrail shows, where AWS_ROLE_SESSION_NAME says none."""

_AGENT_HOSTS: Final = frozenset({"169.254.170.23", "169.254.170.2", "fd00:ec2::23"})
"""EKS's agent over IPv4 and IPv6, and ECS's."""
_REGION: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_XML: Final = re.compile(r"<(AccessKeyId|SecretAccessKey|SessionToken|Expiration)>([^<]+)</\1>")
"""None of the four can hold a character that XML would have to escape."""
_IDENTITY: Final = "the pod's own identity"


class _StsKeys(msgspec.Struct, kw_only=True):
    access_key_id: Secret = msgspec.field(name="AccessKeyId")
    secret_access_key: Secret = msgspec.field(name="SecretAccessKey")
    session_token: Secret = msgspec.field(name="SessionToken")
    expiration: float | dt.datetime = msgspec.field(name="Expiration")
    """Unix seconds in STS's JSON, a date in its XML."""


class _StsResult(msgspec.Struct):
    credentials: _StsKeys = msgspec.field(name="Credentials")


class _StsResponse(msgspec.Struct):
    result: _StsResult = msgspec.field(name="AssumeRoleWithWebIdentityResult")


class _StsAnswer(msgspec.Struct):
    response: _StsResponse = msgspec.field(name="AssumeRoleWithWebIdentityResponse")


class _AgentKeys(msgspec.Struct):
    access_key_id: Secret = msgspec.field(name="AccessKeyId")
    secret_access_key: Secret = msgspec.field(name="SecretAccessKey")
    token: Secret = msgspec.field(name="Token")
    expiration: dt.datetime = msgspec.field(name="Expiration")


_sts_answers = msgspec.json.Decoder(_StsAnswer, dec_hook=wrap_secret)
_agent_answers = msgspec.json.Decoder(_AgentKeys, dec_hook=wrap_secret)
_encoder = msgspec.json.Encoder()


async def mint_aws_keys(options: BedrockOptions, means: Means) -> Token:
    """Raises TokenRefused, UpstreamFailure."""
    if means.pod.find("AWS_WEB_IDENTITY_TOKEN_FILE") is not None:
        return await _assume_role(options.region, means)
    if means.pod.find("AWS_CONTAINER_CREDENTIALS_FULL_URI") is not None:
        return await _ask_agent(means)
    raise TokenRefused(
        "neither AWS_WEB_IDENTITY_TOKEN_FILE nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set in the gateway's "
        "environment: give its service account a role, with IRSA or Pod Identity"
    )


async def _assume_role(region: str, means: Means) -> Token:
    variable = "AWS_WEB_IDENTITY_TOKEN_FILE"
    role = means.pod.require("AWS_ROLE_ARN", "annotate the gateway's service account with its role")
    path = means.pod.require(variable, "IRSA's webhook sets it")
    token = await means.pod.read_file(path, variable)
    form = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": role,
        "RoleSessionName": means.pod.find("AWS_ROLE_SESSION_NAME") or SESSION,
        "WebIdentityToken": token.reveal(),
    }
    place = Place("AWS_ENDPOINT_URL_STS", means.pod.find("AWS_ENDPOINT_URL_STS") or _build_sts_url(region))
    body = await means.issuers.post_form(place, form, _IDENTITY)
    keys = _read_sts_xml(body) if body.lstrip().startswith(b"<") else _read_sts_json(body)
    unix_s = means.unix()
    if isinstance(keys.expiration, dt.datetime):
        life_s = count_seconds_until(keys.expiration, unix_s)
    else:
        life_s = keys.expiration - unix_s
    return _build_token(keys.access_key_id, keys.secret_access_key, keys.session_token, life_s)


def _build_sts_url(region: str) -> str:
    """The region's own, which answers when another region is down."""
    if not _REGION.fullmatch(region):
        raise TokenRefused("the provider's region is not a name such as us-east-1")
    china = ".cn" if region.startswith("cn-") else ""
    return f"https://sts.{region}.amazonaws.com{china}/"


async def _ask_agent(means: Means) -> Token:
    variable = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
    url = means.pod.require(variable, "EKS sets it")
    token_variable = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
    path = means.pod.find(token_variable)
    headers = {}
    if path is not None:
        headers["authorization"] = (await means.pod.read_file(path, token_variable)).reveal()
    body = await means.issuers.ask(Place(variable, url, _AGENT_HOSTS), _IDENTITY, headers)
    keys = read_json(_agent_answers, body)
    life_s = count_seconds_until(keys.expiration, means.unix())
    return _build_token(keys.access_key_id, keys.secret_access_key, keys.token, life_s)


def _build_token(
    access_key_id: Secret, secret_access_key: Secret, session_token: Secret, life_s: float
) -> Token:
    text = _encoder.encode(
        {
            "accessKeyId": access_key_id.reveal(),
            "secretAccessKey": secret_access_key.reveal(),
            "sessionToken": session_token.reveal(),
        }
    )
    return Token(Secret(text.decode()), life_s)


def _read_sts_json(body: bytes) -> _StsKeys:
    return read_json(_sts_answers, body).response.result.credentials


def _read_sts_xml(body: bytes) -> _StsKeys:
    members = dict(_XML.findall(body.decode(errors="replace")))
    try:
        return msgspec.convert(members, _StsKeys, dec_hook=wrap_secret)
    except msgspec.ValidationError as error:
        raise refuse_answer(str(error)) from error
