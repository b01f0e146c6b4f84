"""What this room asks of the Kubernetes API about its own Secrets; `kube.Kube` gives it."""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from headgate_operator.kube import KubeSecret

LABELS: Final[Mapping[str, str]] = {"app.kubernetes.io/managed-by": "headgate-operator"}
"""Says whose they are; deliberately not the label that makes a provider's Secret watched."""


class SecretStore(Protocol):
    async def read_secret(self, namespace: str, name: str) -> KubeSecret | None: ...

    async def ensure_secret(
        self, namespace: str, name: str, make: Callable[[], Mapping[str, bytes]], labels: Mapping[str, str]
    ) -> KubeSecret:
        """What is there, else what `make` makes; of two that create at once, both get the winner's."""

    async def replace_secret(self, secret: KubeSecret, data: Mapping[str, bytes]) -> KubeSecret:
        """Raises Conflict when it has changed since it was read, NotFound when it is gone."""

    async def delete_secret(self, namespace: str, name: str) -> None: ...
