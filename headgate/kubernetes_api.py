"""The Kubernetes API as one caller may use it: a method and a path in, JSON out, with the caller's own token.

`providers_cluster` opens one for each request of a caller. The gateway has no right of its own: what a token
may do is RBAC's business, and the audit log names whoever the token is of.

The one subtle rule: a refusal of the API server goes to its caller in the server's own words, which may
repeat what the caller sent. So it is never logged here.
"""

import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError

USER_AGENT: Final = "headgate-gateway"
TIMEOUT_S: Final = 10.0
"""The operator's own limit: a write takes 5 ms, so this is an API server that is as good as gone."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class KubernetesAddress:
    server: str
    """`https://host:port`."""
    ca_file: Path | None
    """PEM; None trusts the system's authorities. Read for each request of a caller: clusters rotate it."""


class KubernetesApi:
    """Made by `open_kubernetes_api`. All methods raise GatewayError."""

    def __init__(self, session: aiohttp.ClientSession, server: str, token: str, caller: str | None) -> None:
        """caller: its address, for the audit log."""
        self._session = session
        self._server = server.rstrip("/")
        self._headers = {"authorization": f"Bearer {token}", "user-agent": USER_AGENT}
        if caller is not None:
            self._headers["x-forwarded-for"] = caller

    async def request(
        self, method: str, path: str, body: Mapping[str, object] | None = None, **query: str
    ) -> Json:
        url = f"{self._server}{quote(path)}" + (f"?{urlencode(query)}" if query else "")
        headers = {**self._headers, "accept": "application/json", "content-type": "application/json"}
        data = None if body is None else msgspec.json.encode(body)
        try:
            async with self._session.request(
                method, url, data=data, headers=headers, allow_redirects=False
            ) as answer:
                payload = await answer.read()
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise GatewayError(
                ErrorCode.PROVIDERS_UNAVAILABLE,
                f"The Kubernetes API at {self._server} did not answer: {str(error) or type(error).__name__}. "
                "Try again; if it stays so, check --kubernetes-api and --kubernetes-ca of the gateway.",
                retry_after_s=1,
            ) from error
        return _read_answer(status, payload)


@asynccontextmanager
async def open_kubernetes_api(
    address: KubernetesAddress, token: str, caller: str | None
) -> AsyncIterator[KubernetesApi]:
    """Raises GatewayError."""
    try:
        context = ssl.create_default_context(cafile=address.ca_file)
    except OSError as error:
        raise GatewayError(
            ErrorCode.PROVIDERS_UNAVAILABLE,
            f"The authority of the Kubernetes API cannot be read from {address.ca_file}: "
            f"{error.strerror or error}. Correct --kubernetes-ca of the gateway.",
        ) from error
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S, sock_connect=TIMEOUT_S / 2),
        # Proxy variables are for the internet; client-go's in-cluster use ignores them as well.
        trust_env=False,
    ) as session:
        yield KubernetesApi(session, address.server, token, caller)


def refuse_unknown_token() -> GatewayError:
    return GatewayError(
        ErrorCode.UNKNOWN_KEY,
        "The Kubernetes API does not know this token. Providers are managed with a Kubernetes token, such as "
        "`kubectl create token NAME` gives; a key for models does not open this.",
    )


def _read_answer(status: int, payload: bytes) -> Json:
    try:
        parsed = msgspec.json.decode(payload) if payload else {}
    except msgspec.DecodeError:
        parsed = None  # a load balancer's HTML page
    if isinstance(parsed, dict) and status < 300:
        return parsed
    raise _refuse(status, parsed if isinstance(parsed, dict) else {})


def _refuse(status: int, answer: Json) -> GatewayError:
    """`answer`: a Status of the API server."""
    said = ". ".join(_list_causes(answer)) or str(answer.get("message") or f"status {status}, without a word")
    match status:
        case 401:
            return refuse_unknown_token()
        case 403:
            return GatewayError(
                ErrorCode.NOT_PERMITTED, f"{said}. Have yourself bound to a role that may, such as admin."
            )
        case 404:
            return GatewayError(
                ErrorCode.UNKNOWN_PROVIDER,
                f"{said}. Check the name and the namespace; GET /v1/providers lists what is there.",
            )
        case 409:
            return GatewayError(
                ErrorCode.PROVIDER_CONFLICT, f"{said}. Choose another name, or delete that one first."
            )
        case 400 | 422:
            return GatewayError(ErrorCode.INVALID_PROVIDER, said)
    return GatewayError(
        ErrorCode.PROVIDERS_UNAVAILABLE, f"The Kubernetes API refused: {said}. Try again.", retry_after_s=1
    )


def _list_causes(answer: Json) -> Iterator[str]:
    """`LLMProvider team-a/x: spec.type: Unsupported value …`: what its validation says of each field."""
    details = answer.get("details")
    if answer.get("reason") != "Invalid" or not isinstance(details, dict):
        return
    for cause in details.get("causes") or ():
        field, message = cause.get("field"), cause.get("message")
        # A rule of a CRD has no better place than the whole object for what it says.
        yield f"{field}: {message}" if field and field != "<nil>" else str(message)
