"""One authenticated connection pool to the API server: a method and a path in, parsed JSON out.

`Kube` sends everything through `request`; the watcher borrows the address, the TLS context and the
Authorization header for Kopf's own session. The one subtle rule: `reachable_since` tells an outage of the API
server from a watch that is dead while others are answered; the liveness probe rests on it.

On `kubernetes.aio`, which reads kubeconfig files, exec plugins and projected tokens (read again every
minute). Its typed models are not used: they cost 30 µs and 2 KB per field, and we list 10,000 objects.
"""

import os
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Self
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import (
    ConfigException,
    load_incluster_config,
    load_kube_config,
)

from headgate_operator.kube.errors import KubeError, Unreachable, make_error

REQUEST_TIMEOUT_S: Final = 10.0
"""A page of 500 objects takes 50 ms, a write 5 ms. Ten seconds are an API server that is as good as gone;
the Lease could not wait longer either.
"""
USER_AGENT: Final = "headgate-operator"

Json = dict[str, Any]


class Connection:
    """Made by `open_connection`, closed by `close`. Belongs to the event loop it was opened in."""

    def __init__(self, configuration: Configuration, on_answer: Callable[[str, int | None], None]) -> None:
        """`on_answer(method, status)` is called for each request that ended; None stands for no answer."""
        # Proxy variables are for the internet; Kopf's watches and client-go's in-cluster use ignore them as
        # well.
        configuration.client_session_kwargs = {"trust_env": False}
        self._configuration = configuration
        self._client = ApiClient(configuration)
        self._on_answer = on_answer
        self.reachable_since: float | None = None
        """Monotonic time of the first answer after the last failure to get one; None while there is none."""

    @classmethod
    async def open(
        cls,
        kubeconfig: str | None = None,
        context: str | None = None,
        on_answer: Callable[[str, int | None], None] = lambda method, status: None,
    ) -> Self:
        """`kubeconfig`: a path; None takes the pod's service account, or outside of a pod `KUBECONFIG` or the
        default file. Sends nothing yet. Raises KubeError when there are no credentials to be found.
        """
        configuration = Configuration()
        try:
            if kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
                load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            else:
                await load_kube_config(  # type: ignore[no-untyped-call]
                    kubeconfig, context, client_configuration=configuration
                )
        except (ConfigException, OSError) as error:
            raise KubeError(
                f"no way to the Kubernetes API: {error}; name a kubeconfig file with --kubeconfig or "
                "KUBECONFIG, or run in a pod with a service account",
                status=None,
                retryable=False,
            ) from error
        return cls(configuration, on_answer)

    async def close(self) -> None:
        await self._client.close()  # type: ignore[no-untyped-call]

    @property
    def server(self) -> str:
        host: str = self._configuration.host
        return host

    @property
    def ssl_context(self) -> ssl.SSLContext:
        context: ssl.SSLContext = self._client.rest_client.ssl_context
        return context

    async def authorization(self) -> str | None:
        """The Authorization header of now: tokens of service accounts are renewed while we run."""
        header: str | None = await self._configuration.get_api_key_with_prefix(
            "BearerToken", alias="authorization"
        )
        return header

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, object] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> Json:
        """Raises KubeError and its subclasses, nothing else."""
        headers = {"Accept": accept, "Content-Type": content_type, "User-Agent": USER_AGENT}
        if (authorization := await self.authorization()) is not None:
            headers["Authorization"] = authorization
        url = self.server + quote(path) + (f"?{urlencode(query)}" if query else "")
        try:
            answer = await self._client.call_api(
                method,
                url,
                headers,
                body=body,
                _request_timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=timeout_s / 2),
            )
            payload: bytes = await answer.read()  # type: ignore[no-untyped-call]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.reachable_since = None
            self._on_answer(method, None)
            raise Unreachable(f"{method} {path}: no answer from {self.server}: {_describe(error)}") from error
        if self.reachable_since is None:
            self.reachable_since = time.monotonic()
        self._on_answer(method, answer.status)
        return _read_answer(f"{method} {path}", answer.status, payload)


def _read_answer(request: str, status: int, payload: bytes) -> Json:
    try:
        parsed: Json = msgspec.json.decode(payload) if payload else {}
    except msgspec.DecodeError as error:
        # A load balancer's HTML page, or a body that was cut.
        text = payload[:200].decode(errors="replace")
        raise make_error(request, status if status >= 400 else 502, f"not JSON: {text}") from error
    if status >= 400:
        raise make_error(request, status, str(parsed.get("message") or parsed))
    return parsed


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")
