"""Which of a provider's credentials to use: the first, until the provider refuses it.

`request` keeps one RefusedCredentials for its own attempts; `state` keeps the RefusalMemory of all requests,
so that a withdrawn key costs one refused request a minute and not one per request.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final

import structlog

from gateway_runtime.contract.ids import ProviderId
from gateway_runtime.contract.table import Credential, Provider

log = structlog.get_logger()

REMEMBERED_S: Final = 60.0
"""How long a refused credential is tried last. After that it comes first again: a 403 may have been about one
model or a quota. A guess.
"""


class RefusalMemory:
    """Keyed by the credential's value too: a rotated key starts with a clean slate."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._until_s: dict[tuple[ProviderId, Credential], float] = {}
        self._latest_s = float("-inf")

    def are_idle(self, now_s: float) -> bool:
        """None was refused of late: credentials stand in the order of the manifest."""
        return now_s >= self._latest_s

    def order(self, provider: Provider) -> Sequence[Credential]:
        """As the manifest has them, those refused a moment ago last."""
        if not self._until_s:
            return provider.credentials
        now_s = self._now()
        return sorted(provider.credentials, key=lambda c: self._until_s.get((provider.id, c), 0.0) > now_s)

    def add(self, provider: Provider, credential: Credential, status: int) -> None:
        key = (provider.id, credential)
        if key not in self._until_s:
            log.warning("credential refused", provider=provider.id, credential=credential.name, status=status)
        self._until_s[key] = self._latest_s = self._now() + REMEMBERED_S

    def configure(self, providers: Collection[Provider]) -> None:
        """Forgets what is in no table any more."""
        known = {(provider.id, credential) for provider in providers for credential in provider.credentials}
        self._until_s = {key: until_s for key, until_s in self._until_s.items() if key in known}
        self._latest_s = max(self._until_s.values(), default=float("-inf"))


class RefusedCredentials:
    """Of one request: no credential is tried twice."""

    __slots__ = ("_memory", "_refused")

    def __init__(self, memory: RefusalMemory) -> None:
        self._memory = memory
        self._refused: dict[ProviderId, list[Credential | None]] = {}

    @property
    def any(self) -> bool:
        return bool(self._refused)

    def pick(self, provider: Provider) -> Credential | None:
        """The next one; None for a provider that wants none. Ask `leaves` first."""
        if not self._refused:
            return next(iter(self._memory.order(provider)), None)
        refused = self._refused.get(provider.id, ())
        return next((c for c in self._memory.order(provider) if c not in refused), None)

    def leaves(self, provider: Provider) -> bool:
        """Whether there is a way in that was not refused yet."""
        refused = self._refused.get(provider.id)
        return refused is None or any(credential not in refused for credential in provider.credentials)

    def add(self, provider: Provider, credential: Credential | None, status: int) -> None:
        refused = self._refused.setdefault(provider.id, [])
        if credential not in refused:  # copies of one request may have sent it at the same time
            refused.append(credential)
        if credential is not None:
            self._memory.add(provider, credential, status)

    def names(self, provider: Provider) -> list[str]:
        return [
            credential.name for credential in self._refused.get(provider.id, ()) if credential is not None
        ]
