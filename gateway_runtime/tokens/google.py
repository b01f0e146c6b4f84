"""Google: a service account's key, or the pod's own identity, for an access token that Vertex AI takes.

    credential                                      -> key (RFC 7523: a JWT that it signs)
    workload, GOOGLE_APPLICATION_CREDENTIALS set    -> by the file's type: key, or federation
    workload, otherwise                             -> the metadata server of GKE or GCE

https://developers.google.com/identity/protocols/oauth2/service-account,
https://google.aip.dev/auth/4112 (keys) and https://google.aip.dev/auth/4115 (the metadata server).

The one subtle rule: a file of type `external_account` names other files and URLs, so it is taken from the
pod's own disk alone. Out of a credential it would read whatever the pod can read and send it anywhere.
"""

import asyncio
import base64
from typing import Final

import msgspec

from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import VertexOptions
from gateway_runtime.tokens.federation import mint_federated_token
from gateway_runtime.tokens.issuers import Place, wrap_secret
from gateway_runtime.tokens.means import Means, read_access_token
from gateway_runtime.tokens.token import Token, TokenRefused

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
TOKEN_URI: Final = "https://oauth2.googleapis.com/token"
METADATA_HOST: Final = "metadata.google.internal"
ASSERTED_S: Final = 3600
"""The longest that an assertion may be good for."""
BACKDATED_S: Final = 10
"""Clocks of nodes differ, and an assertion from the future is refused. Google's own library for Go takes off
as much.
"""

_METADATA_HOSTS: Final = frozenset(
    {METADATA_HOST, "169.254.169.254", "169.254.169.252", "fd20:ce::254", "fd20:ce::252"}
)
"""Of the node: Compute Engine's, and the one that GKE puts in front of it."""
_METADATA_PATH: Final = "/computeMetadata/v1/instance/service-accounts/default/token"
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_VARIABLE: Final = "GOOGLE_APPLICATION_CREDENTIALS"


class _Key(msgspec.Struct, kw_only=True):
    """A service account's key, as Google hands it out."""

    type: str
    client_email: str
    private_key: Secret
    private_key_id: str = ""
    token_uri: str = TOKEN_URI


class _Kind(msgspec.Struct):
    type: str = ""


_keys = msgspec.json.Decoder(_Key, dec_hook=wrap_secret)
_kinds = msgspec.json.Decoder(_Kind)
_encoder = msgspec.json.Encoder()


async def mint_google_token(options: VertexOptions, secret: Secret | None, means: Means) -> Token:
    """secret: a service account's key. Raises TokenRefused, UpstreamFailure."""
    if not options.workload:
        if secret is None:
            raise TokenRefused("the provider has no credential: give it a service account's key in JSON")
        return await _mint_with_key(secret, "the credential", means)
    path = means.pod.find(_VARIABLE)
    if path is None:
        return await _ask_metadata_server(means)
    content = await means.pod.read_file(path, _VARIABLE)
    kind = _find_kind(content)
    if kind == "external_account":
        return await mint_federated_token(content, SCOPE, means)
    if kind == "service_account":
        return await _mint_with_key(content, f"the file that {_VARIABLE} names", means)
    raise TokenRefused(
        f"the file that {_VARIABLE} names is of no type that serves a workload: "
        "it must be service_account or external_account"
    )


async def _mint_with_key(secret: Secret, where: str, means: Means) -> Token:
    try:
        key = _keys.decode(secret.reveal())
    except msgspec.ValidationError as error:
        raise TokenRefused(f"{where} is not a service account's key: {error}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise TokenRefused(f"{where} is not a service account's key: it is not JSON") from error
    if key.type != "service_account":
        raise TokenRefused(f"{where} is not a service account's key: its type is not service_account")
    # Both take milliseconds, the first import of `cryptography` a hundred of them.
    assertion = await asyncio.to_thread(_sign, key, where, int(means.unix()))
    form = {"grant_type": _GRANT, "assertion": assertion.reveal()}
    place = Place("the service account's token_uri", key.token_uri)
    return read_access_token(await means.issuers.post_form(place, form, "the service account's key"))


def _sign(key: _Key, where: str, unix_s: int) -> Secret:
    """A JWT (RFC 7519) with RS256. Imports here what gateways without Vertex never need."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    problem = f"{where} is not a service account's key: its private_key is no RSA key in PEM"
    try:
        signer = serialization.load_pem_private_key(key.private_key.reveal().encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise TokenRefused(problem) from error
    if not isinstance(signer, rsa.RSAPrivateKey):
        raise TokenRefused(problem)
    head = {"alg": "RS256", "typ": "JWT"} | ({"kid": key.private_key_id} if key.private_key_id else {})
    claims = {
        "iss": key.client_email,
        "scope": SCOPE,
        "aud": key.token_uri,
        "iat": unix_s - BACKDATED_S,
        "exp": unix_s - BACKDATED_S + ASSERTED_S,
    }
    signed = _encode_part(_encoder.encode(head)) + b"." + _encode_part(_encoder.encode(claims))
    signature = signer.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    return Secret((signed + b"." + _encode_part(signature)).decode())


def _encode_part(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _find_kind(content: Secret) -> str:
    try:
        return _kinds.decode(content.reveal()).type
    except (msgspec.DecodeError, RecursionError) as error:
        raise TokenRefused(f"the file that {_VARIABLE} names holds no credentials in JSON") from error


async def _ask_metadata_server(means: Means) -> Token:
    host = means.pod.find("GCE_METADATA_HOST") or METADATA_HOST
    place = Place("GCE_METADATA_HOST", f"http://{host}{_METADATA_PATH}", _METADATA_HOSTS)
    subject = "the pod's own identity, by the metadata server,"
    return read_access_token(await means.issuers.ask(place, subject, {"metadata-flavor": "Google"}))
