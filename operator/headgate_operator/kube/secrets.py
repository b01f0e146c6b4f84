"""A Kubernetes Secret as the operator's own rooms handle it: bytes by key, with a repr that shows none of
them.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway_runtime.contract.secret import REDACTED


class MalformedSecret(ValueError):
    """A Secret of our own that does not hold what we wrote. The message names it and the remedy."""


@dataclass(frozen=True, slots=True)
class KubeSecret:
    namespace: str
    name: str
    resource_version: str
    data: Mapping[str, bytes] = field(repr=False)
    labels: Mapping[str, str]

    def __str__(self) -> str:
        return f"Secret {self.namespace}/{self.name} ({', '.join(sorted(self.data))}: {REDACTED})"


def parse_secret(raw: Mapping[str, Any]) -> KubeSecret:
    """`raw` is a Secret as the API server gives it."""
    metadata = raw["metadata"]
    return KubeSecret(
        namespace=metadata["namespace"],
        name=metadata["name"],
        resource_version=metadata["resourceVersion"],
        data={key: base64.b64decode(value) for key, value in (raw.get("data") or {}).items()},
        labels=dict(metadata.get("labels") or {}),
    )


def build_secret(
    namespace: str,
    name: str,
    data: Mapping[str, bytes],
    labels: Mapping[str, str],
    resource_version: str | None = None,
) -> dict[str, object]:
    """The body to send. With `resource_version` the server refuses it when the Secret has changed since."""
    metadata: dict[str, object] = {"namespace": namespace, "name": name, "labels": dict(labels)}
    if resource_version is not None:
        metadata["resourceVersion"] = resource_version
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": metadata,
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }
