"""How to reach an API server as somebody: `Access`, its kubeconfig, and a plain connection for the tools.

In: address, token, certificate. Out: kubeconfig text for clients under test, or parsed JSON for ourselves.
Called by `Cluster`, `namespaces` and tests that need one odd request. It is no client library: it knows no
kinds, does not retry and does not watch.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Json = dict[str, Any]


class ApiError(RuntimeError):
    """The API server refused. `status`: of HTTP; `reason`: of the returned `Status`, as in "Expired"."""

    def __init__(self, method: str, path: str, status: int, reason: str, message: str) -> None:
        super().__init__(f"{method} {path}: {status} {reason}: {message}")
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Access:
    """`server`: "https://host:port", or "http://host:port" for `ApiProxy`; `ca_pem`: None for http."""

    server: str
    token: str = field(repr=False)
    ca_pem: str | None = field(repr=False)

    def through(self, server: str) -> Access:
        """The same user by way of a proxy."""
        return replace(self, server=server, ca_pem=self.ca_pem if server.startswith("https:") else None)

    def acting_as(self, token: str) -> Access:
        """Another user by the same way."""
        return replace(self, token=token)

    def kubeconfig(self) -> str:
        """JSON, which is YAML; the certificate is inside."""
        cluster: Json = {"server": self.server}
        if self.ca_pem is not None:
            cluster["certificate-authority-data"] = base64.b64encode(self.ca_pem.encode()).decode()
        config: Json = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": self.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }
        return json.dumps(config, indent=1)

    def write_kubeconfig(self, path: Path) -> Path:
        path.touch(mode=0o600)
        path.write_text(self.kubeconfig())
        return path

    @contextmanager
    def connect(self, timeout_s: float = 30) -> Iterator[ApiConnection]:
        """A connection for several requests in a row, from one thread."""
        address = urlsplit(self.server)
        assert address.hostname is not None
        http_connection: http.client.HTTPConnection
        if self.ca_pem is None:
            http_connection = http.client.HTTPConnection(address.hostname, address.port, timeout=timeout_s)
        else:
            context = ssl.create_default_context(cadata=self.ca_pem)
            http_connection = http.client.HTTPSConnection(
                address.hostname, address.port, timeout=timeout_s, context=context
            )
        try:
            yield ApiConnection(http_connection, self.token)
        finally:
            http_connection.close()


@dataclass(frozen=True, slots=True)
class ApiConnection:
    """Sends requests, one after the other. Made by `Access.connect`."""

    http: http.client.HTTPConnection
    token: str = field(repr=False)

    def text(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> str:
        """The body of the answer. Raises `ApiError` for a status from 400, `ConnectionError` if cut off."""
        sent = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        if body is not None:
            sent["Content-Type"] = "application/json"
        payload = None if body is None else json.dumps(body)
        try:
            self.http.request(method, path, body=payload, headers=sent | dict(headers or {}))
            response = self.http.getresponse()
            answer = response.read().decode()
        except (http.client.HTTPException, ssl.SSLEOFError) as error:  # so a reset looks in the midst of TLS
            raise ConnectionError(f"{method} {path}: {error!r}") from error
        if response.status >= 400:
            raise _api_error(method, path, response.status, answer)
        return answer

    def json(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Json:
        """The same, parsed."""
        parsed: Json = json.loads(self.text(method, path, body, headers))
        return parsed


def _api_error(method: str, path: str, status: int, answer: str) -> ApiError:
    try:
        parsed = json.loads(answer)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        return ApiError(method, path, status, "", answer[:500])
    return ApiError(method, path, status, str(parsed.get("reason", "")), str(parsed.get("message", "")))
